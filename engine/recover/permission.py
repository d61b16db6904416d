"""Whether an operation may be carried out: its mode and impact under what the run allows, and its step's own limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.decide import guards
from runbook.engine.decide.guards import Refusal
from runbook.engine.model import Mode
from runbook.engine.recover import steps

if TYPE_CHECKING:
    from runbook.engine.language.render import Scope
    from runbook.engine.model import StepCall
    from runbook.engine.recover.state import Turn


def refuse(turn: Turn, call: StepCall) -> Refusal | None:
    """Refuse what observes, waits for a person, or has more impact than the run allows.

    An operation is what the runbook is for: it runs by itself, whatever its impact, unless its own `mode` or the run's
    say otherwise.
    """
    caps = turn.plan.settings.caps
    mode = min(call.mode or Mode.AUTO, caps.mode, key=lambda each: each.rank)
    whose = "" if mode is call.mode else " (--max-mode)"
    if mode is Mode.OBSERVE:
        return Refusal("mode", f"mode is observe{whose}")
    impact = steps.impact_of(call)
    if impact.rank > caps.impact.rank:
        return Refusal("impact", f"{call.title} is {impact.value}, --max-impact is {caps.impact.value}")
    if mode is Mode.APPROVE and not (caps.approved or turn.plan.settings.check):
        return Refusal("approval", f"it waits for approval{whose}: run it again with --yes")
    return None


def spent(turn: Turn, call: StepCall, scope: Scope, host: str, subject: str) -> Refusal | None:
    """Refuse a step that has run as often as its own `limit` allows, for what it acts on."""
    if call.limit is None:
        return None
    place = steps.acts_on(call, scope, host, subject)
    begun = turn.read("steps").get(place, ()) if place is not None else ()
    return guards.limit(call.limit, begun, turn.now, f"run of {call.title}", f"runs of {call.title}")
