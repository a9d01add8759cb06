"""From a country's code, or what a caller writes of a user's place, to a geography: no guess is made.

In free text the last known word counts.
"""

from __future__ import annotations

import pytest

from routing.fleet import Region
from routing.web.places import COUNTRIES, NAMES, geography, of_country


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("Stockholm", "eu"),
        ("stockholm", "eu"),
        ("New York", "us"),
        ("New York, US", "us"),
        ("Seattle WA", "us"),
        ("Paris, Texas", "us"),
        ("Paris", "eu"),
        ("Hong Kong", "asia"),
        ("Tokyo, Japan", "asia"),
        ("12 Main Street, Toronto, Canada", "us"),
        ("Malmö, se", "eu"),
        ("Zürich", "eu"),
        ("the city of Berlin", "eu"),
        ("SE", "eu"),
        ("se", "eu"),
        ("IN", "asia"),
        ("de", "eu"),
        (" ME ", "eu"),
        ("Pune, India", "asia"),
        ("Berlin, DE", "eu"),
        ("Paris FR", "eu"),
        ("Stockholm in winter", "eu"),
        ("near Rio de Janeiro, Brazil", "us"),
        ("Brno, Czech Republic", "eu"),
        ("GR", "eu"),
        ("Auckland, New Zealand", "asia"),
        ("the United States", "us"),
        ("Baltimore, MD, US", "us"),
    ],
)
def test_known_places(text: str, place: str) -> None:
    assert geography(text) == place


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ",,,",
        "Atlantis",
        "12345",
        "at the beach",
        "Rio de Janeiro",
        "东京",
        "\0",
        "newyork",
        "Portland, ME",
        "Wilmington, DE",
        "Indianapolis, IN",
        "Indianapolis IN",
        "Richmond, VA",
    ],
)
def test_what_is_not_known_is_no_hint(text: str) -> None:
    assert geography(text) is None


@pytest.mark.parametrize(
    ("code", "place"),
    [
        ("US", "us"), ("CA", "us"), ("CO", "us"),
        ("SE", "eu"), ("CZ", "eu"), ("GR", "eu"), ("HU", "eu"), ("RO", "eu"), ("ME", "eu"), ("gb", "eu"),
        ("IN", "asia"), ("ID", "asia"), ("TW", "asia"), ("NZ", "asia"),
        ("ZA", None), ("AE", None), ("ZZ", None), ("", None), ("Sweden", None),
    ],
)  # fmt: skip
def test_a_countrys_code_is_a_country_and_never_a_state_of_the_us(code: str, place: str | None) -> None:
    assert of_country(code) == place


def test_every_geography_is_one_that_a_region_may_have() -> None:
    assert set(COUNTRIES) == set(NAMES)
    for name in COUNTRIES:
        Region(id="x", geography=name, latitude=0, longitude=0)  # type: ignore[arg-type]


def test_no_place_is_in_two_geographies() -> None:
    names = [name for table in (COUNTRIES, NAMES) for text in table.values() for name in text.split()]
    assert len(names) == len(set(names))
