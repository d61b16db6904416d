"""A host's operations in order: attempt, the first matching `error` detector, its recovery, the next attempt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runbook.engine.detect import components, errors
from runbook.engine.detect.judge import Verdict
from runbook.engine.model import UNKNOWN, IncidentState, OperationState, Record, Retry, StepStatus
from runbook.engine.recover import incident as life
from runbook.engine.recover import ladder, steps
from runbook.engine.recover.retry import delay
from runbook.engine.recover.state import Owner, Phase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.model import Detector, Operation, Outcome, Truth
    from runbook.engine.recover.state import Incident, Task, Turn, Work

ONE_MORE = Retry(attempts=2, base=0.0)  # a recovery without any `retry` is followed by one more attempt


def begin(turn: Turn, host: str) -> None:
    """Begin a host's operations."""
    work = turn.put_work(replace(turn.work(host), began=turn.now))
    _attempt(turn, work)


def ended(turn: Turn, task: Task, outcome: Outcome, matched: Mapping[str, Truth]) -> None:
    """Go on after an attempt, or after a step of `finally`.

    Args:
        turn: the turn.
        task: what was in flight.
        outcome: how it ended.
        matched: for a failed attempt, what the `error` detectors that may be about it say.
    """
    work = turn.work(task.owner.host)
    if task.owner.kind == "finally":
        _finally_ended(turn, work, task, outcome)
        return
    operation = turn.plan.runbook.operations[work.index]
    _attempt_ended(turn, work, operation, task.intent, outcome, matched)


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
            _operation_ended(turn, work, OperationState.WAITING)
        else:
            _pause(turn, work)


def finish(turn: Turn, host: str) -> None:
    """Run the `finally` steps, whatever happened before; one that fails does not stop the next."""
    work = turn.work(host)
    listed = turn.plan.runbook.finally_
    if work.final >= len(listed) or not work.started:
        return
    call = listed[work.final]
    scope = turn.plan.scopes[host].bind(registers=work.registers)
    before = turn.counter
    outcome = steps.begin(turn, call, scope, Owner("finally", host))
    if outcome is not None:
        _told(turn, host, call.module, call.title, f"{turn.plan.run}-{before + 1}", outcome)
        turn.put_work(replace(work, final=work.final + 1))
        finish(turn, host)


def _finally_ended(turn: Turn, work: Work, task: Task, outcome: Outcome) -> None:
    _told(turn, work.host, task.call.module, task.call.title, task.intent, outcome)
    turn.put_work(replace(work, final=work.final + 1))
    finish(turn, work.host)


def _told(turn: Turn, host: str, module: str, title: str, intent: str, outcome: Outcome) -> None:
    turn.tell("step.ended", host=host, step=intent, module=module, title=title, phase="finally", **ladder.told(outcome))


def _attempt(turn: Turn, work: Work) -> None:
    operations = turn.plan.runbook.operations
    while work.index < len(operations) and not _wanted(turn, operations[work.index]):
        turn.tell(
            "operation.ended",
            host=work.host,
            operation=operations[work.index].name,
            state="skipped",
            attempts=0,
            duration=0.0,
            error="left out by --tags",
        )
        work = turn.put_work(replace(work, index=work.index + 1))
    if work.index >= len(operations) or turn.stopping:
        return
    operation = operations[work.index]
    began = work.began if work.attempt else turn.now
    work = turn.put_work(
        replace(
            work,
            attempt=work.attempt + 1,
            state=OperationState.RUNNING,
            started=True,
            began=began,
            attempt_began=turn.now,
            wake=None,
        )
    )
    turn.tell("attempt.begun", host=work.host, operation=operation.name, attempt=work.attempt)
    scope = turn.plan.scopes[work.host].bind(registers=work.registers)
    before = turn.counter
    outcome = steps.begin(
        turn, operation.step, scope, Owner("operation", work.host), operation=operation.name, timeout=operation.timeout
    )
    if outcome is not None:
        _attempt_ended(turn, work, operation, f"{turn.plan.run}-{before + 1}", outcome, {})


def _attempt_ended(
    turn: Turn, work: Work, operation: Operation, intent: str, outcome: Outcome, matched: Mapping[str, Truth]
) -> None:
    turn.tell(
        "attempt.ended",
        host=work.host,
        operation=operation.name,
        step=intent,
        attempt=work.attempt,
        ok=outcome.ok,
        module=operation.step.module,
        title=operation.name,
        **ladder.told(outcome),
    )
    if operation.component is not None and not turn.plan.settings.check and outcome.status is not StepStatus.SKIPPED:
        key = (work.host, operation.component)
        attempt = components.Attempt(turn.now, outcome.ok, outcome.duration)
        most = components.window(turn.plan.runbook, operation.component)
        turn.write("attempts")[key] = (*turn.read("attempts").get(key, ()), attempt)[-most:]
    registers = dict(work.registers)
    if operation.step.register:
        registers[operation.step.register] = ladder.registered(outcome)
    work = turn.put_work(replace(work, registers=registers, error=outcome.error))
    if outcome.ok:
        skipped = outcome.status is StepStatus.SKIPPED
        _operation_ended(turn, work, OperationState.SKIPPED if skipped else OperationState.SUCCEEDED)
        return
    _failed(turn, work, operation, outcome, matched)


def _failed(turn: Turn, work: Work, operation: Operation, outcome: Outcome, matched: Mapping[str, Truth]) -> None:
    record = Record(operation.name, failure(operation.name, work.attempt, outcome))
    for name, truth in matched.items():
        if truth is UNKNOWN:
            turn.tell("look.unknown", host=work.host, detector=name, reason="its pattern did not end in time")
    detector = next((each for each in turn.plan.runbook.detectors if matched.get(each.name) is True), None)
    if detector is not None:  # that its patterns are quick on this text was seen by whoever asked them
        record = replace(record, fields=errors.told(detector, record.fields))
    name = detector.name if detector else ""
    count = work.failures.get(name, 0) + 1
    work = turn.put_work(replace(work, failures={**work.failures, name: count}))
    policy = _policy(detector, operation)
    last = policy is None or count >= policy.attempts
    if detector is not None:
        key = (work.host, detector.name, operation.name)
        incident = turn.incident(key)
        if incident is None:
            verdict = Verdict(operation.name, True, False, record)
            incident = life.open_incident(turn, detector, key, verdict, work.attempt_began)
        else:
            incident = turn.put(
                replace(
                    incident,
                    state=IncidentState.OPEN,
                    reason="",
                    seen=turn.now,
                    count=incident.count + 1,
                    phase=Phase.NONE,
                )
            )
    if last or policy is None:
        _operation_ended(turn, work, OperationState.FAILED)
        return
    wait = delay(policy, count, f"{turn.plan.run}:{work.host}:{operation.name}")
    asked = outcome.data.get("retry_after")
    work = turn.put_work(replace(work, pause=max(wait, float(asked)) if isinstance(asked, int | float) else wait))
    if detector is not None and detector.recover and incident is not None:
        _recover(turn, work, key)
    else:
        _pause(turn, work)


def _recover(turn: Turn, work: Work, key: tuple[str, str, str]) -> None:
    incident = turn.incident(key)
    assert incident is not None
    recovering, turn.recovering = turn.recovering, True
    allowed = life.decide(turn, incident)
    turn.recovering = recovering
    current = turn.incident(key) or incident
    if allowed:
        turn.put_work(replace(work, incident=key))
        ladder.begin(turn, current)
        recovery_moved(turn, work.host)
    elif current.state is IncidentState.WAITING:
        _operation_ended(turn, work, OperationState.WAITING)
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


def _operation_ended(turn: Turn, work: Work, state: OperationState) -> None:
    operations = turn.plan.runbook.operations
    operation = operations[work.index]
    turn.tell(
        "operation.ended",
        host=work.host,
        operation=operation.name,
        state=state.value,
        attempts=work.attempt,
        duration=turn.now - work.began,
        error="" if state is OperationState.SUCCEEDED else work.error,
    )
    for incident in list(turn.read("incidents").values()):
        about = incident.host == work.host and incident.subject == operation.name
        if about and turn.plan.detector(incident.detector).error is not None:
            _settle(turn, incident, state)
    onward = replace(work, index=work.index + 1, attempt=0, failures={}, error="", state=OperationState.PENDING)
    if state in (OperationState.SUCCEEDED, OperationState.SKIPPED):
        _attempt(turn, turn.put_work(onward))
        return
    for left in operations[work.index + 1 :]:
        turn.tell(
            "operation.ended",
            host=work.host,
            operation=left.name,
            state="skipped",
            attempts=0,
            duration=0.0,
            error=f"`{operation.name}` {'waits' if state is OperationState.WAITING else 'failed'}",
        )
    turn.put_work(replace(work, index=len(operations), state=state))


def _settle(turn: Turn, incident: Incident, state: OperationState) -> None:
    """End an `error` detector's incident as its operation ended; one that waits for a person goes on waiting."""
    if state is OperationState.SUCCEEDED:
        ladder.settle(turn, incident, IncidentState.CURED, "")
    elif state is OperationState.FAILED:
        reason = "; ".join((*incident.errors, "the operation failed for good"))
        ladder.settle(turn, incident, IncidentState.UNHEALED, reason)


def _policy(detector: Detector | None, operation: Operation) -> Retry | None:
    if detector is None or detector.retry is None:
        if detector is not None and detector.recover and operation.retry.attempts <= 1:
            return ONE_MORE
        return operation.retry
    return None if detector.retry is False else detector.retry


def failure(operation: str, attempt: int, outcome: Outcome) -> dict[str, Any]:
    """Return the fields of a failed attempt's record, which `error` detectors judge."""
    code = outcome.exit_code
    return {
        "operation": operation,
        "message": outcome.error,
        "exit_code": code if code is None or code >= 0 else None,
        "signal": -code if code is not None and code < 0 else None,
        "output": outcome.output,
        "attempt": attempt,
        "signature": None,
        "role": None,
    }


def _wanted(turn: Turn, operation: Operation) -> bool:
    tags = turn.plan.settings.tags
    return not tags or bool(tags.intersection(operation.step.tags))
