"""What a run is judged by."""

from __future__ import annotations

import numpy as np

from bench.routing.calls import Record
from bench.routing.traces import Column, Floats
from bench.routing.world import STREAMING, World

NO_FIRST_S = 60.0  # what a request without a first token counts as in quantiles
WINDOW_S = 5.0  # of load
BINS = 10  # of predicted probability
RECOVERY_S, RECOVERED = 15.0, 0.03  # recovered: three such spans in a row within 3 points of the time before
RETURN_S, RETURN_STEP_S = 30.0, 10.0
GRID_S = 5.0

type Measures = dict[str, float]


def measure(world: World, record: Record) -> Measures:
    """Figures of a finished run; shares are 0 to 1, times in seconds. What arrives while warming up is not counted."""
    first, end = np.array(record.first_at), np.array(record.end_at)
    ok = np.isfinite(end)
    counted = world.t >= world.scenario.warm
    ttft = np.where(np.isfinite(first), first - world.t, NO_FIRST_S)
    hit, predicted = _met(world, first, end), np.array(record.predicted)
    alone = _met(world, np.array(record.alone_first_at), np.array(record.alone_end_at))
    first_token = world.goal == STREAMING
    sends, useful = len(record.sends), (world.tokens_in + world.tokens_out)[ok].sum()
    measures: Measures = {
        "hit": hit[counted].mean(),
        "hit_first_token": _share(hit, counted & first_token),
        "hit_whole": _share(hit, counted & ~first_token),
        "ttft_p50": np.quantile(ttft[counted], 0.5),
        "ttft_p95": np.quantile(ttft[counted], 0.95),
        "ttft_p99": np.quantile(ttft[counted], 0.99),
        "waste": record.wasted_tokens / max(1.0, useful),
        "extra": (sends - world.n) / world.n,
        "hedges": record.hedges / world.n,
        "hedge_wins": record.hedge_wins / max(1, record.hedges),
        "met_429": np.array(record.met_429)[counted].mean(),
        "fail": 1 - ok[counted].mean(),
        "cost": 1000 * (_paid(world, record, ok) + record.wasted_usd) / world.n,
        "waited": np.array(record.waited)[counted].mean(),
        "calibration": _calibration(predicted, hit, counted),
        "calibration_alone": _calibration(predicted, alone, counted),
        **_load(world, record),
        **_around_incident(world, hit, np.array(record.first_choice)),
    }
    return {name: float(value) for name, value in measures.items()}


def _met(world: World, first: Floats, end: Floats) -> Column:
    """Whether each request met its target with an answer that began and ended at these times; nan = never."""
    in_time: Column = np.where(world.goal == STREAMING, first, end) - world.t <= world.deadline
    return in_time & np.isfinite(end)


def _share(hit: Column, among: Column) -> float:
    """Of the requests among those given; nan where there are none."""
    return float(hit[among].mean()) if among.any() else float("nan")


def _paid(world: World, record: Record, ok: Column) -> float:
    """Dollars for the answers that were given."""
    winner, fleet = np.array(record.winner), world.fleet
    paid = world.tokens_in * fleet.price_in[winner] + world.tokens_out * fleet.price_out[winner]
    return float(paid[ok].sum())


def _load(world: World, record: Record) -> Measures:
    """`spread`: mean over windows of the most used deployment's utilisation over the mean one's."""
    windows = np.zeros((int(world.scenario.duration // WINDOW_S) + 60, world.fleet.size))
    for at, d in record.sends:
        if at // WINDOW_S < len(windows):
            windows[int(at // WINDOW_S), d] += 1
    span = slice(int(world.scenario.warm // WINDOW_S), int(world.scenario.duration // WINDOW_S))
    used = windows[span] / (WINDOW_S * world.capacity.per_s)
    return {"spread": np.mean(used.max(1) / np.maximum(used.mean(1), 1e-9)), "overloaded": (used > 1).mean()}


def _calibration(predicted: Floats, hit: Column, counted: Column) -> float:
    """Expected calibration error: predicted against met, over ten bins."""
    told = counted & np.isfinite(predicted)
    p, met = predicted[told], hit[told]
    if not len(p):
        return 0.0
    bins = np.clip((p * BINS).astype(int), 0, BINS - 1)
    shares = [(bins == k).mean() * abs(p[bins == k].mean() - met[bins == k].mean()) for k in set(bins)]
    return float(sum(shares))


def _around_incident(world: World, hit: Column, first_choice: Column) -> Measures:
    """Hit rate around the incident; seconds until it is recovered from, and until what was hit is used again."""
    if world.incident is None:
        return {}
    start, end = world.incident
    t, duration = world.t, world.scenario.duration

    def span(a: float, b: float) -> Column:
        inside: Column = (t >= a) & (t < b)
        return inside

    before = span(max(world.scenario.warm, start - 180), start)
    base = hit[before].mean()
    measures: Measures = {
        "hit_before": base,
        "hit_first_minute": hit[span(start, start + 60)].mean(),
        "hit_during": hit[span(start, end)].mean(),
    }
    grid = np.arange(start, end, GRID_S)
    good = [not (m := span(x, x + RECOVERY_S)).any() or hit[m].mean() >= base - RECOVERED for x in grid]
    recovered = (float(x) - start for k, x in enumerate(grid) if all(good[k : k + 3]))
    measures["recover_s"] = next(recovered, end - start)
    on_hit = np.isin(first_choice, world.hit)
    share = on_hit[before].mean()
    if share > 0.01:  # else it was hardly used before
        back = (x for x in np.arange(end, duration - RETURN_S, RETURN_STEP_S) if span(x, x + RETURN_S).any())
        returned = (float(x) - end for x in back if on_hit[span(x, x + RETURN_S)].mean() >= 0.5 * share)
        measures["return_s"] = next(returned, duration - end)
    return measures
