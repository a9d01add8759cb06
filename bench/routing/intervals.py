"""Whether the predicted interval of a median is honest: `TRACES=DIR python -m bench.routing.intervals [SCENARIO ...]`.

At every tenth request the beliefs of the instance that has it are held against the world's own medians.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import sys
from collections.abc import Mapping, Sequence

from bench.routing import traces
from bench.routing.arguments import all_known
from bench.routing.instances import count_histograms
from bench.routing.runs import Job, maker, world_of
from bench.routing.scenario import CLASSIC, SCENARIOS
from bench.routing.simulation import Simulation
from routing.errors import ConfigurationError

EVERY = 10  # requests
GROUPS = (0.0, 1.0, 3.0, 10.0, math.inf)  # samples behind a belief


class Compared(Simulation):
    """A simulation that notes, for every belief that it looks at, its samples and whether its interval holds."""

    def __init__(self, job: Job) -> None:
        super().__init__(world_of(job), maker(job.policy))
        self.seen: list[tuple[float, bool]] = []

    def _arrival(self, i: int, now: float) -> None:
        if i % EVERY == 0 and now > self.world.scenario.warm:
            beliefs = self.instances[self._instance_of[i]].view.tracker.renew(now)
            self.seen += [
                (b.samples, abs(self._median(d, now) - b.at) < b.median_interval) for d, b in enumerate(beliefs)
            ]
        super()._arrival(i, now)

    def _median(self, d: int, now: float) -> float:
        """ln of the median TTFT of a 1,000-token prompt, under the load of this moment."""
        servers = self.servers
        used = min(1.5, servers.running[d] / servers.slots[d])
        busy = math.log(1 + 0.5 * servers.load_factor[d] * used * used)
        return float(self.world.fleet.log_ttft[servers.step(now), d]) + busy


def covered(seen: list[tuple[float, bool]], least: float, most: float) -> str:
    """Share of the intervals that hold, %, of beliefs with so many samples; empty where there are few."""
    holds = [held for samples, held in seen if least <= samples < most]
    return f"{100 * sum(holds) / len(holds):.0f}" if len(holds) >= 500 else ""


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Print a table. Exit codes: 0 done, 2 a wrong argument or setting."""
    about = (__doc__ or "").split(":")[0]
    parser = argparse.ArgumentParser(prog="python -m bench.routing.intervals", description=about)
    parser.add_argument("scenarios", nargs="*", help="of those that `python -m bench.routing --list` names")
    chosen = parser.parse_args(arguments)
    try:
        scenarios = all_known(chosen.scenarios, SCENARIOS) or [scenario.name for scenario in CLASSIC]
        folder = traces.folder(environment)
    except ConfigurationError as e:
        print(e, file=sys.stderr)
        return 2
    count_histograms(False)
    bounds = list(itertools.pairwise(GROUPS))
    titles = [f"{least:g} to {most:g} samples" if most < math.inf else f"from {least:g}" for least, most in bounds]
    print("| covered by the 90 % interval, % | all |", " | ".join(titles), "|")
    print("| --- |", " | ".join(["--:"] * len(GROUPS)), "|")
    for scenario in scenarios:
        simulation = Compared(Job(scenario, 1, "slo", folder))
        simulation.run()
        cells = [covered(simulation.seen, least, most) for least, most in ((0.0, math.inf), *bounds)]
        print(f"| {scenario} |", " | ".join(cells), "|", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
