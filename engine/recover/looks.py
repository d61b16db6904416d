"""Taking in a look: holds grow and break, incidents open and clear, verifications go on, and the guards are asked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from runbook.engine.detect import components, correlate
from runbook.engine.detect.judge import Verdict, conjunction, disjunction, judge, negation
from runbook.engine.errors import RenderError
from runbook.engine.language import render
from runbook.engine.model import UNKNOWN, IncidentState, Lacking, NotSeen, Seen, Unknown
from runbook.engine.recover import decision, joins, ladder, pools, queue
from runbook.engine.recover import incident as life
from runbook.modules import catalogue

if TYPE_CHECKING:
    from runbook.engine.model import Detector, Look, Truth
    from runbook.engine.recover.commands import Looked, Unreachable
    from runbook.engine.recover.state import Incident, Turn


AT_ONCE: Final = 256  # subjects of a detector on a host that may be ill for the first time in one look


def take(turn: Turn, event: Looked) -> None:
    """Take in what a host answered."""
    if event.answered and event.host in turn.read("unreached"):
        turn.tell("host.reached", host=event.host)
        turn.write("unreached").pop(event.host)
    judged: dict[str, list[Verdict] | None] = {}  # None = nothing is known
    for detector in turn.plan.runbook.detectors:
        look = event.looks.get(detector.name) or _known(turn, detector, event.host)
        if look is None or detector.probe in correlate.CORRELATIONS:
            continue
        partial = _partial(turn, detector, event.host, look)
        found = _judge(turn, detector, event.host, look)
        judged[detector.name] = None if isinstance(found, str) else found
        _take(turn, detector, event.host, found, partial=partial)
    if not event.aside:
        turn.awaited -= {event.host}
    _correlate(turn, event.host, judged)
    queue.judged(turn, event.host, judged)
    queue.decide(turn)


def unreachable(turn: Turn, event: Unreachable) -> None:
    """Take in that a host does not answer: nothing is known of it, and the others wait for it no longer."""
    if turn.read("unreached").get(event.host) != event.reason:
        turn.tell("host.unreachable", host=event.host, reason=event.reason)
        turn.write("unreached")[event.host] = event.reason
    if event.host not in turn.plan.scopes:  # it only carries out what others delegate
        return
    judged: dict[str, list[Verdict] | None] = {}
    for detector in turn.plan.runbook.detectors:
        asked = turn.plan.chosen(detector) and turn.plan.concerns(detector, event.host)
        if asked and not catalogue.probe(detector.probe).engine:
            judged[detector.name] = None
            _nothing(turn, detector, event.host)
    turn.awaited -= {event.host}
    _correlate(turn, event.host, judged)
    queue.judged(turn, event.host, judged)
    queue.decide(turn)


def _known(turn: Turn, detector: Detector, host: str) -> Look | None:
    """Return what the engine itself knows: no host is asked about a component."""
    if detector.probe != "component" or not turn.plan.chosen(detector):
        return None
    if not turn.plan.concerns(detector, host):
        return Lacking(f"its `hosts: {detector.hosts}` leave {host} out")
    runbook, known = turn.plan.runbook, turn.read("attempts")
    try:
        wanted = render.probe("component", detector.params, turn.plan.scopes[host], path=detector.path).get("name")
    except RenderError as error:
        return NotSeen(error.what)
    return components.look(runbook, wanted, known, host, turn.people.resets, pools.worst(turn, host))


def _correlate(turn: Turn, host: str, judged: dict[str, list[Verdict] | None]) -> None:
    """Ask the correlations that a look touched, each after the correlations among its members."""
    waiting = [each for each in turn.plan.runbook.detectors if each.probe in correlate.CORRELATIONS]
    while waiting:
        names = {each.name for each in waiting}
        ready = next((each for each in waiting if not names.intersection(each.members)), waiting[0])
        waiting.remove(ready)
        touched = not judged.keys().isdisjoint(ready.members)
        if not touched or not (turn.plan.chosen(ready) and turn.plan.concerns(ready, host)):
            continue
        if ready.subject is not None:
            joins.say(turn, ready, host, judged)
            for home, verdicts in joins.correlate(turn, ready).items():
                _take(turn, ready, home, verdicts)
                queue.judged(turn, home, [ready.name])
            continue
        said = {name: told for (place, name), told in turn.read("said").items() if place == host}
        judged[ready.name] = [correlate.correlate(ready, said, turn.now)]
        _take(turn, ready, host, judged[ready.name] or [])


def _partial(turn: Turn, detector: Detector, host: str, look: Look) -> bool:
    """Tell whether a log was not read to its end, or is not there, so that its silence means nothing.

    What is left is read at once, for a while.
    """
    if not isinstance(look, Seen):
        return False
    key, catching = (host, detector.name), turn.write("catching")
    trouble, behind, nothing = (look.state.get(name) for name in ("trouble", "behind", "nothing"))
    if trouble:
        turn.tell("look.unknown", host=host, detector=detector.name, reason=str(trouble))
    if nothing:
        if turn.recovering and key not in catching:
            catching[key] = 0.0  # nothing is behind
            turn.tell("look.absent", host=host, detector=detector.name, reason=str(nothing))
        return True
    if not behind:
        if catching.pop(key, None) is not None and not trouble:
            turn.tell("look.seen", host=host, detector=detector.name)
        return False
    since = catching[key] = catching.get(key) or turn.now
    if turn.now - since < queue.CATCH_UP and not turn.stopping:
        turn.look(host, detector.name)
    else:
        reason = f"{behind} bytes of its logs are not read yet; the next pass goes on"
        turn.tell("look.unknown", host=host, detector=detector.name, reason=reason)
    return True


def _judge(turn: Turn, detector: Detector, host: str, look: Look) -> list[Verdict] | str:
    """Judge a look; text = why nothing is known."""
    if isinstance(look, NotSeen):
        return look.reason
    if isinstance(look, Lacking):
        # the look before the operations may yet be answered otherwise; for whom it is not meant, it lacks nothing
        if turn.recovering and turn.plan.concerns(detector, host):
            turn.tell("look.absent", host=host, detector=detector.name, reason=look.reason)
        return []
    try:
        return judge(detector, look.records, turn.plan.scopes[host], turn.now, _events(detector))
    except RenderError as error:
        return error.what


def _take(turn: Turn, detector: Detector, host: str, verdicts: list[Verdict] | str, *, partial: bool = False) -> None:
    """Take in what a look says: the holds, the incidents, those that verify, and what correlations will ask."""
    if isinstance(verdicts, str):
        turn.tell("look.unknown", host=host, detector=detector.name, reason=verdicts, whole=True)
        _nothing(turn, detector, host)
        return
    said, key, events = turn.write("said"), (host, detector.name), _events(detector)
    unclear = [verdict.subject or host for verdict in verdicts if verdict.holds is UNKNOWN]
    if unclear:
        subjects = [verdict.subject for verdict in verdicts if verdict.holds is UNKNOWN]
        condition = detector.when.text if detector.when else f"{detector.probe} of {', '.join(detector.members)}"
        of = ", ".join(unclear[:3])
        reason = f"can't tell whether `{condition}` holds for {of}"
        if detector.when is None and not detector.members:
            reason = f"nothing tells whether the {detector.probe} goes on: {of}"
        turn.tell("look.unknown", host=host, detector=detector.name, reason=reason, subjects=subjects)
    elif key in said and said[key].holds is UNKNOWN:
        turn.tell("look.seen", host=host, detector=detector.name)
    overall = disjunction(verdict.holds for verdict in verdicts)
    said[key] = correlate.say(said.get(key), verdicts, overall, turn.now)
    if turn.plan.settings.health:
        _tell_well(turn, detector, host, verdicts, partial=partial)
    if not detector.is_input:
        for verdict in _at_once(turn, detector, host, verdicts):
            life.saw(turn, detector, host, verdict, events)
            parked = turn.incident((host, detector.name, verdict.subject))
            if verdict.clear is True and parked is not None and decision.is_parked(parked):
                ladder.cleared(turn, parked)
        if not events and verdicts:
            _missed(turn, detector, host, {verdict.subject for verdict in verdicts})
    _serve(turn, detector, host, verdicts, True if events and not partial else UNKNOWN)


def _at_once(turn: Turn, detector: Detector, host: str, verdicts: list[Verdict]) -> list[Verdict]:
    """Leave out subjects that are ill for the first time where there are too many: a host can make up any number."""
    known = {key[2] for group in ("incidents", "holds") for key in turn.read(group) if key[:2] == (host, detector.name)}
    fresh = [each for each in verdicts if each.holds is True and each.subject not in known]
    if len(fresh) <= AT_ONCE:
        return verdicts
    reason = f"{len(fresh)} subjects at once; {len(fresh) - AT_ONCE} of them are left for the next pass"
    turn.tell("look.unknown", host=host, detector=detector.name, reason=reason)
    late = {each.subject for each in fresh[AT_ONCE:]}
    return [each for each in verdicts if each.subject not in late]


def _tell_well(turn: Turn, detector: Detector, host: str, verdicts: list[Verdict], *, partial: bool) -> None:
    """Tell of each subject that is well, and of inputs that hold: they open nothing, and a health report has them."""
    if not verdicts and not partial:
        turn.tell("look.well", host=host, detector=detector.name)
    for verdict in verdicts:
        if verdict.holds is False or (verdict.holds is True and detector.is_input):
            turn.tell(
                "look.well",
                host=host,
                detector=detector.name,
                subject=verdict.subject,
                holds=verdict.holds,
                input=detector.is_input,
                fields=life.plain(verdict),
                when=turn.plan.condition(detector),
            )


def _nothing(turn: Turn, detector: Detector, host: str) -> None:
    """Take in that a look saw nothing at all."""
    said, key = turn.write("said"), (host, detector.name)
    said[key] = correlate.say(said.get(key), [], UNKNOWN, turn.now)
    for incident in _about(turn, detector, host):
        life.unseen(turn, incident, _events(detector))
    _serve(turn, detector, host, [], UNKNOWN)


def _missed(turn: Turn, detector: Detector, host: str, subjects: set[str]) -> None:
    """End the incidents about subjects that a look which saw others did not see: what they were about is gone."""
    for incident in _about(turn, detector, host):
        if incident.state in life.ASKED_AGAIN and incident.subject not in subjects:
            ladder.gone(turn, incident)


def _about(turn: Turn, detector: Detector, host: str) -> list[Incident]:
    incidents = turn.read("incidents").values()
    return [each for each in incidents if (each.host, each.detector) == (host, detector.name)]


def _serve(turn: Turn, looked: Detector, host: str, verdicts: list[Verdict], otherwise: Truth) -> None:
    """Tell the incidents that wait for this look; `otherwise` = what no record of the subject means."""
    by_subject = {verdict.subject: verdict for verdict in verdicts}
    for each in list(turn.read("incidents").values()):
        detector = turn.plan.detector(each.detector)
        if each.host != host or detector.probe == "error":
            continue
        verifies = each.state is IncidentState.VERIFYING
        wanted = (detector.verify.detector or detector.name) if verifies else life.evidence(detector)
        if wanted != looked.name or not (verifies or each.peeked is not None):
            continue
        verdict = by_subject.get(each.subject)
        incident = each if verdict is None else turn.put(replace(each, after=life.plain(verdict)))
        if verdict is not None:
            clear = negation(verdict.holds) if _events(looked) else verdict.clear
        elif wanted != detector.name and verdicts:
            clear = conjunction(each.clear for each in verdicts)
        else:
            clear = otherwise
        if verifies:
            ladder.looked(turn, incident, clear)
        elif incident.state is IncidentState.RECOVERING:
            ladder.peeked(turn, incident, clear)
        elif _events(detector):
            _peeked(turn, incident, clear, silence=wanted == detector.name)


def _peeked(turn: Turn, incident: Incident, clear: Truth, *, silence: bool) -> None:
    """Take in what an event that had grown old was looked at for: it is well, still so, or not seen."""
    short = silence and turn.now - incident.seen < turn.plan.detector(incident.detector).verify.hold
    if isinstance(clear, Unknown) or (clear and short):
        return
    if not clear:
        turn.put(replace(incident, seen=turn.now, peeked=None, blind=False))
        queue.due(turn, incident)
    elif decision.is_parked(incident):
        ladder.cleared(turn, incident)
    elif incident.state in life.ASKED_AGAIN:
        life.end(turn, incident, IncidentState.CURED, "well again when it was looked at, before anything was done")


def _events(detector: Detector) -> bool:
    return catalogue.probe(detector.probe).events
