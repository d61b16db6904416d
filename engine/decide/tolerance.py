"""`fault_tolerance`: how far a runbook goes, as a preset over recoveries and operations. Pure.

none = no step; low = retry and reconnect; medium = and restarts; high = and failover and what is left; critical = and
majorities. Steps of no impact (waiting, telling people, collecting evidence) are allowed from low on. A runbook that
says nothing goes all the way.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from runbook.engine.decide.guards import Refusal
from runbook.engine.model import Impact, Retry
from runbook.modules import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runbook.engine.model import Operation, Rung

LEVELS: Final = ("none", "low", "medium", "high", "critical")
_ALLOWS: Final = {
    "none": "allows no step",
    "low": "allows retry and reconnect",
    "medium": "allows retry, reconnect and restarts",
}
_RECONNECTS: Final = frozenset({"reconnect"})
_RESTARTS: Final = frozenset({"restart_daemon", "daemon", "kill_orphans", "resubmit", "requeue"})


def allows(preset: str | None, needed: str) -> bool:
    """Tell whether a preset goes as far as another.

    Example:
        >>> allows("medium", "low"), allows("medium", "high"), allows(None, "critical")
        (True, False, True)
    """
    return preset is None or LEVELS.index(preset) >= LEVELS.index(needed)


def needed(module: str) -> str:
    """Return the least preset under which a step may run.

    Example:
        >>> needed("notify"), needed("restart_daemon"), needed("clear_cache")
        ('low', 'medium', 'high')
    """
    if module in _RECONNECTS or (module in catalogue.step_names() and catalogue.step(module).impact is Impact.NONE):
        return "low"
    return "medium" if module in _RESTARTS else "high"


def refuse(rungs: Iterable[Rung], preset: str | None) -> Refusal | None:
    """Refuse rungs with a step that goes further than the runbook's `fault_tolerance`."""
    for step in (step for rung in rungs for step in rung.steps):
        least = needed(step.module)
        if preset is not None and not allows(preset, least):
            reason = f"`fault_tolerance: {preset}` {_ALLOWS[preset]}; {step.title} needs {least}"
            return Refusal("fault_tolerance", reason)
    return None


def bounded(operation: Operation, preset: str | None) -> Operation:
    """Return an operation without what goes further than the runbook's `fault_tolerance`.

    none: one attempt, and what failed stays as it is; below high: no fallback, and no other member of its pool; below
    critical: no majority.
    """
    if preset is None:
        return operation
    return replace(
        operation,
        retry=operation.retry if allows(preset, "low") else Retry(attempts=1),
        rollback=operation.rollback and allows(preset, "low"),
        fallback=operation.fallback if allows(preset, "high") else (),
        redundancy=operation.redundancy if allows(preset, "critical") else 1,
    )
