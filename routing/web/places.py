"""From free text about where a user is to a geography of the fleet."""

from __future__ import annotations

import re

# Names and codes (ISO 3166) that callers put into `user_location`; what is not here is no hint at all
GEOGRAPHIES = {
    "us": "us usa america canada ca mexico mx brazil br new-york california texas seattle chicago toronto",
    "eu": "eu europe germany de france fr sweden se stockholm spain es italy it poland pl netherlands nl ireland ie "
    "uk gb london paris berlin amsterdam dublin madrid rome warsaw norway no denmark dk finland fi switzerland ch "
    "austria at belgium be portugal pt zurich vienna",
    "asia": "asia japan jp tokyo india in singapore sg korea kr seoul china cn hong-kong hk australia au sydney",
}
_PLACES = {name.replace("-", " "): geography for geography, names in GEOGRAPHIES.items() for name in names.split()}


def geography(text: str) -> str | None:
    """The geography that the last known word of `text` is in: "New York, US" is `us`; None where no word is known."""
    words = re.findall(r"[a-z]+", text.lower())
    for n in range(len(words) - 1, -1, -1):
        for name in (" ".join(words[max(0, n - 1) : n + 1]), words[n]):
            if name in _PLACES:
                return _PLACES[name]
    return None
