"""Deciding: every guard is asked, in DESIGN's order; the first that refuses says why a recovery does not begin."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runbook.engine.decide import flapping, guards, tolerance, unavailable, words
from runbook.engine.decide.guards import Refusal
from runbook.engine.model import IncidentState, Strategy
from runbook.engine.recover import approval, steps, suppressed
from runbook.engine.recover import incident as life
from runbook.engine.recover.state import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runbook.engine.model import Detector
    from runbook.engine.recover.approval import Asked
    from runbook.engine.recover.state import Incident, Turn

    Answers = list[tuple[str, Refusal | None]]

_STATES = {
    "mode": IncidentState.OBSERVED,
    "rejected": IncidentState.OBSERVED,
    "approval": IncidentState.WAITING,
    "busy": IncidentState.OPEN,
    "stale": IncidentState.OPEN,
}
PARKS = frozenset({"maintenance", "ack", "stale", "approval", "rejected"})  # before a rung: it may be taken later
_RENEWED = frozenset({"lease"})  # its `until` moves on while nothing else does


def decide(turn: Turn, incident: Incident) -> bool:
    """Ask the guards whether a recovery may begin now; what refuses is told, and the incident is brought there."""
    detector = turn.plan.detector(incident.detector)
    if not detector.recover or not turn.recovering or turn.stopping or incident.root:
        return False
    answers, asked = _answers(turn, detector, incident)
    refusal = _first(turn, answers)
    incident = _tell(turn, incident, answers)
    if refusal is None:
        return True
    refuse(turn, incident, refusal, asked if refusal.guard == "approval" else ())
    return False


def refuse(turn: Turn, incident: Incident, refusal: Refusal, asked: Asked = (), **changes: Any) -> Incident:
    """Bring an incident to where a refusal leaves it: told once, for as long as the answer is the same."""
    state = _STATES.get(refusal.guard, IncidentState.SUPPRESSED)
    if asked:
        changes |= {"asked": asked, "digest": approval.digest(incident, asked)}
    fresh = (incident.state, incident.reason) != (state, refusal.reason)
    if fresh:
        turn.tell("guard.refused", incident, guard=refusal.guard, reason=refusal.reason, until=refusal.until)
    if refusal.guard == "stale":
        incident = look_again(turn, incident)
    moved = life.move(turn, incident, state, refusal.reason, until=refusal.until, **changes)
    if fresh:
        suppressed.tell(turn, moved, refusal)
    return moved


def look_again(turn: Turn, incident: Incident) -> Incident:
    """Ask for a look at what has grown old; once, until it is answered or as long ago as a look usually comes."""
    if incident.peeked is not None and turn.now - incident.peeked < turn.plan.every:
        return incident
    turn.look(incident.host, life.evidence(turn.plan.detector(incident.detector)))
    return turn.put(replace(incident, peeked=turn.now))


def may_go_on(turn: Turn, incident: Incident) -> bool:
    """Ask whether a ladder that was parked may go on with the rung where it stands."""
    if turn.stopping or not turn.recovering or incident.id in turn.lost:
        return False
    answers: Answers = [
        *_before_rung(turn, incident, incident.rung),
        ("lease", taken(turn, incident)),
        ("busy", _busy(turn, incident)),
    ]
    incident = _tell(turn, incident, answers)
    refusal = _first(turn, answers)
    if refusal is None or refusal.guard == "rejected":
        return refusal is None
    asked = approval.refusal(turn, incident, incident.rung)[1] if refusal.guard == "approval" else ()
    refuse(turn, incident, refusal, asked)
    return False


def taken(turn: Turn, incident: Incident) -> Refusal | None:
    """Refuse while another run recovers the subject, and where one has taken it from this run's recovery."""
    found = guards.lease(turn.read("leases"), incident.host, incident.subject, turn.now)
    if found is None and incident.id in turn.lost:
        return Refusal("lease", f"{turn.lost[incident.id]}; the next pass looks again")
    return found


def before_rung(turn: Turn, incident: Incident, number: int) -> tuple[Refusal | None, Asked]:
    """Ask what stands before a rung: people, stale evidence, mode, the steps' own limits, impact."""
    refusal = _first(turn, _before_rung(turn, incident, number))
    asked = approval.refusal(turn, incident, number)[1] if refusal is not None and refusal.guard == "approval" else ()
    return refusal, asked


def waits(turn: Turn, incident: Incident) -> str:
    """Return what a recovery would wait for a person for; empty when for nothing."""
    numbers = range(len(turn.plan.detector(incident.detector).recover))
    refusals = [approval.refusal(turn, incident, number)[0] for number in numbers]
    return next((each.reason for each in refusals if each is not None), "")


def under_recovery(turn: Turn) -> dict[str, str]:
    """Return the hosts that are under recovery: from the intent to the cure, or until a person takes them on.

    Those where it was in vain have the incident that a person may acknowledge beside them.
    """
    failed = sorted(turn.read("failed").items())
    found = {key[0]: name for key, name in failed if words.ack(turn.people, name, turn.now) is None}
    for incident in turn.read("incidents").values():
        if incident.begun is not None and words.ack(turn.people, incident.id, turn.now) is None:
            found.setdefault(incident.host, "")
    return {**dict.fromkeys(turn.elsewhere, ""), **found}


def is_full(turn: Turn, host: str, down: Mapping[str, str]) -> bool:
    """Tell whether `max_unavailable` keeps a host from its recovery."""
    return unavailable.unavailable(turn.plan.runbook.max_unavailable, turn.plan.hosts, host, down) is not None


def _first(turn: Turn, answers: Answers) -> Refusal | None:
    """Return the first refusal; what only waits for a person is planned by `--check`."""
    refusals = [refusal for _, refusal in answers if refusal is not None]
    if turn.plan.settings.check:
        refusals = [refusal for refusal in refusals if refusal.guard != "approval"]
    return refusals[0] if refusals else None


def _answers(turn: Turn, detector: Detector, incident: Incident) -> tuple[Answers, Asked]:
    key, host, now = incident.key, incident.host, turn.now
    runbook = turn.plan.runbook
    first = _first_rung(turn, incident)
    wants, asked = approval.refusal(turn, incident, first)
    return [
        *_people(turn, incident),
        ("mode", guards.mode(detector, turn.plan.settings.caps) or _not_taken(detector, first)),
        ("approval", wants),
        ("stale", _stale(turn, detector, incident)),
        ("lease", taken(turn, incident)),
        ("busy", _busy(turn, incident)),
        ("cooldown", guards.cooldown(detector, turn.read("finished").get(key), now)),
        ("limit", guards.limit(detector.limit, turn.read("begun").get(key, ()), now)),
        ("flapping", flapping.flapping(detector, turn.read("cleared").get(key, ()), now, turn.plan.every)),
        ("max_unavailable", _unavailable(turn, host)),
        ("fault_tolerance", tolerance.refuse(detector.recover[first : first + 1], runbook.fault_tolerance)),
        ("step limit", _step_limit(turn, incident, first)),
        ("impact", _impact(turn, detector, first)),
    ], asked


def _unavailable(turn: Turn, host: str) -> Refusal | None:
    wanted = turn.plan.runbook.max_unavailable
    if wanted is None:
        return None
    return unavailable.unavailable(wanted, turn.plan.hosts, host, under_recovery(turn))


def _before_rung(turn: Turn, incident: Incident, number: int) -> Answers:
    detector = turn.plan.detector(incident.detector)
    first: Answers = [*_people(turn, incident), ("stale", _stale(turn, detector, incident))]
    if number >= len(detector.recover):  # all were taken: what is left to do is to look
        return first
    rung = detector.recover[number]
    return [
        *first,
        ("mode", guards.mode(detector, turn.plan.settings.caps) or _not_taken(detector, number)),
        ("approval", approval.refusal(turn, incident, number)[0]),
        ("fault_tolerance", tolerance.refuse((rung,), turn.plan.runbook.fault_tolerance)),
        ("step limit", _step_limit(turn, incident, number)),
        ("impact", guards.impact(rung, steps.impacts(rung), turn.plan.settings.caps)),
    ]


def _people(turn: Turn, incident: Incident) -> Answers:
    groups = turn.plan.groups.get(incident.host, frozenset())
    before = turn.read("failed").get(incident.key, "")  # of the same fault, whose recovery was in vain
    said = words.ack(turn.people, incident.id, turn.now) or words.ack(turn.people, before, turn.now)
    return [
        ("maintenance", words.maintenance(turn.people, incident.host, groups, turn.now)),
        ("ack", said),
    ]


def _first_rung(turn: Turn, incident: Incident) -> int:
    """Return the rung that a recovery would begin with; of a sequence always the first, as it is one cure."""
    detector = turn.plan.detector(incident.detector)
    if detector.strategy is Strategy.SEQUENCE:
        return 0
    for number, rung in enumerate(detector.recover):
        barred = (
            _not_taken(detector, number)
            or tolerance.refuse((rung,), turn.plan.runbook.fault_tolerance)
            or _step_limit(turn, incident, number)
            or guards.impact(rung, steps.impacts(rung), turn.plan.settings.caps)
        )
        if barred is None:
            return number
    return 0


def _not_taken(detector: Detector, number: int) -> Refusal | None:
    rung = detector.recover[number]
    return guards.rung_mode(rung, steps.impacts(rung), detector)


def _impact(turn: Turn, detector: Detector, first: int) -> Refusal | None:
    """Refuse by `--max-impact`; a sequence is one cure, which a later rung that may not be taken would leave half."""
    rungs = detector.recover if detector.strategy is Strategy.SEQUENCE else detector.recover[first : first + 1]
    refusals = (guards.impact(rung, steps.impacts(rung), turn.plan.settings.caps) for rung in rungs)
    return next((refusal for refusal in refusals if refusal is not None), None)


def _step_limit(turn: Turn, incident: Incident, number: int) -> Refusal | None:
    scope = None
    for step in turn.plan.detector(incident.detector).recover[number].steps:
        if step.limit is not None:
            scope = scope or life.scope(turn, incident)
            place = steps.acts_on(step, scope, incident.host, incident.subject)
            begun = turn.read("steps").get(place, ()) if place is not None else ()
            title = step.title
            refusal = guards.limit(step.limit, begun, turn.now, f"run of {title}", f"runs of {title}")
            if refusal is not None:
                return refusal
    return None


def _stale(turn: Turn, detector: Detector, incident: Incident) -> Refusal | None:
    if incident.blind:
        return Refusal("stale", "the last look saw nothing of it; the next one tells")
    gap = turn.plan.every
    if turn.plan.last is not None and incident.seen < turn.plan.began:  # what an earlier pass saw
        gap = max(gap, turn.plan.began - turn.plan.last)
    return guards.stale(detector, incident.seen, turn.now, gap)


def _busy(turn: Turn, incident: Incident) -> Refusal | None:
    for other in beside(turn, incident):
        if other.busy:
            return Refusal("busy", f"waits for the recovery of `{other.detector}` ({other.id})")
    return None


def beside(turn: Turn, incident: Incident) -> Iterator[Incident]:
    """Yield the other incidents about the same subject, in the order of the file."""
    for detector in turn.plan.runbook.detectors:
        other = turn.incident((incident.host, detector.name, incident.subject))
        if other is not None and other.key != incident.key:
            yield other


def _tell(turn: Turn, incident: Incident, answers: Answers) -> Incident:
    """Tell what each guard said, when one of them said something else than the last time."""
    told = tuple(
        {
            "guard": name,
            "ok": refusal is None,
            "reason": refusal.reason if refusal else "",
            "until": refusal.until if refusal else None,
        }
        for name, refusal in answers
    )
    if _gist(told) == _gist(incident.answers):
        return incident
    turn.tell("decided", incident, guards=[dict(answer) for answer in told])
    return turn.put(replace(incident, answers=told))


def _gist(told: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        (answer["guard"], answer["ok"], None if answer["guard"] in _RENEWED else answer["until"]) for answer in told
    ]


def is_parked(incident: Incident) -> bool:
    """Tell whether a ladder stands still until a person, or a guard, lets it go on."""
    return incident.phase is Phase.RECOVER and incident.state in life.ASKED_AGAIN
