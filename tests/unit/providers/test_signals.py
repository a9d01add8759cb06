"""What response headers tell of a provider's load: every vendor's names, and nothing taken on trust."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.outcome import Signals
from routing.providers.signals import PROCESSING, QUOTAS, UTILISATION, of
from tests.harness.openai_wire import azure_headers

NAMES = [*PROCESSING, UTILISATION, *(name for pair in QUOTAS for name in pair)]


def told(remaining: str, limit: str, which: int = 0) -> dict[str, str]:
    names = QUOTAS[which]
    return {names[0]: remaining, names[1]: limit}


def test_no_header_tells_nothing() -> None:
    assert of({}, None) == Signals(None, None, None)


def test_the_round_trip_is_told_in_ms() -> None:
    assert of({}, 0.025).connect_ms == 25.0


@pytest.mark.parametrize(
    ("headers", "processing_ms"),
    [
        ({"openai-processing-ms": "41"}, 41.0),
        ({"x-envoy-upstream-service-time": "17"}, 17.0),
        ({"openai-processing-ms": "41", "x-envoy-upstream-service-time": "17"}, 41.0),
        ({"openai-processing-ms": "none", "x-envoy-upstream-service-time": "17"}, 17.0),
        ({"openai-processing-ms": "0"}, 0.0),
        ({"openai-processing-ms": "-3"}, None),
        ({"openai-processing-ms": "nan"}, None),
        ({"openai-processing-ms": "inf"}, None),
        ({"openai-processing-ms": ""}, None),
    ],
)
def test_processing_time(headers: dict[str, str], processing_ms: float | None) -> None:
    assert of(headers, None).processing_ms == processing_ms


@pytest.mark.parametrize(
    ("headers", "utilisation"),
    [
        (told("25", "100"), 0.75),
        (told("25", "100", 1), 0.75),
        (told("25", "100", 2), 0.75),
        (told("25", "100", 3), 0.75),
        (told("90", "100") | told("10", "100", 1), 0.9),  # the scarcest counts
        (told("0", "100"), 1.0),
        (told("100", "100"), 0.0),
        (told("150", "100"), 0.0),  # more left than there is: a burst, or a limit that was just lowered
        ({UTILISATION: "62.5%"}, 0.625),
        ({UTILISATION: "62.5"}, 0.625),
        ({UTILISATION: "140%"}, 1.0),
        ({UTILISATION: "30%"} | told("20", "100"), 0.8),
        ({UTILISATION: "unknown"}, None),
        ({UTILISATION: "%"}, None),
        (told("25", "0"), None),
        (told("25", "many"), None),
        (told("some", "100"), None),
        (told("-1", "100"), None),
        (told("nan", "100"), None),
        (told("25", "inf"), None),
        ({QUOTAS[0][0]: "25"}, None),
        ({QUOTAS[0][1]: "100"}, None),
    ],
)
def test_utilisation(headers: dict[str, str], utilisation: float | None) -> None:
    assert of(headers, None).utilisation == (None if utilisation is None else pytest.approx(utilisation))


def test_azures_own_headers_are_read() -> None:
    headers = dict(azure_headers(processing_ms=41)) | {"x-ratelimit-limit-tokens": "100000"}
    signals = of(headers, None)
    assert signals.processing_ms == 41.0
    assert signals.utilisation == pytest.approx(0.01)


VALUES = st.one_of(
    st.binary(max_size=9).map(lambda raw: raw.decode("latin-1")), st.floats().map(str), st.integers().map(str)
)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_no_header_of_any_kind_raises_or_leaves_the_range(headers: dict[str, str]) -> None:
    signals = of(headers, None)
    assert signals.utilisation is None or 0 <= signals.utilisation <= 1
    assert signals.processing_ms is None or (signals.processing_ms >= 0 and math.isfinite(signals.processing_ms))
