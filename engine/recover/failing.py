"""What follows a failed attempt: the `error` detector that knows it, its incident, and whether it is tried again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runbook.engine.decide import tolerance
from runbook.engine.detect import errors
from runbook.engine.detect.judge import Verdict
from runbook.engine.model import IncidentState, Record, Retry
from runbook.engine.recover import incident as life
from runbook.engine.recover import retry as retrying
from runbook.engine.recover.retry import Failures
from runbook.engine.recover.state import Phase
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from runbook.engine.model import Detector, Key, Operation, Outcome
    from runbook.engine.recover.attempt import Judged
    from runbook.engine.recover.state import Incident, Turn
    from runbook.engine.recover.work import Work

ONE_MORE = Retry(attempts=2, base=0.0)  # a recovery without any `retry` is followed by one more attempt


@frozen
class Next:
    """What is done about a failure."""

    work: Work
    again: bool = False  # it is tried again, after `work.pause`
    first: Key | None = None  # the incident whose recovery comes before that


def take(turn: Turn, work: Work, operation: Operation, judged: Judged) -> Next:
    """Take in a failed attempt: open its incident, charge it, and say what is next."""
    outcome = judged.outcome
    detector, record = _matching(turn, work, operation, judged)
    name = detector.name if detector else ""
    earlier = work.failures.get(name) or Failures(since=work.attempt_began)
    progressed = retrying.progressed(outcome.data)
    failures = replace(
        earlier,
        charged=earlier.charged + (not progressed and not judged.more),
        free=earlier.free + progressed,
    )
    work = replace(work, failures={**work.failures, name: failures}, failed=record.fields, matched=frozenset())
    key = (work.host, name, operation.name)
    if detector is not None:
        _incident(turn, detector, key, record, work)
    policy = _policy(detector, operation, turn.plan.runbook.fault_tolerance)
    if policy is None:
        return Next(work)
    seed = f"{turn.plan.run}:{work.host}:{operation.name}"
    pause = 0.0 if judged.more else retrying.pause(policy, failures, outcome.data, seed)
    over = retrying.exhausted(policy, failures, turn.now + pause)
    if over is not None:
        return Next(replace(work, error=f"{work.error}; {over}" if over else work.error))
    work = replace(work, pause=pause, tried=work.tried if judged.more else ())
    recovers = detector is not None and bool(detector.recover) and not judged.more
    if turn.plan.settings.check and not judged.more and (not recovers or failures.charged > 1):
        return Next(work)  # nothing has changed since, so that it would fail alike
    return Next(work, again=True, first=key if recovers else None)


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


def _matching(turn: Turn, work: Work, operation: Operation, judged: Judged) -> tuple[Detector | None, Record]:
    """Return the first `error` detector that knows the failure, and the failure's record."""
    fields = failure(operation.name, work.attempt, judged.outcome)
    about = errors.about(turn.plan.runbook.detectors, operation.name)
    found = next((each for each in about if each.name in judged.matched or errors.any_failure(each)), None)
    if found is not None and found.name in judged.matched:
        fields = errors.told(found, fields)  # that its patterns are quick on this text was seen by whoever asked them
    return found, Record(operation.name, fields)


def _incident(turn: Turn, detector: Detector, key: Key, record: Record, work: Work) -> Incident:
    """Open the incident of a failure, or count it in the one that there is."""
    incident = turn.incident(key)
    if incident is None:
        verdict = Verdict(record.subject, True, False, record)
        return life.open_incident(turn, detector, key, verdict, work.attempt_began)
    count = incident.count + 1
    return turn.put(
        replace(incident, state=IncidentState.OPEN, reason="", seen=turn.now, count=count, phase=Phase.NONE)
    )


def _policy(detector: Detector | None, operation: Operation, preset: str | None) -> Retry | None:
    """Return how it is tried again after a failure; None = not at all."""
    if not tolerance.allows(preset, "low"):
        return None
    if detector is None or detector.retry is None:
        if detector is not None and detector.recover and operation.retry.attempts == 1:
            return ONE_MORE
        return operation.retry
    return None if detector.retry is False else detector.retry
