"""Components: how what operations depend on has answered them lately. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runbook.engine.model import Lacking, Record, Seen
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook.engine.model import Look, Runbook

WINDOW: Final = 20  # attempts, unless the component says otherwise
FEWEST: Final = 5  # attempts below which nothing can be said (DESIGN §3)
_LEVELS: Final = ((5.0, "healthy"), (20.0, "degraded"), (50.0, "unhealthy"))  # percent of errors below which it is so


@frozen
class Attempt:
    """One attempt of an operation that needed a component."""

    at: float  # when it ended, in seconds since the epoch
    ok: bool
    seconds: float  # that it took


def level(error_rate: float) -> str:
    """Return the health level of an error rate in percent.

    Example:
        >>> level(4.9), level(5.0), level(50.0)
        ('healthy', 'degraded', 'critical')
    """
    return next((name for below, name in _LEVELS if error_rate < below), "critical")


def fed(runbook: Runbook) -> dict[str, list[str]]:
    """Return the operations that each component is fed by, by its name; declared ones without any too."""
    found: dict[str, list[str]] = {name: [] for name in runbook.components}
    for operation in runbook.operations:
        if operation.component is not None:
            found.setdefault(operation.component, []).append(operation.name)
    return found


def window(runbook: Runbook, name: str) -> int:
    """Return how many attempts a component's error rate is made of."""
    return int(runbook.components.get(name, {}).get("window") or WINDOW)


def look(wanted: str | None, attempts: Mapping[str, Sequence[Attempt]]) -> Look:
    """Return what is known of a component, or of all.

    Args:
        wanted: a component's name; none = all.
        attempts: the last attempts of each, as many as its window holds.
    """
    names = [wanted] if wanted is not None else list(attempts)
    records = [_record(name, attempts[name]) for name in names if len(attempts.get(name, ())) >= FEWEST]
    if records:
        return Seen(tuple(records))
    few = ", ".join(f"`{name}` has {len(attempts.get(name, ()))}" for name in names) or "there is no component"
    return Lacking(f"it takes {FEWEST} attempts to say anything: {few}")


def _record(name: str, attempts: Sequence[Attempt]) -> Record:
    failures = sum(not attempt.ok for attempt in attempts)
    rate = 100.0 * failures / len(attempts)
    took = [attempt.seconds for attempt in attempts if attempt.ok]
    fields = {
        "name": name,
        "error_rate": rate,
        "attempts": len(attempts),
        "latency_mean": sum(took) / len(took) if took else None,
        "level": level(rate),
    }
    return Record(name, fields)
