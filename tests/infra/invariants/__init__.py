"""What must hold of every deployment, whatever its parameters. Each takes what `expand` made and asserts.

They are functions and not tests so that the seeded faults (test_faults.py) can ask whether one of them would notice.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.infra.expand import Deployment
from tests.infra.invariants import access, edge, models, region, store, watching

type Invariant = Callable[[Deployment], None]

INVARIANTS: tuple[Invariant, ...] = tuple(
    function
    for module in (access, edge, models, region, store, watching)
    for name, function in sorted(vars(module).items())
    if callable(function) and getattr(function, "__module__", "") == module.__name__ and not name.startswith("_")
)
