"""One request's life, decided without I/O."""

from routing.plan.attempt import Attempt
from routing.plan.moves import (
    FEWEST_EVENTS,
    PACE_EVENTS,
    Action,
    Cancel,
    ClientGone,
    Commit,
    Ended,
    Event,
    Failed,
    FirstContent,
    GiveUp,
    Open,
    Progress,
    Start,
    Tick,
    WakeAt,
)
from routing.plan.plan import Plan

__all__ = [
    "FEWEST_EVENTS",
    "PACE_EVENTS",
    "Action",
    "Attempt",
    "Cancel",
    "ClientGone",
    "Commit",
    "Ended",
    "Event",
    "Failed",
    "FirstContent",
    "GiveUp",
    "Open",
    "Plan",
    "Progress",
    "Start",
    "Tick",
    "WakeAt",
]
