"""From a folder to a worker that serves: what the host and its in-process form have in common."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

import uvloop

from local.host import logs
from local.host.app import AppFault, add_missing, local_settings
from local.host.lifetime import leave, on_stop
from local.host.protos import TypedData
from local.host.worker import Worker

type Serve = Callable[[Path, asyncio.Event], Coroutine[None, None, None]]


def run(folder: Path, serve: Serve) -> None:
    """Make the folder the app's, serve it until a signal sets the event, and end the process.

    Exit codes: 0 after a signal, 1 where the app cannot be run, with the reason on stderr.
    """
    logs.configure()
    uvloop.run(_guarded(folder.resolve(), serve))


async def start(folder: Path, stop: asyncio.Event) -> Worker:
    """Start the worker with the app and, where it has a web extension, its HTTP server. Raises AppFault."""
    worker = await Worker.start(folder)
    if worker.http_address is None and (classic := worker.triggered_by("httpTrigger")):
        names = ", ".join(function.name for function in classic)
        raise AppFault(f"{names}: the local host serves HTTP triggers of azurefunctions.extensions.http.fastapi only")
    await worker.listening()
    on_stop(stop.set)  # once more: the extension's uvicorn has taken both signals for itself
    return worker


async def warm_up(worker: Worker) -> None:
    """Call the warm-up triggers, as the host does on an instance that it adds."""
    calls = (worker.fire(function, TypedData(string="")) for function in worker.triggered_by("warmupTrigger"))
    await asyncio.gather(*calls)


async def _guarded(folder: Path, serve: Serve) -> None:
    stop = asyncio.Event()
    on_stop(stop.set)
    try:
        _enter(folder)
        await serve(folder, stop)
    except AppFault as e:
        print(e, file=sys.stderr)
        await leave(1)
    await leave(0)


def _enter(folder: Path) -> None:
    """What the host does before it starts the worker: settings, working directory, import path."""
    if not folder.is_dir():
        raise AppFault(f"{folder}: no such folder")
    add_missing(local_settings(folder), os.environ)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
