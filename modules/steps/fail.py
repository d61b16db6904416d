"""The step `fail`."""

from runbook.modules.declare import Impact, Step
from runbook.modules.frozen import frozen


@frozen
class Fail(Step):
    """Fail on purpose, mostly with a `when`: the rung fails, and what comes after a failure follows.

    Example:
        - fail: the checkpoint is from another model
    """

    impact = Impact.NONE
    engine = True

    message: str = "the runbook says that this has failed"  # the reason, as the report shows it
