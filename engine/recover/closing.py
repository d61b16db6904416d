"""The steps of `finally`: they end an `apply` that began its operations, whatever happened."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runbook.engine.recover import outcomes, steps
from runbook.engine.recover.state import Owner

if TYPE_CHECKING:
    from runbook.engine.model import Outcome
    from runbook.engine.recover.state import Task, Turn
    from runbook.engine.recover.work import Work


def begin(turn: Turn, host: str, *, begun: bool = False) -> None:
    """Run the `finally` steps, whatever happened before; one that fails does not stop the next.

    Args:
        turn: what is known.
        host: where.
        begun: its operations were begun by a run before this one.
    """
    work = turn.work(host)
    listed = turn.plan.runbook.finally_
    if work.final >= len(listed) or not (work.started or begun):
        return
    work = turn.put_work(replace(work, started=True))
    call = listed[work.final]
    scope = turn.plan.scopes[host].bind(registers=work.registers)
    before = turn.counter
    outcome = steps.begin(turn, call, scope, Owner("finally", host))
    if outcome is not None:
        _told(turn, host, call.module, call.title, f"{turn.plan.run}-{before + 1}", outcome)
        turn.put_work(replace(work, final=work.final + 1))
        begin(turn, host)


def ended(turn: Turn, work: Work, task: Task, outcome: Outcome) -> None:
    """Take in the end of one, and begin the next."""
    _told(turn, work.host, task.call.module, task.call.title, task.intent, outcome)
    turn.put_work(replace(work, final=work.final + 1))
    begin(turn, work.host)


def _told(turn: Turn, host: str, module: str, title: str, intent: str, outcome: Outcome) -> None:
    turn.tell(
        "step.ended", host=host, step=intent, module=module, title=title, phase="finally", **outcomes.told(outcome)
    )
