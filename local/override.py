"""`make override`: an operator's order for a deployment, obeyed by every instance soon, without a deployment.

    python -m local.override list
    python -m local.override set eastus-gpt-4o --drain --for 2h --reason "slow since 14:00"
    python -m local.override set eastus-gpt-4o --weight 0.5 --limit 20
    python -m local.override lift eastus-gpt-4o

The store is the one that ROUTER_STORE_ACCOUNT or ROUTER_STORE_CONNECTION names, in the environment or in
local.settings.json.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from azure.identity.aio import DefaultAzureCredential

from local.host.app import AppFault, local_settings
from routing.engine.clock import Clock
from routing.errors import ConfigurationError, StoreUnavailable
from routing.fleet import Fleet, load
from routing.ports import Override
from routing.settings import Settings, read
from routing.store.bounds import LONGEST_NAME, MOST_IN_FLIGHT, WEIGHTS, Refused
from routing.store.shared import SharedStore
from routing.store.table_storage import TableStorage

ROOT = Path(__file__).parents[1]
UNITS = {"m": 60, "h": 3600, "d": 86_400}
LONGEST_S = 30 * 86_400  # an order that should hold for longer belongs into the fleet file
ALLOWED = {
    "weight": f"from {WEIGHTS[0]} to {WEIGHTS[1]:g}",
    "limit": f"from 1 to {MOST_IN_FLIGHT}",
    "author": f"1 to {LONGEST_NAME} characters, without / \\ # ? | and control characters, and not begin with ~",
    "reason": f"at most {LONGEST_NAME} characters",
}


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Exit codes: 0 done, 1 the store did not answer or does not hold the order, 2 a wrong argument or setting."""
    given = _parser().parse_args(arguments)
    try:
        settings = read(local_settings(ROOT) | dict(environment), ROOT)
        if given.action == "set":
            _check(given.deployment, load(settings.fleet))
        return asyncio.run(_run(given, settings))
    except (AppFault, ConfigurationError) as e:
        print(e, file=sys.stderr)
        return 2
    except Refused as e:
        print(f"--{e.field} must be {ALLOWED[e.field]}", file=sys.stderr)
        return 2
    except StoreUnavailable as e:
        print(e.message, file=sys.stderr)
        return 1


async def _run(given: argparse.Namespace, settings: Settings) -> int:
    if not settings.store_account and not settings.store_connection:
        raise ConfigurationError(
            "ROUTER_STORE_ACCOUNT or ROUTER_STORE_CONNECTION must say where the store is; "
            "`make run REGIONS=3` prints an `export ROUTER_STORE_CONNECTION=...` to paste"
        )
    clock, credential = Clock(), DefaultAzureCredential()  # asked for a token only where there is no connection string
    tables = TableStorage(clock.now, settings.store_connection, settings.store_account, lambda: credential)
    async with credential:
        store = SharedStore(tables)
        try:
            await _act(given, store, clock)
        finally:
            await store.close()
    return 0


async def _act(given: argparse.Namespace, store: SharedStore, clock: Clock) -> None:
    if given.action == "set":
        await _set(given, store, clock)
    elif given.action == "lift":
        if not await store.lift(given.deployment):
            raise ConfigurationError(f"{given.deployment} has no order")
        print(f"{given.deployment}: lifted")
    else:
        orders = await _orders(store, clock)
        print("\n".join(map(described, orders)) or "no orders")


async def _set(given: argparse.Namespace, store: SharedStore, clock: Clock) -> None:
    """Set an order, and tell it as the store holds it."""
    order = _order(given, clock.now())
    await _orders(store, clock)  # any answer tells the store's time: a clock of ours that is wrong is known from here
    await store.order(order, clock.now())
    held = [other for other in await _orders(store, clock) if other.deployment == given.deployment]
    if not held:
        raise StoreUnavailable(f"the store does not hold the order for {given.deployment}: was it lifted at once?")
    print(described(held[0]))


async def _orders(store: SharedStore, clock: Clock) -> list[Override]:
    """The orders that hold, in the time of the store, which is everybody's."""
    orders = await store.overrides(clock.now())
    return [order._replace(expires_at=order.expires_at + store.tables.skew_s) for order in orders]


def described(order: Override) -> str:
    """One readable line."""
    what = [order.state] if order.state else []
    what += [f"weight {order.weight:g}"] if order.weight != 1 else []
    what += [f"limit {order.limit}"] if order.limit is not None else []
    until = datetime.fromtimestamp(order.expires_at, UTC)
    why = f" ({order.reason})" if order.reason else ""
    return f"{order.deployment}: {', '.join(what)} until {until:%Y-%m-%d %H:%M} UTC, by {order.author}{why}"


def _order(given: argparse.Namespace, now: float) -> Override:
    if not (given.state or given.weight != 1 or given.limit is not None):
        raise ConfigurationError("say what: --drain, --disable, --weight or --limit")
    author = _user() if given.author is None else given.author
    return Override(given.deployment, author, now + given.seconds, given.state, given.weight, given.limit, given.reason)


def _user() -> str:
    """Who is logged in. A container's user may have no name: then an order has to say who orders it."""
    try:
        return getpass.getuser()
    except OSError as e:
        raise ConfigurationError("--author must say who orders it: the user of this process has no name") from e


def _check(deployment: str, fleet: Fleet) -> None:
    names = sorted(d.id for d in fleet.deployments)
    if deployment not in names:
        raise ConfigurationError(f"there is no deployment '{deployment}' in the fleet; there are {', '.join(names)}")


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d{1,4})([mhd])", text)
    seconds = int(match[1]) * UNITS[match[2]] if match else 0
    if not 0 < seconds <= LONGEST_S:
        raise argparse.ArgumentTypeError("a time as 30m, 2h or 1d, at most 30d")
    return float(seconds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make override", description="Orders for deployments, without a release.")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="the orders that hold")
    lift = actions.add_parser("lift", help="remove an order")
    order = actions.add_parser("set", help="make an order, in the place of the deployment's last one")
    for action in (lift, order):
        action.add_argument("deployment", help="its id in the fleet file")
    state = order.add_mutually_exclusive_group()
    for name, meaning in (("drain", "only where nothing else is left"), ("disable", "never")):
        state.add_argument(f"--{name}", dest="state", action="store_const", const=name, default="", help=meaning)
    order.add_argument("--weight", type=float, default=1.0, help=f"of its share of load, {WEIGHTS[0]} to {WEIGHTS[1]}")
    order.add_argument("--limit", type=int, help=f"calls in flight from one instance, 1 to {MOST_IN_FLIGHT}")
    order.add_argument(
        "--for", dest="seconds", type=_seconds, default="1h", help="30m, 2h, 1d; an hour where not given"
    )
    order.add_argument("--author", help="who orders it, shown to callers; the user where not given")
    order.add_argument("--reason", default="", help="why, for those who list the orders")
    return parser


if __name__ == "__main__":
    sys.exit(main())
