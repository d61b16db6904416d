"""Telling people of a fault that is not recovered any more: as often as it may has been tried, and it is still there.

Nothing would be heard of it else: a crash loop whose every restart was a cure ends at its `limit` without a step that
failed. The messages are those of the detector's `unhealed`; its other steps belong to a recovery, and there is none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from runbook.engine.recover import incident as life
from runbook.engine.recover import outcomes, steps
from runbook.engine.recover.commands import Notify
from runbook.engine.recover.state import Owner, Phase

if TYPE_CHECKING:
    from runbook.engine.decide.guards import Refusal
    from runbook.engine.recover.state import Incident, Turn

GUARDS: Final = frozenset({"limit", "flapping"})  # by time alone, a person is not waited for


def tell(turn: Turn, incident: Incident, refusal: Refusal) -> None:
    """Tell by the `notify` steps of `unhealed` that a recovery is refused, and by what."""
    detector = turn.plan.detector(incident.detector)
    if refusal.guard not in GUARDS or turn.plan.settings.check or detector.probe == "error":
        return  # an operation's failure is told when it has failed for good
    if incident.key in turn.read("failed"):
        return  # its last recovery was in vain, and that was told
    for call in detector.unhealed:
        if call.module != "notify":
            continue
        intent = f"{turn.plan.run}-{turn.counter + 1}"
        owner = Owner("incident", incident.host, incident.key)
        outcome = steps.begin(turn, call, life.scope(turn, incident), owner, subject=incident.subject)
        if outcome is None:
            continue
        said = turn.commands[-1] if turn.commands else None
        if outcome.ok and isinstance(said, Notify):
            turn.commands[-1] = replace(said, message=f"{said.message} (not tried again: {refusal.reason})")
        turn.tell(
            "step.ended",
            incident,
            step=intent,
            module=call.module,
            title=call.title,
            rung=incident.rung,
            phase=Phase.UNHEALED.value,
            **outcomes.told(outcome),
        )
