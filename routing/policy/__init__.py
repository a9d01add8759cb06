"""Which deployment: the product's policy, beside any other that keeps the seam."""

from collections.abc import Callable

from routing.policy.seam import Policy
from routing.policy.slo import SloPolicy

POLICIES: dict[str, Callable[[], Policy]] = {SloPolicy.name: SloPolicy}
