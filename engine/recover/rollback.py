"""`rollback: true`: when a recovery was in vain, what it did is undone, the last step first, as far as it can be."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runbook.engine.model import IncidentState
from runbook.engine.recover import incident as life
from runbook.engine.recover import outcomes
from runbook.engine.recover.commands import Undo
from runbook.engine.recover.state import Phase

if TYPE_CHECKING:
    from runbook.engine.model import Outcome
    from runbook.engine.recover.state import Incident, Turn


def wanted(turn: Turn, incident: Incident) -> bool:
    """Tell whether there is something to undo."""
    return turn.plan.detector(incident.detector).rollback and bool(incident.done)


def begin(turn: Turn, incident: Incident, reason: str) -> None:
    """Undo the last step that is not undone yet; `reason` says why the recovery was in vain."""
    moved = life.move(turn, incident, IncidentState.RECOVERING, reason, phase=Phase.ROLLBACK, wake=None)
    go_on(turn, moved)


def go_on(turn: Turn, incident: Incident) -> None:
    """Ask for the next undo; one that was asked for already is asked for again, and done once."""
    if turn.stopping:
        turn.put(replace(incident, undoing=None))
        return
    intent = incident.undoing or incident.done[-1][0]
    turn.put(replace(incident, undoing=intent))
    turn.commands.append(Undo(intent, incident.host, incident.subject, incident.key))


def undone(turn: Turn, incident: Incident, intent: str, outcome: Outcome) -> Incident:
    """Take in how an undo ended; the incident's `done` holds what is left."""
    module, title = next((each[1:] for each in incident.done if each[0] == intent), ("", ""))
    about = {"module": module, "title": f"undo {title}", "phase": incident.phase.value}
    turn.tell("step.undone", incident, step=intent, **about, **outcomes.told(outcome))
    errors = incident.errors if outcome.ok else (*incident.errors, f"{title} could not be undone: {outcome.error}")
    done = tuple(each for each in incident.done if each[0] != intent)
    return turn.put(replace(incident, undoing=None, done=done, errors=errors))
