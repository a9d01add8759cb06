"""From what a caller writes of a user's place to a geography: the last known word counts, and no guess is made."""

from __future__ import annotations

import pytest

from routing.fleet import Region
from routing.web.places import GEOGRAPHIES, geography


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
        ("Pune IN", "asia"),
        ("Stockholm in winter", "eu"),
        ("near Rio de Janeiro, Brazil", "us"),
    ],
)
def test_known_places(text: str, place: str) -> None:
    assert geography(text) == place


@pytest.mark.parametrize(
    "text",
    ["", " ", ",,,", "Atlantis", "12345", "at the beach", "Rio de Janeiro", "东京", "\0", "newyork"],
)
def test_what_is_not_known_is_no_hint(text: str) -> None:
    assert geography(text) is None


def test_every_geography_is_one_that_a_region_may_have() -> None:
    for name in GEOGRAPHIES:
        Region(id="x", geography=name, latitude=0, longitude=0)  # type: ignore[arg-type]


def test_no_place_is_in_two_geographies() -> None:
    names = [name for text in GEOGRAPHIES.values() for name in text.split()]
    assert len(names) == len(set(names))
