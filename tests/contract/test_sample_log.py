"""The router's own sample log is what the replay reads."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from bench.routing import samplelog
from bench.routing.replay import LoggedAsks, world_of
from bench.routing.simulation import Simulation
from routing.policy.slo import SloPolicy
from routing.request import Demand
from routing.web import sample_log
from routing.web.sample_log import SampleLog
from tests.harness.eventually import eventually
from tests.harness.openai_wire import Chat, error
from tests.harness.served import KEY, Served, fleet
from tests.harness.upstream import Upstream

BODY = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": "canary-prompt"}]}


async def test_a_request_leaves_a_line_that_the_replay_reads(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    asked: list[str] = []

    def answer(hit: object) -> list[bytes]:
        """Whoever is asked first fails."""
        asked.append(str(hit))
        return error(500) if len(asked) == 1 else Chat("A").stream(30)

    async with (
        Upstream(answer) as upstream,
        Served(fleet("a", "b"), {"a": upstream.url, "b": upstream.url}) as router,
        aiohttp.ClientSession() as session,
    ):
        router.edge.samples = SampleLog(path, "eastus")
        url, headers = f"{router.url}/v1/chat/completions", {"authorization": f"Bearer {KEY}"}
        async with session.post(url, json={**BODY, "routing": {"max_ttft_ms": 900}}, headers=headers) as response:
            await response.read()
        await eventually(path.exists, what="the log is written")
    (line,) = samplelog.read(path)
    failed, answered = line.attempts
    assert (line.origin, line.target_ms, line.tokens_out) == ("eastus", 900, 30)
    assert (failed.error, failed.ttft_ms) == ("server_error", None)
    assert answered.error is None
    assert answered.ttft_ms is not None
    assert (line.met, line.streamed, line.demand) == (True, True, Demand())
    assert "canary" not in path.read_text()
    assert KEY not in path.read_text()


async def test_what_only_one_model_could_serve_is_replayed_onto_it_alone(tmp_path: Path) -> None:
    """The other deployment is as fast, and three times as large."""
    path, two = tmp_path / "samples.jsonl", fleet("big", "mini", mini={"requests_per_minute": 1_800_000})
    async with (
        Upstream(Chat("A").stream(3)) as upstream,
        Served(two, {"big": upstream.url, "mini": upstream.url}) as router,
        aiohttp.ClientSession() as session,
    ):
        router.edge.samples = SampleLog(path, "eastus")
        url, headers = f"{router.url}/v1/chat/completions", {"authorization": f"Bearer {KEY}"}
        body = {**BODY, "model": "big", "canary_field": 1}
        for _ in range(8):
            async with session.post(url, json=body, headers=headers) as response:
                await response.read()
        await eventually(lambda: path.exists() and len(path.read_bytes().splitlines()) == 8, what="the log is written")
    log = samplelog.read(path)
    world = world_of(log, two, ["eastus"], seed=1)
    record = Simulation(world, lambda _: SloPolicy(), two, LoggedAsks(log), ["eastus"]).run()
    assert {two.deployments[d].id for _, d in record.sends} == {"big"}
    assert "canary" not in path.read_text()


async def test_a_disk_that_is_away_costs_lines_and_no_request(tmp_path: Path) -> None:
    log = SampleLog(tmp_path / "missing" / "samples.jsonl", "eastus")
    async with (
        Upstream(Chat("A").stream(3)) as upstream,
        Served(fleet("a"), {"a": upstream.url}) as router,
        aiohttp.ClientSession() as session,
    ):
        router.edge.samples = log
        url, headers = f"{router.url}/v1/chat/completions", {"authorization": f"Bearer {KEY}"}
        for _ in range(3):
            async with session.post(url, json=BODY, headers=headers) as response:
                assert response.status == 200
                await response.read()
        await eventually(lambda: not log._writing, what="the lines are gone")
    assert not (tmp_path / "missing").exists()
    assert log._lines.maxlen == sample_log.MOST_LINES
