"""The state machine: `advance(state, event, now) -> (state, commands)`. It does no I/O and reads no clock."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runbook.engine.detect import correlate
from runbook.engine.detect.judge import Verdict, conjunction, disjunction, judge, negation
from runbook.engine.errors import RenderError
from runbook.engine.model import UNKNOWN, IncidentState, Lacking, NotSeen, Outcome, Record, StepStatus
from runbook.engine.recover import incident as life
from runbook.engine.recover import ladder, operate, steps
from runbook.engine.recover.commands import Ended, Finish, Looked, Operate, Probed, Recover, Resume, Stop, Woke
from runbook.engine.recover.state import Turn
from runbook.modules import catalogue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.model import Detector, Look, Truth
    from runbook.engine.recover.commands import Command, Event
    from runbook.engine.recover.state import State, Task


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
        _looked(turn, event)
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
        operate.finish(turn, event.host)
    elif isinstance(event, Recover):
        turn.recovering = True
    elif isinstance(event, Stop):
        _stop(turn)
    elif isinstance(event, Resume):
        chosen = turn.plan.settings.detectors
        for incident in list(turn.read("incidents").values()):
            if not chosen or incident.detector in chosen:
                life.resumed(turn, incident)
            if incident.busy or incident.intent is not None:
                ladder.resume(turn, incident, event.outcomes.get(incident.intent or ""))
    return turn.end()


def _looked(turn: Turn, event: Looked) -> None:
    judged: list[Detector] = []
    for detector in turn.plan.runbook.detectors:
        look = event.looks.get(detector.name)
        if look is None or detector.probe in correlate.CORRELATIONS:
            continue
        judged.append(detector)
        _take(turn, detector, event.host, _judge(turn, detector, event.host, look), _events(detector))
    seen = {detector.name for detector in judged}
    for detector in turn.plan.runbook.detectors:
        if detector.probe in correlate.CORRELATIONS and seen.intersection(detector.members):
            seen.add(detector.name)
            said = {name: told for (host, name), told in turn.read("said").items() if host == event.host}
            holds = correlate.correlate(detector, said, turn.now)
            verdict = Verdict("", holds, negation(holds), Record("", {"members": list(detector.members)}))
            judged.append(detector)
            _take(turn, detector, event.host, [verdict], events=False)
    _decide(turn, event.host, judged)


def _judge(turn: Turn, detector: Detector, host: str, look: Look) -> list[Verdict] | str:
    """Judge a look; text = why nothing is known."""
    if isinstance(look, NotSeen):
        return look.reason
    if isinstance(look, Lacking):
        turn.tell("look.absent", host=host, detector=detector.name, reason=look.reason)
        return []
    try:
        return judge(detector, look.records, turn.plan.scopes[host], turn.now, _events(detector))
    except RenderError as error:
        return error.what


def _take(turn: Turn, detector: Detector, host: str, verdicts: list[Verdict] | str, events: bool) -> None:
    """Take in what a look says: the holds, the incidents, those that verify, and what correlations will ask."""
    said = turn.write("said")
    if isinstance(verdicts, str):
        turn.tell("look.unknown", host=host, detector=detector.name, reason=verdicts, whole=True)
        said[(host, detector.name)] = correlate.say(said.get((host, detector.name)), UNKNOWN, turn.now)
        _verify(turn, detector, host, [], UNKNOWN)
        return
    unclear = [verdict.subject or host for verdict in verdicts if verdict.holds is UNKNOWN]
    if unclear:
        condition = detector.when.text if detector.when else "all members"
        reason = f"can't tell whether `{condition}` holds for {', '.join(unclear[:3])}"
        turn.tell("look.unknown", host=host, detector=detector.name, reason=reason)
    elif (host, detector.name) in said and said[(host, detector.name)].holds is UNKNOWN:
        turn.tell("look.seen", host=host, detector=detector.name)
    overall = disjunction(verdict.holds for verdict in verdicts)
    said[(host, detector.name)] = correlate.say(said.get((host, detector.name)), overall, turn.now)
    if not detector.is_input:
        for verdict in verdicts:
            life.saw(turn, detector, host, verdict, events)
        if not events and verdicts:
            life.missed(turn, detector, host, {verdict.subject for verdict in verdicts})
    _verify(turn, detector, host, verdicts, True if events else UNKNOWN)


def _verify(turn: Turn, looked: Detector, host: str, verdicts: list[Verdict], otherwise: Truth) -> None:
    """Tell the incidents whose verification this look serves; `otherwise` = what no record of the subject means."""
    by_subject = {verdict.subject: verdict for verdict in verdicts}
    for incident in list(turn.read("incidents").values()):
        if incident.host != host or incident.state is not IncidentState.VERIFYING:
            continue
        detector = turn.plan.detector(incident.detector)
        if (detector.verify.detector or detector.name) != looked.name or detector.probe == "error":
            continue
        verdict = by_subject.get(incident.subject)
        if verdict is not None:
            turn.put(replace(incident, after=life.plain(verdict)))
            clear = negation(verdict.holds) if _events(looked) else verdict.clear
        elif detector.verify.detector is not None and verdicts:
            clear = conjunction(each.clear for each in verdicts)
        else:
            clear = otherwise
        ladder.looked(turn, turn.read("incidents")[incident.key], clear)


def _decide(turn: Turn, host: str, judged: list[Detector]) -> None:
    names = {detector.name for detector in judged}
    order = {detector.name: place for place, detector in enumerate(turn.plan.runbook.detectors)}
    mine = [incident for incident in turn.read("incidents").values() if incident.host == host]
    for incident in sorted(mine, key=lambda incident: order[incident.detector]):
        current = turn.incident(incident.key)
        if current is None or current.state not in life.ASKED_AGAIN or current.detector not in names:
            continue
        if current.state is IncidentState.WAITING and current.begun is not None and current.rung > 0:
            ladder.go_on(turn, current)
        elif life.decide(turn, current):
            ladder.begin(turn, turn.incident(current.key) or current)


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


def _task_over(turn: Turn, task: Task, outcome: Outcome | None, matched: Mapping[str, Truth]) -> None:
    if outcome is None:
        return
    turn.write("tasks").pop(task.intent, None)
    if task.owner.key is not None:
        ladder.ended(turn, task.owner.key, task.intent, outcome, task.call)
        operate.recovery_moved(turn, task.owner.host)
    else:
        operate.ended(turn, task, outcome, matched)


def _stop(turn: Turn) -> None:
    """Begin nothing new; words of the engine end at once, what is on a host is awaited."""
    turn.stopping = True
    for task in list(turn.read("tasks").values()):
        if catalogue.step(task.call.module).engine:
            _task_over(turn, task, Outcome(StepStatus.FAILED, error="stopped"), {})
    for work in list(turn.read("works").values()):
        turn.put_work(replace(work, wake=None))
    for incident in list(turn.read("incidents").values()):
        turn.put(replace(incident, wake=None))


def _events(detector: Detector) -> bool:
    return catalogue.probe(detector.probe).events
