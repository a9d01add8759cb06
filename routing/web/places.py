"""From free text about where a user is to a geography of the fleet."""

from __future__ import annotations

import re
import unicodedata

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
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    for part in reversed(plain.split(",")):
        words = re.findall(r"[A-Za-z]+", part)
        for n in range(len(words) - 1, -1, -1):
            for name in (" ".join(words[max(0, n - 1) : n + 1]), words[n]):
                if name.lower() in _PLACES and not _is_just_a_word(name, words):
                    return _PLACES[name.lower()]
    return None


def _is_just_a_word(name: str, words: list[str]) -> bool:
    """`in` is India and `de` is Germany only in capitals or on their own: not in "a café in Rio de Janeiro"."""
    return len(name) == 2 and not name.isupper() and len(words) > 1
