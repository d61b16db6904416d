"""An incident's life: from a condition that holds to its opening, its decision, and its end."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runbook.engine.decide import guards
from runbook.engine.detect import hold as holding
from runbook.engine.model import UNKNOWN, IncidentState, Strategy
from runbook.engine.recover.state import Incident, Phase
from runbook.engine.recover.steps import impacts

if TYPE_CHECKING:
    from runbook.engine.detect.judge import Verdict
    from runbook.engine.model import Detector, Key
    from runbook.engine.recover.state import Turn

ASKED_AGAIN = (IncidentState.OPEN, IncidentState.WAITING, IncidentState.OBSERVED, IncidentState.SUPPRESSED)


def move(turn: Turn, incident: Incident, to: IncidentState, reason: str = "", **changes: Any) -> Incident:
    """Bring an incident into another state, and tell the journal when it is another or has another reason."""
    moved = replace(incident, state=to, reason=reason, **changes)
    if (incident.state, incident.reason) != (to, reason):
        turn.tell("incident.changed", moved, **{"from": incident.state.value, "to": to.value, "reason": reason})
    return turn.put(moved)


def end(turn: Turn, incident: Incident, to: IncidentState, reason: str = "") -> Incident:
    """End an incident for good."""
    turn.tell(
        "incident.ended",
        incident,
        to=to.value,
        reason=reason,
        opened=incident.opened,
        since=incident.since,
        fields=incident.after,
    )
    turn.write("holds").pop(incident.key, None)
    said, corner = turn.write("said"), (incident.host, incident.detector)
    if corner in said:
        said[corner] = replace(said[corner], spent=turn.now)
    return turn.put(
        replace(incident, state=to, reason=reason, closed=turn.now, wake=None, intent=None, phase=Phase.NONE)
    )


def resumed(turn: Turn, incident: Incident) -> None:
    """Tell that an earlier run left an incident, and how."""
    detector = turn.plan.detector(incident.detector)
    turn.tell(
        "incident.resumed",
        incident,
        state=incident.state.value,
        reason=incident.reason,
        opened=incident.opened,
        severity=incident.severity,
        since=incident.since,
        fields=incident.fields,
        count=incident.count,
        category=detector.category,
        when=turn.plan.condition(detector),
    )


def saw(turn: Turn, detector: Detector, host: str, verdict: Verdict, events: bool) -> None:
    """Take in what one look says of one subject: holds grow and break, incidents open and clear.

    While nothing is recovered yet (the look before operations) a state only holds; an event becomes an incident at
    once, since its cursor moves on.
    """
    key = (host, detector.name, verdict.subject)
    incident = turn.incident(key)
    if verdict.holds is True:
        _held(turn, detector, key, verdict, events)
        return
    if verdict.holds is UNKNOWN:
        return
    if turn.read("holds").get(key) is not None and (incident is None or verdict.clear is True):
        del turn.write("holds")[key]
    if incident is not None and incident.state in ASKED_AGAIN and not events and verdict.clear is True:
        end(turn, incident, IncidentState.CURED, "cleared by itself")


def missed(turn: Turn, detector: Detector, host: str, subjects: set[str]) -> None:
    """End the incidents about subjects that a look which saw others did not see: what they were about is gone."""
    for incident in list(turn.read("incidents").values()):
        about = (incident.host, incident.detector) == (host, detector.name)
        if about and incident.state in ASKED_AGAIN and incident.subject not in subjects:
            end(turn, incident, IncidentState.UNVERIFIED, "its subject is not there any more")


def _held(turn: Turn, detector: Detector, key: Key, verdict: Verdict, events: bool) -> None:
    holds = turn.write("holds")
    earlier = holds.get(key)
    held = holding.extend(earlier, detector, verdict.times, turn.now, turn.plan.every)
    holds[key] = held
    incident = turn.incident(key)
    if incident is not None:
        if not incident.busy:
            turn.put(replace(incident, seen=turn.now, count=incident.count + len(verdict.times)))
        return
    if not (turn.recovering or events):
        return
    if not (holding.ripe(held, detector, turn.now) or (turn.plan.settings.now and detector.count is None)):
        if held.told != turn.plan.run:
            holds[key] = replace(held, told=turn.plan.run)
            turn.tell(
                "incident.pending",
                host=key[0],
                detector=detector.name,
                subject=key[2],
                since=held.since,
                hold=detector.hold,
                when=turn.plan.condition(detector),
                severity=detector.severity.value,
                category=detector.category,
                counted=len(held.times),
                count=detector.count.count if detector.count else 1,
                fields=plain(verdict),
            )
        return
    open_incident(turn, detector, key, verdict, held.since, max(1, len(held.times) or len(verdict.times)))


def open_incident(turn: Turn, detector: Detector, key: Key, verdict: Verdict, since: float, count: int = 1) -> Incident:
    """Open an incident."""
    host, name, subject = key
    digest = hashlib.sha256("\0".join((turn.plan.run, host, name, subject, str(turn.number()))).encode()).hexdigest()
    incident = Incident(
        digest[:8],
        host,
        name,
        subject,
        IncidentState.OPEN,
        detector.severity.value,
        since,
        turn.now,
        turn.now,
        plain(verdict),
        count=count,
    )
    turn.tell(
        "incident.opened",
        incident,
        severity=incident.severity,
        since=since,
        fields=incident.fields,
        count=count,
        category=detector.category,
        when=turn.plan.condition(detector),
    )
    return turn.put(incident)


def decide(turn: Turn, incident: Incident) -> bool:
    """Ask the guards, in DESIGN's order; tell whether its recovery may begin now."""
    detector = turn.plan.detector(incident.detector)
    if not detector.recover or not turn.recovering or turn.stopping:
        return False
    refusal = _refusal(turn, detector, incident)
    if refusal is None or (refusal.guard == "approval" and turn.plan.settings.check):
        return True
    if refusal.guard == "stale":
        turn.look(incident.host, detector.verify.detector or detector.name)
    state = {
        "mode": IncidentState.OBSERVED,
        "approval": IncidentState.WAITING,
        "busy": IncidentState.OPEN,
        "stale": IncidentState.OPEN,
    }.get(refusal.guard, IncidentState.SUPPRESSED)
    if (incident.state, incident.reason) != (state, refusal.reason):
        turn.tell("guard.refused", incident, guard=refusal.guard, reason=refusal.reason, until=refusal.until)
        move(turn, incident, state, refusal.reason)
    return False


def _refusal(turn: Turn, detector: Detector, incident: Incident) -> guards.Refusal | None:
    caps = turn.plan.settings.caps
    key = incident.key
    first = detector.recover[0]
    found = impacts(first)
    refusal = (
        guards.mode(detector, caps, incident.approved)
        or guards.stale(detector, incident.seen, turn.now, turn.plan.every)
        or _busy(turn, incident)
        or guards.cooldown(detector, turn.read("finished").get(key), turn.now)
        or guards.limit(detector.limit, turn.read("begun").get(key, ()), turn.now)
        or rung_refusal(turn, incident, 0)
    )
    if refusal is None and detector.strategy is Strategy.SEQUENCE:
        # a sequence is one cure: a later rung that may not be taken would leave it half done
        for rung in detector.recover:
            refusal = refusal or guards.impact(rung, impacts(rung), caps)
    return refusal or guards.impact(first, found, caps)


def rung_refusal(turn: Turn, incident: Incident, number: int) -> guards.Refusal | None:
    """Ask what stands before a rung: mode, the steps' own limits, impact."""
    detector = turn.plan.detector(incident.detector)
    caps = turn.plan.settings.caps
    rung = detector.recover[number]
    found = impacts(rung)
    refusal = guards.rung_mode(rung, found, detector, caps, incident.approved)
    for step in rung.steps:
        place = (incident.host, ".".join(str(part) for part in step.path), incident.subject)
        begun, title = turn.read("steps").get(place, ()), step.title
        refusal = refusal or guards.limit(step.limit, begun, turn.now, f"run of {title}", f"runs of {title}")
    return refusal or guards.impact(rung, found, caps)


def waits(turn: Turn, incident: Incident) -> str:
    """Return what a recovery would wait for a person for; empty when for nothing."""
    detector = turn.plan.detector(incident.detector)
    caps = turn.plan.settings.caps
    refusals = [guards.mode(detector, caps, incident.approved)]
    refusals += [guards.rung_mode(rung, impacts(rung), detector, caps, incident.approved) for rung in detector.recover]
    return next((each.reason for each in refusals if each is not None and each.guard == "approval"), "")


def _busy(turn: Turn, incident: Incident) -> guards.Refusal | None:
    for other in turn.read("incidents").values():
        if other.key == incident.key or (other.host, other.subject) != (incident.host, incident.subject):
            continue
        if other.busy:
            return guards.Refusal("busy", f"waits for the recovery of `{other.detector}` ({other.id})")
    return None


def plain(verdict: Verdict) -> dict[str, Any]:
    """Return the fields of what a look saw, as the journal can hold them."""
    return {name: None if value is UNKNOWN else value for name, value in verdict.record.fields.items()}
