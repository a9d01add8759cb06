"""The simulator's quota: two buckets, filled evenly, with five seconds of burst."""

import pytest

from local.simulator.capacity import Bucket, Quota


def test_a_bucket_holds_five_seconds_of_its_rate() -> None:
    bucket = Bucket(600, 0.0)
    for _ in range(50):
        assert bucket.wait_s(1, 0.0) == 0
        bucket.take(1, 0.0)
    assert bucket.wait_s(1, 0.0) == pytest.approx(0.1)


def test_a_bucket_fills_no_further_than_its_burst() -> None:
    bucket = Bucket(600, 0.0)
    assert bucket.level(3_600.0) == 50


def test_a_slow_bucket_still_holds_one() -> None:
    assert Bucket(6, 0.0).wait_s(1, 0.0) == 0


def test_a_call_larger_than_the_burst_overdraws_a_full_bucket_and_is_paid_off() -> None:
    quota = Quota(600, 6_000, 0.0)
    assert quota.admit(1_500, 0.0)[0] == 0
    wait_s, limit = quota.admit(100, 0.0)
    assert limit == "tokens"
    assert wait_s == pytest.approx(11)  # 1,000 of debt and 100 at 100 a second


def test_who_waits_as_long_as_told_is_admitted() -> None:
    quota = Quota(7, 1_000_000, 0.0)
    now = 0.1
    assert quota.admit(1, now)[0] == 0
    for _ in range(50):
        wait_s, limit = quota.admit(1, now)
        assert limit == "requests"
        now += wait_s
        assert quota.admit(1, now)[0] == 0


def test_a_refused_call_is_counted_against_neither_limit() -> None:
    quota = Quota(60, 600, 0.0)
    quota.admit(50, 0.0)
    before = quota.requests.level(0.0), quota.tokens.level(0.0)
    assert quota.admit(50, 0.0)[0] > 0
    assert (quota.requests.level(0.0), quota.tokens.level(0.0)) == before


def test_in_the_long_run_the_rate_is_the_limit() -> None:
    quota = Quota(600, 10_000_000, 0.0)
    admitted = sum(quota.admit(10, step / 100)[0] == 0 for step in range(60_000))  # 100 a second for 10 minutes
    assert admitted == pytest.approx(600 * 10 + 50, abs=2)


def test_remaining_is_shown_on_the_scale_of_the_limit() -> None:
    bucket = Bucket(600, 0.0)
    assert bucket.remaining(0.0) == 600
    bucket.take(25, 0.0)
    assert bucket.remaining(0.0) == 300
    assert bucket.full_in_s(0.0) == pytest.approx(2.5)
    bucket.take(100, 0.0)
    assert bucket.remaining(0.0) == 0
