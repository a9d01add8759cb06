"""Arguments of the command lines, checked before anything runs."""

from __future__ import annotations

import argparse
import math
from collections.abc import Collection

from bench.routing.runs import PRODUCTS, Periods
from routing.errors import ConfigurationError


def names(text: str, known: Collection[str]) -> list[str]:
    """A comma-separated list of known names, or `all`. Raises ConfigurationError naming what is unknown."""
    return list(known) if text == "all" else all_known(text.split(","), known)


def all_known(listed: list[str], known: Collection[str]) -> list[str]:
    """The same list. Raises ConfigurationError naming what is unknown."""
    wrong = [name for name in listed if name not in known]
    if wrong:
        raise ConfigurationError(f"unknown: {', '.join(wrong)}; known are {', '.join(known)}")
    return listed


def periods(text: str) -> Periods:
    """`product`, or seconds between flushes, merges and pulls. Raises ArgumentTypeError for anything else."""
    if text == PRODUCTS:
        return PRODUCTS
    try:
        flush, merge, pull = map(float, text.split(","))
    except ValueError:
        flush = merge = pull = 0.0
    if not all(0 < period < math.inf for period in (flush, merge, pull)):
        raise argparse.ArgumentTypeError(f"'{text}': write product, or three numbers of seconds, as in 2,5,2")
    return flush, merge, pull


def count(text: str) -> int:
    """A whole number from 1 on. Raises ArgumentTypeError for anything else."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}': write a whole number from 1 on")
    return int(text)


def share(text: str) -> float:
    """Above 0 and at most 1. Raises ArgumentTypeError for anything else."""
    try:
        part = float(text)
    except ValueError:
        part = 0.0
    if not 0 < part <= 1:
        raise argparse.ArgumentTypeError(f"'{text}': write a number above 0 and at most 1")
    return part


def limit(text: str) -> tuple[str, int]:
    """`ID=RPM` as a deployment and its requests a minute. Raises ArgumentTypeError for anything else."""
    name, _, number = text.rpartition("=")
    if not name or not number.isdecimal() or int(number) < 1:
        raise argparse.ArgumentTypeError(f"'{text}': write ID=requests per minute")
    return name, int(number)
