"""The step `wait`."""

from runbook.modules.declare import Duration, Impact, Invalid, Step
from runbook.modules.frozen import frozen


@frozen
class Wait(Step):
    """Let time pass before the next step. To wait for something that can be seen, use `wait_for`.

    Example:
        - wait: 30s
    """

    impact = Impact.NONE
    engine = True
    timeout = 7 * 86400.0  # the duration itself is the bound

    duration: Duration  # how long

    def check(self) -> None:
        """Time does not run backwards."""
        if self.duration < 0:
            raise Invalid("`duration` can't be negative: write it as 30s or 10m")
