"""What one turn changed, as far as the journal keeps it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runbook.engine.detect.correlate import JOINED, Said
from runbook.engine.model import UNKNOWN, StepStatus
from runbook.engine.recover.commands import Ended, Resume

if TYPE_CHECKING:
    from runbook.engine.detect.hold import Hold
    from runbook.engine.model import Key, Outcome
    from runbook.engine.recover.commands import Event
    from runbook.engine.recover.state import Incident, State

_NOTHING = Said(UNKNOWN, 0.0)


def results(event: Event, after: State) -> list[tuple[str, Outcome]]:
    """Return what has ended; a step of an operation that waits for a person goes on waiting."""
    waiting = {left.intent for group in after.left.values() for left in group}
    found = event.outcomes if isinstance(event, Resume) else {}
    if isinstance(event, Ended):
        found = {event.intent: event.outcome}
    return [
        (name, outcome)
        for name, outcome in found.items()
        if outcome.status is not StepStatus.RUNNING and name not in waiting
    ]


def switched(before: State, after: State) -> list[tuple[str, str, str]]:
    """Return host, pool and member of each pool whose active member is another now."""
    if before.active is after.active:
        return []
    return [(*place, member) for place, member in after.active.items() if before.active.get(place) != member]


def incidents(before: State, after: State) -> list[Incident]:
    """Return the incidents that stand otherwise now, the ended ones first."""
    live = [incident for key, incident in after.incidents.items() if before.incidents.get(key) is not incident]
    ended = [incident for name, incident in after.ended.items() if before.ended.get(name) is not incident]
    return [*ended, *live]


def holds(before: State, after: State) -> list[tuple[Key, Hold | None]]:
    """Return the holds that grew, and None for those that broke."""
    if before.holds is after.holds:
        return []
    kept: list[tuple[Key, Hold | None]] = [
        (key, hold) for key, hold in after.holds.items() if before.holds.get(key) is not hold
    ]
    return kept + [(key, None) for key in before.holds if key not in after.holds]


def said(before: State, after: State) -> list[tuple[tuple[str, str], Said | None]]:
    """Return what correlations must remember, as far as it is news; None: it is forgotten."""
    if before.said is after.said:
        return []
    detectors = after.plan.runbook.detectors
    asked = {name for detector in detectors if detector.members for name in (*detector.members, detector.name)}
    if not asked:
        return []
    forgotten: list[tuple[tuple[str, str], Said | None]] = [(key, None) for key in before.said if key not in after.said]
    return forgotten + [
        (key, told)
        for key, told in after.said.items()
        if told is not (known := before.said.get(key, _NOTHING))
        and key[1].partition(JOINED)[0] in asked
        and memory(told) != memory(known)
    ]


def memory(told: Said) -> dict[str, Any]:
    """Return what correlations must remember of a detector."""
    return {
        "true_at": told.true_at,
        "rose_at": told.rose_at,
        "spent": told.spent,
        "fields": dict(told.fields),
        "held": told.held,
    }
