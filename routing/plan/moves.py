"""What can happen to a request (events), and what can be done for it (actions).

Not frozen: that makes a dataclass three times as slow to build, and a dozen are built for every request.
"""

from __future__ import annotations

from dataclasses import dataclass

from routing.errors import AttemptError, RouterError
from routing.outcome import LatencyMeasurement

PACE_EVENTS = 24  # a stream has shown its pace after so many content events
FEWEST_EVENTS = 4  # below that, an ended stream has shown none


@dataclass(slots=True)
class Start:
    """The request begins."""


@dataclass(slots=True)
class FirstContent:
    """The first content-bearing event of an attempt arrived (for an unstreamed answer: all of it)."""

    attempt: int
    network_s: float | None = None  # a round trip that was seen
    utilisation: float | None = None  # share of the quota in use, as the headers told


@dataclass(slots=True)
class Progress:
    """A stream has shown its pace: at its PACE_EVENTS-th content event, or where it was cut before."""

    attempt: int
    seconds_per_event: float


@dataclass(slots=True)
class Ended:
    """An attempt's answer is complete."""

    attempt: int
    measurement: LatencyMeasurement
    events: int = 0  # content-bearing events of a stream
    counted: bool = True  # whether the provider counted the tokens


@dataclass(slots=True)
class Failed:
    """An attempt failed, before its first content or after it."""

    attempt: int
    error: AttemptError


@dataclass(slots=True)
class Tick:
    """A moment that `WakeAt` asked for has come."""


@dataclass(slots=True)
class ClientGone:
    """The caller has left."""


type Event = Start | FirstContent | Progress | Ended | Failed | Tick | ClientGone


@dataclass(slots=True)
class Open:
    """Send the request to a deployment (its index in the fleet)."""

    attempt: int
    deployment: int
    hedge: bool = False


@dataclass(slots=True)
class Cancel:
    """Drop an attempt's call at once; nothing more of it is wanted."""

    attempt: int


@dataclass(slots=True)
class Commit:
    """This attempt's answer is the caller's from here on; nothing is tried again."""

    attempt: int


@dataclass(slots=True)
class WakeAt:
    """Send a Tick at this moment; replaces the moment asked for before."""

    at: float


@dataclass(slots=True)
class GiveUp:
    """The request ends with this error: as a status before the commit, in the stream after it."""

    error: RouterError


type Action = Open | Cancel | Commit | WakeAt | GiveUp
