"""What becomes of a step's outcome: what the journal is told, what later steps may read, what can be undone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runbook.engine.model import StepStatus
from runbook.engine.recover.state import Incident, Phase
from runbook.modules import catalogue

if TYPE_CHECKING:
    from runbook.engine.model import Outcome, StepCall
    from runbook.engine.recover.state import Turn


def registered(outcome: Outcome) -> dict[str, Any]:
    """Return what `register` makes of an outcome."""
    return {
        "changed": outcome.changed,
        "status": outcome.status.value,
        "exit_code": outcome.exit_code,
        "output": outcome.output,
        "error": outcome.error,
        **outcome.data,
    }


def told(outcome: Outcome) -> dict[str, Any]:
    """Return what the journal is told of an outcome."""
    return {
        "status": outcome.status.value,
        "changed": outcome.changed,
        "error": outcome.error,
        "output": outcome.output,
        "exit_code": outcome.exit_code,
        "diff": outcome.diff,
        "actions": list(outcome.actions),
        "duration": outcome.duration,
    }


def take(turn: Turn, incident: Incident, intent: str, outcome: Outcome, call: StepCall, rung: int) -> Incident:
    """Take in how a step of an incident ended."""
    turn.tell(
        "step.ended",
        incident,
        step=intent,
        module=call.module,
        title=call.title,
        rung=rung,
        phase=incident.phase.value,
        **told(outcome),
    )
    registers = dict(incident.registers)
    if call.register:
        registers[call.register] = registered(outcome)
    guards = outcome.status is StepStatus.DONE and catalogue.step(call.module).guards
    undoable = outcome.changed or guards
    changed = incident.phase is Phase.RECOVER and undoable and not turn.plan.settings.check
    done = (*incident.done, (intent, call.module, call.title)) if changed else incident.done
    return turn.put(replace(incident, registers=registers, done=done))


def failure(call: StepCall, outcome: Outcome) -> str:
    """Return why a step that did not end well did not."""
    return f"{call.title}: {outcome.error or outcome.status.value}"
