"""A host's operations in order: attempt, the first matching `error` detector, its recovery, the next attempt.

When the attempts are used up come the fallbacks, and when all is lost, where the runbook says so, the undoing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runbook.engine.decide import tolerance
from runbook.engine.model import IncidentState, OperationState, StepStatus
from runbook.engine.recover import attempt, closing, decision, failing, fallback, ladder, outcomes, permission, steps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.model import Key, Operation, Outcome, Truth
    from runbook.engine.recover.attempt import Judged
    from runbook.engine.recover.fallback import Fell
    from runbook.engine.recover.state import Incident, Task, Turn
    from runbook.engine.recover.work import Work

DONE = frozenset({OperationState.SUCCEEDED, OperationState.SKIPPED})
_VERDICTS = {  # of what is run once, for the hosts that do not carry it out
    OperationState.FAILED: "failed",
    OperationState.WAITING: "waits for a person",
}


def begin(turn: Turn, host: str) -> None:
    """Begin a host's operations."""
    _next(turn, turn.work(host))


def ended(turn: Turn, task: Task, outcome: Outcome, matched: Mapping[str, Truth]) -> None:
    """Go on after a step of an attempt, of a fallback, or of `finally`.

    Args:
        turn: the turn.
        task: what was in flight.
        outcome: how it ended.
        matched: for a failed attempt, what the `error` detectors that may be about it say.
    """
    work = turn.work(task.owner.host)
    if task.owner.kind == "finally":
        closing.ended(turn, work, task, outcome)
        return
    operation = _operation(turn, work)
    lost = outcome.status is StepStatus.LOST
    if lost and not (steps.again(task.call) or outcome.data.get("begun") is False):
        error = (
            "an earlier run began it and nobody knows how it ended; "
            f"look, then `runbook release {task.intent}` frees it"
        )
        _over(turn, replace(work, error=error), OperationState.INTERRUPTED)
        return
    _known(turn, work.host, operation, task.intent)
    if lost and (turn.stopping or work.lost):
        lost, outcome = False, replace(outcome, status=StepStatus.FAILED, error="the host says that it never began it")
    elif lost:
        work = turn.put_work(replace(work, lost=work.lost + 1))
    if task.owner.kind == "fallback":
        first = work.fallback or 0
        fell = fallback.begin(turn, work, operation, first) if lost else fallback.ended(turn, operation, task, outcome)
        _fell(turn, work.host, operation, fell)
    else:
        judged = (
            attempt.again(turn, operation, work.host, task.intent)
            if lost
            else attempt.ended(turn, operation, task, outcome, matched)
        )
        _judged(turn, work.host, operation, judged)


def undone(turn: Turn, intent: str, outcome: Outcome) -> None:
    """Go on after a step of an operation was undone."""
    for work in list(turn.read("works").values()):
        if intent in work.undoing[:1]:
            onward = fallback.undone(turn, work, _operation(turn, work), outcome)
            if not fallback.undo(turn, onward):
                _over(turn, onward, OperationState.FAILED)


def woke(turn: Turn, work: Work) -> None:
    """Make the next attempt, now that the delay is over."""
    _attempt(turn, turn.put_work(replace(work, wake=None)))


def recovery_moved(turn: Turn, host: str) -> None:
    """See whether the recovery that an operation waits for is over, or parked."""
    work = turn.work(host)
    if work.incident is None:
        return
    incident = turn.incident(work.incident)
    if incident is None or incident.state is not IncidentState.RECOVERING:
        waits = incident is not None and incident.state is IncidentState.WAITING
        work = turn.put_work(replace(work, incident=None))
        if waits:
            _over(turn, work, OperationState.WAITING)
        else:
            _pause(turn, work)


def _operation(turn: Turn, work: Work) -> Operation:
    """Return the operation in hand, as far as the runbook's `fault_tolerance` lets it go."""
    runbook = turn.plan.runbook
    return tolerance.bounded(runbook.operations[work.index], runbook.fault_tolerance)


def _next(turn: Turn, work: Work) -> None:
    """Begin the operation that a host has come to."""
    operations = turn.plan.runbook.operations
    while work.index < len(operations) and not _wanted(turn, operations[work.index]):
        _skipped(turn, work.host, operations[work.index].name, "left out by --tags")
        work = turn.put_work(work.onward())
    if work.index >= len(operations) or turn.stopping:
        return
    operation = _operation(turn, work)
    if operation.run_once and not _mine(turn, work, operation):
        return
    refusal = permission.refuse(turn, operation.step)
    if refusal is not None:
        _refused(turn, replace(work, error=refusal.reason, began=turn.now), refusal.guard)
        return
    work = turn.put_work(replace(work, state=OperationState.RUNNING, started=True, began=turn.now))
    left = () if turn.plan.settings.check else turn.read("left").get((work.host, operation.name), ())
    if left:
        attempt.resume(turn, work, operation, left)
    else:
        _attempt(turn, work)


def _mine(turn: Turn, work: Work, operation: Operation) -> bool:
    """Tell whether a host is the one that carries out what is run once; another one waits for that, and goes on."""
    host, state = turn.read("once").get(operation.name, ("", None))
    if not host and _first(turn, operation) == work.host:
        turn.write("once")[operation.name] = host, state = work.host, None
    if host == work.host:
        return True
    if state in DONE:
        _skipped(turn, work.host, operation.name, f"run once, on {host}")
        registers = {**turn.work(host).registers, **work.registers}
        _next(turn, turn.put_work(replace(work.onward(), registers=registers)))
    elif state is not None:
        said = _VERDICTS.get(state, state.value)
        for left in turn.plan.runbook.operations[work.index :]:
            what = "it" if left is operation else f"`{operation.name}`"
            _skipped(turn, work.host, left.name, f"{what} {said} on {host}", hindered=True)
        turn.put_work(replace(work.onward(state), index=len(turn.plan.runbook.operations)))
    else:
        turn.put_work(work)
    return False


def _first(turn: Turn, operation: Operation) -> str:
    """Return the first host that can come to an operation: reached, and not stopped before it."""
    place = turn.plan.runbook.operations.index(operation)
    gone = turn.read("unreached")
    return next((host for host in turn.plan.scopes if host not in gone and turn.work(host).index <= place), "")


def _unblock(turn: Turn) -> None:
    """Let another host carry out what is run once, where the one that was to do it has failed before."""
    operations = turn.plan.runbook.operations
    for work in list(turn.read("works").values()):
        here = operations[work.index] if work.index < len(operations) else None
        if here is not None and here.run_once and here.name not in turn.read("once"):
            _next(turn, work)


def _once(turn: Turn, operation: Operation, host: str, state: OperationState) -> None:
    """Let the hosts go on that waited for what was run once."""
    turn.write("once")[operation.name] = (host, state)
    place = turn.plan.runbook.operations.index(operation)
    for work in list(turn.read("works").values()):
        if work.index == place and work.host != host:
            _next(turn, work)


def _refused(turn: Turn, work: Work, guard: str) -> None:
    """Leave an operation out that may not be carried out now, and those behind it where it would have been theirs."""
    operations = turn.plan.runbook.operations
    if guard == "approval":
        _over(turn, work, OperationState.WAITING)
        return
    _skipped(turn, work.host, operations[work.index].name, work.error)
    if guard == "mode":
        _next(turn, turn.put_work(work.onward()))
        return
    for left in operations[work.index + 1 :]:
        _skipped(turn, work.host, left.name, f"`{operations[work.index].name}` was left out")
    turn.put_work(replace(work.onward(OperationState.SKIPPED), index=len(operations)))


def _attempt(turn: Turn, work: Work) -> None:
    """Make an attempt, unless a recovery that an earlier run began is still about this operation."""
    if turn.stopping:
        return
    operation = _operation(turn, work)
    for incident in turn.read("incidents").values():
        about = (incident.host, incident.subject) == (work.host, operation.name)
        if about and incident.state is IncidentState.RECOVERING and turn.plan.detector(incident.detector).error:
            if incident.intent is None or incident.intent in turn.read("tasks"):
                turn.put_work(replace(work, incident=incident.key, pause=0.0))
            else:
                error = f"a recovery ({incident.id}) that an earlier run began is not over"
                _over(turn, replace(work, error=error), OperationState.WAITING)
            return
    _judged(turn, work.host, operation, attempt.begin(turn, work, operation))


def _judged(turn: Turn, host: str, operation: Operation, judged: Judged | None) -> None:
    """Go on after an attempt."""
    if judged is None:
        return
    work = turn.work(host)
    outcome = judged.outcome
    if judged.blocked:
        error = f"{work.error}; {outcome.error}" if work.error else outcome.error
        _used_up(turn, turn.put_work(replace(work, error=error)), operation)
        return
    registers = dict(work.registers)
    if operation.step.register:
        about = {"member": judged.member} if judged.member else {}
        registers[operation.step.register] = {**outcomes.registered(outcome), **about}
    work = turn.put_work(replace(work, registers=registers, error=outcome.error))
    if outcome.ok:
        skipped = outcome.status is StepStatus.SKIPPED
        _over(turn, work, OperationState.SKIPPED if skipped else OperationState.SUCCEEDED, member=judged.member)
        return
    following = failing.take(turn, work, operation, judged)
    work = turn.put_work(following.work)
    if not following.again:
        _used_up(turn, work, operation)
    elif following.first is not None:
        _recover(turn, work, following.first)
    else:
        _pause(turn, work)


def _recover(turn: Turn, work: Work, key: Key) -> None:
    incident = turn.incident(key)
    assert incident is not None
    recovering, turn.recovering = turn.recovering, True
    allowed = decision.decide(turn, incident)
    turn.recovering = recovering
    current = turn.incident(key) or incident
    if allowed:
        turn.put_work(replace(work, incident=key))
        ladder.begin(turn, current)
        recovery_moved(turn, work.host)
    elif current.state is IncidentState.WAITING:
        _over(turn, work, OperationState.WAITING)
    else:
        _pause(turn, work)


def _pause(turn: Turn, work: Work) -> None:
    if turn.plan.settings.check or work.pause <= 0:
        _attempt(turn, work)
    else:
        turn.tell(
            "attempt.delayed",
            host=work.host,
            operation=turn.plan.runbook.operations[work.index].name,
            delay=work.pause,
            attempt=work.attempt + 1,
        )
        turn.put_work(replace(work, wake=turn.now + work.pause))


def _used_up(turn: Turn, work: Work, operation: Operation) -> None:
    """There is no further attempt: the fallbacks are tried."""
    _fell(turn, work.host, operation, fallback.begin(turn, work, operation))


def _fell(turn: Turn, host: str, operation: Operation, fell: Fell | None) -> None:
    """Go on after the fallbacks; when all is lost, what was done is undone where the runbook says so."""
    if fell is None:
        return
    work = turn.work(host)
    if fell.ok:
        _over(turn, work, OperationState.SUCCEEDED, fallback=fell.title, after=work.error)
        return
    error = "; ".join(part for part in (work.error, *work.fallen) if part)
    wanted = operation.rollback and not (turn.plan.settings.check or turn.stopping)
    work = turn.put_work(replace(work, error=error, undoing=(*work.guards, *work.done)[::-1] if wanted else ()))
    if not fallback.undo(turn, work):
        _over(turn, work, OperationState.FAILED)


def _known(turn: Turn, host: str, operation: Operation, intent: str) -> None:
    """Forget that an earlier run left a step: what became of it is known."""
    key = (host, operation.name)
    if key in turn.read("left"):
        rest = tuple(each for each in turn.read("left")[key] if each.intent != intent)
        turn.write("left")[key] = rest


def _over(turn: Turn, work: Work, state: OperationState, **told: Any) -> None:
    """End an operation: its incidents with it, and then the next one begins, or none does."""
    operations = turn.plan.runbook.operations
    operation = operations[work.index]
    told = {name: value for name, value in told.items() if value}
    if work.undone:
        told["undone"] = [dict(each) for each in work.undone]
    turn.tell(
        "operation.ended",
        host=work.host,
        operation=operation.name,
        state=state.value,
        attempts=work.attempt,
        duration=turn.now - work.began,
        error="" if state in DONE else work.error,
        **told,
    )
    for incident in list(turn.read("incidents").values()):
        about = incident.host == work.host and incident.subject == operation.name
        if about and turn.plan.detector(incident.detector).error is not None:
            _settle(turn, incident, state, str(told.get("fallback", "")))
    if state in DONE:
        onward = turn.put_work(work.onward())
        if operation.run_once:
            _once(turn, operation, work.host, state)
        _next(turn, onward)
        return
    if operation.run_once:
        _once(turn, operation, work.host, state)
    why = {OperationState.WAITING: "waits", OperationState.INTERRUPTED: "was interrupted"}.get(state, "failed")
    for left in operations[work.index + 1 :]:
        _skipped(turn, work.host, left.name, f"`{operation.name}` {why}")
    turn.put_work(replace(work.onward(state), index=len(operations)))
    _unblock(turn)


def _skipped(turn: Turn, host: str, name: str, error: str, *, hindered: bool = False) -> None:
    """Tell that an operation is left out; `hindered`: by what became of another host's."""
    about: dict[str, Any] = {"operation": name, "state": "skipped", "attempts": 0, "duration": 0.0, "error": error}
    if hindered:
        about["hindered"] = True
    turn.tell("operation.ended", host=host, **about)


def _settle(turn: Turn, incident: Incident, state: OperationState, fallback: str) -> None:
    """End an `error` detector's incident as its operation ended; one that waits for a person goes on waiting."""
    if state is OperationState.SUCCEEDED:
        reason = f"by the fallback {fallback}" if fallback else ""
        ladder.settle(turn, incident, IncidentState.CURED, reason)
    elif state is OperationState.FAILED:
        held = tuple(str(answer["reason"]) for answer in incident.answers if not answer["ok"])
        reason = "; ".join((*held, *incident.errors, "the operation failed for good"))
        ladder.settle(turn, incident, IncidentState.UNHEALED, reason)


def _wanted(turn: Turn, operation: Operation) -> bool:
    tags = turn.plan.settings.tags
    return not tags or bool(tags.intersection(operation.step.tags))
