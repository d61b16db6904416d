"""When the attempts of an operation are used up: its fallbacks in turn, and at last what it did is undone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runbook.engine.model import StepStatus
from runbook.engine.recover import outcomes, permission, steps
from runbook.engine.recover.commands import Undo
from runbook.engine.recover.state import Owner
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from runbook.engine.model import Operation, Outcome, StepCall
    from runbook.engine.recover.state import Task, Turn
    from runbook.engine.recover.work import Work


@frozen
class Fell:
    """How the fallbacks ended."""

    ok: bool
    title: str = ""  # of the one that did it


def begin(turn: Turn, work: Work, operation: Operation, first: int = 0) -> Fell | None:
    """Try the fallbacks from the first on; return how that ended where it is known at once."""
    for number in range(first, len(operation.fallback)):
        if turn.stopping:
            return None
        call = operation.fallback[number]
        work = turn.put_work(replace(work, fallback=number))
        scope = turn.plan.scopes[work.host].bind(registers=work.registers, error=dict(work.failed))
        refusal = permission.refuse(turn, call) or permission.spent(turn, call, scope, work.host, "")
        if refusal is not None:
            work = turn.put_work(replace(work, fallen=(*work.fallen, f"fallback {call.title}: {refusal.reason}")))
            continue
        before = turn.counter
        outcome = steps.begin(turn, call, scope, Owner("fallback", work.host), operation=operation.name)
        if outcome is None:
            return None
        if _took(turn, work.host, operation, call, f"{turn.plan.run}-{before + 1}", outcome):
            return Fell(ok=True, title=call.title)
        work = turn.work(work.host)
    return Fell(ok=False)


def ended(turn: Turn, operation: Operation, task: Task, outcome: Outcome) -> Fell | None:
    """Take in the end of a fallback; where it failed, the next one begins."""
    host = task.owner.host
    if _took(turn, host, operation, task.call, task.intent, outcome):
        return Fell(ok=True, title=task.call.title)
    work = turn.work(host)
    return begin(turn, work, operation, (work.fallback or 0) + 1)


def undo(turn: Turn, work: Work) -> bool:
    """Undo the next of what an operation did, the last first; tell whether there was any."""
    if not work.undoing:
        return False
    turn.commands.append(Undo(work.undoing[0], work.host, ""))
    return True


def undone(turn: Turn, work: Work, operation: Operation, outcome: Outcome) -> Work:
    """Take in that a step was undone, or could not be."""
    intent, *rest = work.undoing
    told: dict[str, Any] = {"status": outcome.status.value, "error": outcome.error, "actions": list(outcome.actions)}
    turn.tell("operation.undone", host=work.host, operation=operation.name, step=intent, **told)
    kept = work.undone if outcome.ok and not outcome.actions else (*work.undone, told)
    return turn.put_work(replace(work, undoing=tuple(rest), undone=kept))


def _took(turn: Turn, host: str, operation: Operation, call: StepCall, intent: str, outcome: Outcome) -> bool:
    """Tell the journal how a fallback ended, keep its result, and say whether it did what it should."""
    turn.tell(
        "step.ended",
        host=host,
        operation=operation.name,
        step=intent,
        module=call.module,
        title=call.title,
        phase="fallback",
        **outcomes.told(outcome),
    )
    work = turn.work(host)
    if outcome.changed or not outcome.ok:
        work = replace(work, done=(*work.done, intent))
    took = outcome.ok and outcome.status is not StepStatus.SKIPPED
    if outcome.status is not StepStatus.SKIPPED:
        names = {call.register, operation.step.register if took else None} - {None}
        kept = dict.fromkeys((str(name) for name in names), outcomes.registered(outcome))
        work = replace(work, registers={**work.registers, **kept})
    if not outcome.ok:
        error = f"{call.title}: {outcome.error or outcome.status.value}"
        work = replace(work, fallen=(*work.fallen, f"fallback {error}"))
    turn.put_work(work)
    return took
