"""I7: no key, no prompt and no connection string in anything that leaves the process."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager

# Shorter ones would be found by chance; and letters, digits and dashes survive every quoting unchanged.
SHORTEST = 12


def no_canary(canaries: Collection[str], texts: Iterable[str | bytes]) -> None:
    """Raises AssertionError if a text holds a canary, ValueError for a canary that proves nothing."""
    _checked(canaries)
    for text in texts:
        plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        for canary in canaries:
            if canary in plain:
                raise AssertionError(f"I7: canary {canary!r} in {_around(plain, canary)!r}")


@contextmanager
def quiet_logs(canaries: Collection[str]) -> Iterator[None]:
    """Every logger at DEBUG within the block; raises AssertionError after it if a record held a canary.

    A record is its message and its traceback. It is searched when it is written, so nothing is kept.
    """
    _checked(canaries)
    search = _Search(canaries)
    named = (known for known in logging.root.manager.loggerDict.values() if isinstance(known, logging.Logger))
    with ExitStack() as restored:
        for logger in [logging.root, *named]:
            _listen(logger, search, restored)
        yield
    if search.found:
        raise AssertionError("I7: in the logs: " + "; ".join(search.found))


class _Search(logging.Handler):
    def __init__(self, canaries: Collection[str]) -> None:
        super().__init__(logging.DEBUG)
        self.found: list[str] = []
        self._canaries = canaries

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        found = (canary for canary in self._canaries if canary in text)
        self.found += [f"{record.name}: canary {canary!r} in {_around(text, canary)!r}" for canary in found]


def _listen(logger: logging.Logger, search: logging.Handler, restored: ExitStack) -> None:
    """Open this logger up to DEBUG, and hear it where it does not pass its records to the root."""
    if logger is logging.root or logger.level != logging.NOTSET:
        restored.callback(logger.setLevel, logger.level)
        logger.setLevel(logging.DEBUG)
    if logger is logging.root or not logger.propagate:
        restored.callback(logger.removeHandler, search)
        logger.addHandler(search)


def _around(text: str, canary: str) -> str:
    """The canary with the 40 characters before and after it."""
    at = text.index(canary)
    return text[max(0, at - 40) : at + len(canary) + 40]


def _checked(canaries: Collection[str]) -> None:
    for canary in canaries:
        if len(canary) < SHORTEST or not canary.replace("-", "").isalnum():
            raise ValueError(f"canary {canary!r}: at least {SHORTEST} letters, digits and dashes")
