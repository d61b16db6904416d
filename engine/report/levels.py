"""How components do, from the attempts that fed them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.detect import breaker as breakers
from runbook.engine.detect import components
from runbook.engine.detect.attempts import Attempt
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook.engine.detect.breaker import Breaker
    from runbook.engine.detect.components import Health
    from runbook.engine.journal.ask.standing import Fed
    from runbook.engine.people import Reset


@frozen
class Level:
    """How a component does on a host."""

    runbook: str
    host: str
    name: str
    health: Health
    breaker: Breaker | None

    @property
    def calm(self) -> bool:
        """There is nothing to tell of it."""
        stands = self.breaker is None or self.breaker.position is breakers.Position.CLOSED
        return stands and self.health.level in (None, "healthy")


def levels(fed: Sequence[Fed], resets: Sequence[Reset], now: float) -> list[Level]:
    """Return how components do: what was attempted before somebody set them back does not count."""
    found = []
    for one in fed:
        attempts = tuple(map(Attempt._make, one.attempts))
        if resets:
            attempts = components.since(attempts, one.name, one.host, resets)
        set_to = breakers.settings(one.breaker)
        stands = breakers.fold(attempts, set_to, now) if set_to is not None else None
        found.append(Level(one.runbook, one.host, one.name, components.health(attempts[-one.window :]), stands))
    return found
