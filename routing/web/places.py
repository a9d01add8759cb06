"""From what is known of where a user is, a country's code or free text, to a geography of the fleet."""

from __future__ import annotations

import re
import unicodedata

# Codes of countries (ISO 3166) by the geography that is near them on the net. What is not here is near none for sure,
# as Africa and the Middle East, and no hint at all
COUNTRIES = {
    "us": "us ca mx pr gt bz sv hn ni cr pa cu do ht jm bs bb tt br ar cl co ve ec pe bo py uy gy sr",
    "eu": "de fr gb uk ie nl be lu es pt it mt ch at li mc sm ad va se no dk fi is ee lv lt pl cz sk hu ro bg gr cy hr "
    "si rs ba me mk al xk md ua tr",
    "asia": "jp kr cn hk mo tw mn in pk bd lk np bt mv sg my id th vn ph kh la mm bn tl au nz pg fj",
}
# Names that callers put into `user_location`
NAMES = {
    "us": "usa america united-states canada mexico brazil argentina chile colombia peru puerto-rico new-york "
    "california texas seattle chicago toronto",
    "eu": "eu europe germany france sweden stockholm spain italy poland netherlands ireland united-kingdom england "
    "scotland wales london paris berlin amsterdam dublin madrid rome warsaw norway denmark finland iceland switzerland "
    "austria belgium luxembourg portugal malta zurich vienna czechia czech-republic prague slovakia hungary budapest "
    "romania bucharest bulgaria greece athens cyprus croatia slovenia serbia bosnia montenegro albania kosovo estonia "
    "latvia lithuania moldova ukraine turkey turkiye",
    "asia": "asia japan tokyo india singapore korea seoul china hong-kong macao macau taiwan mongolia pakistan "
    "bangladesh nepal malaysia indonesia jakarta thailand bangkok vietnam philippines manila cambodia laos myanmar "
    "australia sydney new-zealand",
}
# Of countries elsewhere, and of states of the US, which is what they are behind a city's name: "Wilmington, DE"
_STATES = {"al", "de", "id", "in", "la", "md", "me", "mn", "mo", "mt", "va"}
_BY_COUNTRY = {code: place for place, codes in COUNTRIES.items() for code in codes.split()}
_BY_WORD = {code: place for code, place in _BY_COUNTRY.items() if code not in _STATES}
_BY_WORD |= {name.replace("-", " "): place for place, names in NAMES.items() for name in names.split()}


def of_country(code: str) -> str | None:
    """The geography of a country by its code, in capitals or not; None for one that is near none of them."""
    return _BY_COUNTRY.get(code.lower())


def geography(text: str) -> str | None:
    """The geography that the last known word of `text` is in: "New York, US" is `us`; None where no word is known.

    A code that is a country's and a US state's counts where it is all there is.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().strip()
    if plain.lower() in _STATES:
        return of_country(plain)
    for part in reversed(plain.split(",")):
        words = re.findall(r"[A-Za-z]+", part)
        for n in range(len(words) - 1, -1, -1):
            for name in (" ".join(words[max(0, n - 1) : n + 1]), words[n]):
                if name.lower() in _BY_WORD and not _is_just_a_word(name, words):
                    return _BY_WORD[name.lower()]
    return None


def _is_just_a_word(name: str, words: list[str]) -> bool:
    """`it` is Italy and `no` is Norway only in capitals or on their own: not in "no place like it"."""
    return len(name) == 2 and not name.isupper() and len(words) > 1
