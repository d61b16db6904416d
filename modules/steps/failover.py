"""The step `failover`."""

from typing import Optional

from runbook.modules.declare import Impact, Step
from runbook.modules.frozen import frozen


@frozen
class Failover(Step):
    """Switch a pool to another of its members: the healthiest one, or the one that is named.

    The pool's `switch` steps do it; in them `{{ from }}` and `{{ to }}` are the two members. When all of them have
    succeeded, the new member is the active one, also for later passes; operations with this pool ask it first. Where
    one fails, the active member stays what it was.

    Example:
        - failover: {pool: endpoints}
        - failover: {pool: endpoints, to: primary}
    """

    impact = Impact.DISRUPTIVE
    engine = True
    timeout = 7 * 86400.0  # the steps of `switch` have bounds of their own

    pool: str  # the pool, one of the runbook's `pools`
    to: Optional[str] = None  # the member to switch to; by default the healthiest of the others
