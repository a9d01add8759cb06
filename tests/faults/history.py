"""A history of what processes said they did, and what must be true of it: a small Jepsen.

Each process writes a line before it calls the store (`invoke`) and one when the call has come back (`ok`). A process
that is killed in between has a call of unknown outcome: it may be in the store, or not, but not twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from routing.ports import Flushed, Home


@dataclass
class Process:
    """One process, as it told."""

    invoked: dict[int, int] = field(default_factory=dict)  # version of a flush -> samples in it
    acknowledged: int = 0  # version of the newest flush that came back
    homes: list[tuple[str, int, str]] = field(
        default_factory=list
    )  # user, version, region, in the order they were seen


def read(folder: Path) -> dict[str, Process]:
    """Processes by instance. The last line of a killed one may be cut."""
    processes: dict[str, Process] = {}
    for path in folder.glob("*.log"):
        process = processes.setdefault(path.stem, Process())
        for line in path.read_text().split("\n")[:-1]:
            kind, *values = json.loads(line)
            if kind == "invoke":
                process.invoked[values[0]] = values[1]
            elif kind == "ok":
                process.acknowledged = values[0]
            else:
                process.homes.append((values[0], values[1], values[2]))
    return processes


def faults(
    processes: Mapping[str, Process], stored: Iterable[Flushed], samples: Mapping[str, int], homes: Mapping[str, Home]
) -> list[str]:
    """What is wrong. `samples` counts them in each stored total, `homes` are the stored ones, by user."""
    found = {total.instance: total.version for total in stored}
    return [*_of_samples(processes, found, samples), *_of_homes(processes, homes)]


def _of_samples(
    processes: Mapping[str, Process], found: Mapping[str, int], samples: Mapping[str, int]
) -> Iterable[str]:
    for name, process in processes.items():
        version = found.get(name, 0)
        if version < process.acknowledged:
            yield f"{name}: acknowledged {process.acknowledged}, stored {version}"
        if version and version not in process.invoked:
            yield f"{name}: stored {version}, which it never wrote"
        elif version and samples[name] != process.invoked[version]:
            yield f"{name}: wrote {process.invoked[version]} samples as {version}, stored {samples[name]}"


def _of_homes(processes: Mapping[str, Process], homes: Mapping[str, Home]) -> Iterable[str]:
    regions: dict[tuple[str, int], str] = {}
    for name, process in processes.items():
        newest: dict[str, int] = {}
        for user, version, region in process.homes:
            if version < newest.get(user, 0):
                yield f"{name}: {user} moved back from {newest[user]} to {version}"
            newest[user] = version
            if regions.setdefault((user, version), region) != region:
                yield f"{user}: version {version} is {region} and {regions[user, version]}"
    for (user, version), region in regions.items():
        home = homes.get(user)
        if home is None or home.version < version:
            yield f"{user}: seen at {version}, stored at {home and home.version}"
        elif home.version == version and home.region != region:
            yield f"{user}: version {version} was seen as {region}, stored as {home.region}"
