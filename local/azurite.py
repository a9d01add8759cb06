"""Table Storage on this machine: Microsoft's emulator, which is a Node program.

`python -m local.azurite --port 10002` installs it on its first run, from package-lock.json, keeps everything in memory,
and says `listening URL` when it does.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from local.children import die_with_parent
from local.host.lifetime import bound_socket

ROOT = Path(__file__).parents[1]
MAIN = ROOT / "node_modules" / "azurite" / "dist" / "src" / "table" / "main.js"
FLAGS = ("--inMemoryPersistence", "--silent", "--disableTelemetry", "--tableHost", "127.0.0.1")
# Azurite's account and key are the same for everybody and are published in its documentation
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class Missing(Exception):
    """The emulator cannot be had; the text says what to do."""


def connection(port: int) -> str:
    """The connection string of an emulator on this machine."""
    endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
    return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};TableEndpoint={endpoint};"


def installed() -> Path:
    """Azurite's program, installed first where it is missing. Raises Missing."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node:
        raise Missing("several regions share what they learn through Azurite, which needs Node 20 or newer")
    if not MAIN.exists():
        if not npm:
            raise Missing("Azurite is not installed: run `npm ci` in the repository, or install npm")
        print("installing Azurite …", flush=True)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            raise Missing("Azurite could not be installed; `npm ci` says why")
    return MAIN


async def serve(port: int) -> int:
    """Run it until a signal comes; returns its exit code."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(MAIN),
        *FLAGS,
        "--tablePort",
        str(port),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        preexec_fn=die_with_parent,
    )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, process.kill)  # what it holds is in memory anyway
    life = asyncio.create_task(process.wait())
    while not life.done() and not await _answers(port):
        await asyncio.wait({life}, timeout=0.05)
    if not life.done():
        print(f"listening http://127.0.0.1:{port}", flush=True)
    code = await life
    return 0 if code == -signal.SIGKILL else code


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def main() -> int:
    """Exit codes: 0 after a signal, 2 where it cannot be had, else its own."""
    parser = argparse.ArgumentParser(prog="python -m local.azurite", description="Table Storage on this machine.")
    parser.add_argument("--port", type=int, default=10002, help="0 takes a free one")
    port = parser.parse_args().port
    try:
        installed()
    except Missing as e:
        print(e, file=sys.stderr)
        return 2
    if port == 0:
        with bound_socket(0) as free:
            port = free.getsockname()[1]
    return asyncio.run(serve(port))


if __name__ == "__main__":
    sys.exit(main())
