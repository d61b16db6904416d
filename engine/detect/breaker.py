"""Circuit breakers: whether what keeps failing is tried, told from the attempts alone. Pure."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runbook.engine.detect.attempts import Attempt


class Position(enum.Enum):
    """Whether attempts are let through."""

    CLOSED = "closed"
    OPEN = "open"  # none is
    HALF_OPEN = "half-open"  # the next ones tell


@frozen
class Settings:
    """When a breaker opens, and when it closes again."""

    failures: int = 5  # in a row, that open it
    successes: int = 2  # in a row, when half-open, that close it
    timeout: float = 60.0  # seconds that it stays open


@frozen
class Breaker:
    """How a breaker stands at a moment."""

    position: Position
    failures: int = 0  # in a row, until now or until it opened
    opened: float | None = None  # since when it lets nothing through, in seconds since the epoch
    until: float | None = None  # when it lets an attempt through again


def settings(given: Mapping[str, Any] | None) -> Settings | None:
    """Return the settings in `breaker: {…}`; None where there is no breaker."""
    if given is None:
        return None
    return Settings(**{name: value for name, value in given.items() if value is not None})


def fold(attempts: Iterable[Attempt], set_to: Settings, now: float) -> Breaker:
    """Return how a breaker stands.

    Args:
        attempts: of its component, in the order in which they ended.
        set_to: its settings.
        now: seconds since the epoch.

    Example:
        >>> from runbook.engine.detect.attempts import Attempt
        >>> failed = [Attempt(float(at), ok=False, seconds=1.0) for at in range(5)]
        >>> [fold(failed, Settings(), now).position.value for now in (5.0, 64.0)]
        ['open', 'half-open']
    """
    failures = successes = 0
    opened: float | None = None
    for attempt in attempts:
        if opened is None:
            failures = 0 if attempt.ok else failures + 1
            if failures >= set_to.failures:
                opened, successes = attempt.at, 0
        elif attempt.at < opened + set_to.timeout:
            continue  # it was under way when the breaker opened
        elif not attempt.ok:
            opened, successes, failures = attempt.at, 0, failures + 1
        else:
            successes += 1
            if successes >= set_to.successes:
                opened, failures = None, 0
    if opened is None:
        return Breaker(Position.CLOSED, failures)
    until = opened + set_to.timeout
    return Breaker(Position.OPEN if now < until else Position.HALF_OPEN, failures, opened, until)
