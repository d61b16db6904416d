"""The state machine: `advance(state, event, now) -> (state, commands)`. It does no I/O and reads no clock."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runbook.engine.model import Outcome, StepStatus
from runbook.engine.recover import (
    closing,
    failover,
    forgetting,
    ladder,
    looks,
    operate,
    queue,
    resumption,
    steps,
    telling,
)
from runbook.engine.recover import incident as life
from runbook.engine.recover.commands import (
    Asked,
    Ended,
    Finish,
    Forget,
    Jumped,
    Looked,
    Operate,
    Over,
    Probed,
    Recover,
    Resume,
    Stop,
    Told,
    Undone,
    Unreachable,
    Woke,
)
from runbook.engine.recover.state import Phase, Turn
from runbook.modules import catalogue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.model import Truth
    from runbook.engine.recover.commands import Command, Event
    from runbook.engine.recover.state import State, Task

_OFTEN = (Looked, Probed, Ended, Undone, Unreachable, Woke)
_ENDING = (Phase.CURED, Phase.UNHEALED, Phase.ROLLBACK)  # lists of steps that follow a recovery


def advance(state: State, event: Event, now: float) -> tuple[State, tuple[Command, ...]]:
    """Take in one event.

    Args:
        state: all that is known.
        event: what was seen, what ended, or that time has passed.
        now: seconds since the epoch; never before the last call's.

    Returns:
        The new state, and what the driver has to do: look, act, wait, notify, and what to tell the journal.

    Example:
        >>> state, commands = advance(state, Looked("localhost", looks), now=1700000000.0)  # doctest: +SKIP
    """
    turn = Turn(state, now)
    if isinstance(event, Looked):
        looks.take(turn, event)
    elif isinstance(event, Probed | Ended):
        task = turn.read("tasks").get(event.intent)
        if task is not None:
            outcome = event.outcome if isinstance(event, Ended) else steps.probed(turn, task, event.look)
            _task_over(turn, task, outcome, event.matched if isinstance(event, Ended) else {})
    elif isinstance(event, Woke):
        _woke(turn)
    elif isinstance(event, Operate):
        operate.begin(turn, event.host)
    elif isinstance(event, Finish):
        closing.begin(turn, event.host, begun=event.begun)
    elif isinstance(event, Recover):
        turn.recovering = event.on
    elif isinstance(event, Stop):
        _stop(turn)
    elif isinstance(event, Resume):
        _resume(turn, event)
    elif isinstance(event, Told):
        _told(turn, event)
    elif isinstance(event, Asked):
        turn.awaited, turn.round, turn.lost = event.hosts, now, {}
    elif isinstance(event, Unreachable):
        looks.unreachable(turn, event)
    elif isinstance(event, Undone):
        _undone(turn, event)
    elif isinstance(event, Forget):
        forgetting.forget(turn, event.before)
    elif isinstance(event, Jumped):
        forgetting.jumped(turn, event.by)
    queue.moved_up(turn)
    telling.tell(turn, everything=not isinstance(event, _OFTEN), at_once=isinstance(event, Over))
    return turn.end()


def _told(turn: Turn, event: Told) -> None:
    """Take in what people have said and what other runs do; what waited for that is decided anew."""
    turn.people, turn.elsewhere, turn.lost = event.people, event.elsewhere, {**turn.lost, **event.lost}
    turn.write("leases").clear()
    turn.write("leases").update(event.leases)
    for key, times in event.begun.items():
        turn.write("begun")[key] = tuple(sorted({*turn.read("begun").get(key, ()), *times}))
    queue.all_due(turn)
    queue.decide(turn)


def _undone(turn: Turn, event: Undone) -> None:
    incidents = list(turn.read("incidents").values())
    owner = next((each for each in incidents if each.undoing == event.intent), None)
    if owner is not None:
        ladder.undone(turn, owner, event.intent, event.outcome)
    else:
        operate.undone(turn, event.intent, event.outcome)


def _resume(turn: Turn, event: Resume) -> None:
    """Tell what earlier runs left, in the order of the file, and go on with it."""
    order = {detector.name: place for place, detector in enumerate(turn.plan.runbook.detectors)}
    known = turn.read("incidents").values()
    left = [incident for incident in known if event.hosts is None or incident.host in event.hosts]
    for incident in sorted(left, key=lambda each: (order[each.detector], each.host, each.subject)):
        if turn.plan.chosen(turn.plan.detector(incident.detector)):
            life.resumed(turn, incident)
        if incident.busy or incident.intent is not None or incident.phase in _ENDING:
            resumption.take_up(turn, incident, {**event.known, **event.outcomes})


def _woke(turn: Turn) -> None:
    for task in list(turn.read("tasks").values()):
        if task.wake is not None and task.wake <= turn.now:
            _task_over(turn, task, steps.woke(turn, task), {})
    for incident in list(turn.read("incidents").values()):
        current = turn.incident(incident.key)
        if current is not None and current.wake is not None and current.wake <= turn.now:
            ladder.woke(turn, current)
    for work in list(turn.read("works").values()):
        if work.wake is not None and work.wake <= turn.now:
            operate.woke(turn, work)
    queue.decide(turn)


def _task_over(turn: Turn, task: Task, outcome: Outcome | None, matched: Mapping[str, Truth]) -> None:
    if outcome is None:
        return
    turn.write("tasks").pop(task.intent, None)
    if task.owner.kind == "switch":
        whole = failover.moved(turn, task, outcome)
        if whole is not None:
            _task_over(turn, *whole, {})
    elif task.owner.key is not None:
        if outcome.status is StepStatus.LOST:  # its host was cut off, and knows nothing of it
            resumption.found(turn, task.owner.key, task.intent, outcome, task.call)
        else:
            ladder.ended(turn, task.owner.key, task.intent, outcome, task.call)
        operate.recovery_moved(turn, task.owner.host)
    else:
        operate.ended(turn, task, outcome, matched)


def _stop(turn: Turn) -> None:
    """Begin nothing new; words of the engine end at once, what is on a host is awaited."""
    turn.stopping = True
    for task in list(turn.read("tasks").values()):
        if catalogue.step(task.call.module).engine and (task.switch is None or task.switch.intent is None):
            _task_over(turn, task, Outcome(StepStatus.FAILED, error="stopped"), {})
    for work in list(turn.read("works").values()):
        turn.put_work(replace(work, wake=None))
    for incident in list(turn.read("incidents").values()):
        turn.put(replace(incident, wake=None))
