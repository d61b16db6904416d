"""An incident's life: from a condition that holds to its opening, and its end."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runbook.engine.decide import flapping
from runbook.engine.detect import cascade, correlate, sights
from runbook.engine.detect import hold as holding
from runbook.engine.model import UNKNOWN, IncidentState
from runbook.engine.recover.state import Incident, Phase
from runbook.modules import catalogue

if TYPE_CHECKING:
    from runbook.engine.detect.judge import Verdict
    from runbook.engine.language.render import Scope
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
    """End an incident for good.

    A condition that was not seen otherwise goes on to hold: the next look that sees it opens a new incident at once.
    Events were what they were; what they counted is spent with the incident that they led to.
    """
    turn.tell(
        "incident.ended",
        incident,
        to=to.value,
        reason=reason,
        opened=incident.opened,
        since=incident.since,
        fields=incident.after,
    )
    if to is IncidentState.CURED or catalogue.probe(turn.plan.detector(incident.detector).probe).events:
        turn.write("holds").pop(incident.key, None)
    said = turn.write("said")
    for name in (incident.detector, correlate.place(incident.detector, incident.detector, incident.subject)):
        if (incident.host, name) in said:
            said[incident.host, name] = replace(said[incident.host, name], spent=turn.now)
    _remember(turn, incident, to)
    turn.freed = True
    ended = turn.put(
        replace(incident, state=to, reason=reason, closed=turn.now, wake=None, intent=None, phase=Phase.NONE)
    )
    for other in [each for each in turn.read("incidents").values() if each.root == incident.id]:
        end(turn, other, to, f"with `{incident.detector}` on {incident.host} ({incident.id}), which it follows from")
    return ended


def _remember(turn: Turn, incident: Incident, to: IncidentState) -> None:
    """Keep what guards ask later: how often it ended well, and which recovery was in vain."""
    key = incident.key
    if to is IncidentState.CURED:
        since = turn.now - flapping.window(turn.plan.every)
        cleared = turn.read("cleared").get(key, ())
        turn.write("cleared")[key] = (*(at for at in cleared if at > since), turn.now)
        turn.write("failed").pop(key, None)
    elif incident.begun is not None and not turn.plan.settings.check:
        turn.write("failed")[key] = incident.id


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
        unseen(turn, incident, events)
        return
    if turn.read("holds").get(key) is not None and (incident is None or verdict.clear is True):
        del turn.write("holds")[key]
    if verdict.clear is True and key in turn.read("failed"):
        del turn.write("failed")[key]  # the host is well again, whoever did it
    if incident is None or incident.state not in ASKED_AGAIN or events:
        return
    if verdict.clear is UNKNOWN:
        unseen(turn, incident, events)
    elif verdict.clear is False:
        turn.put(replace(incident, seen=turn.now, blind=False, peeked=None))
    elif incident.phase is Phase.NONE:
        end(turn, incident, IncidentState.CURED, "cleared by itself")


def unseen(turn: Turn, incident: Incident | None, events: bool) -> None:
    """Remember that the last look saw nothing of an incident; an event that was read stays read."""
    if incident is not None and incident.state in ASKED_AGAIN and not (events or incident.blind):
        turn.put(replace(incident, blind=True))


def evidence(detector: Detector) -> str:
    """Return the detector that tells whether an incident is still so: of events, the one their `verify` names."""
    events = catalogue.probe(detector.probe).events
    return (detector.verify.detector if events else None) or detector.name


def _held(turn: Turn, detector: Detector, key: Key, verdict: Verdict, events: bool) -> None:
    holds = turn.write("holds")
    earlier = holds.get(key)
    held = holding.extend(earlier, detector, verdict.times, turn.now, turn.plan.every)
    holds[key] = held
    incident = turn.incident(key)
    if incident is not None:
        if not incident.busy:
            more = sights.merged(incident.sights, verdict.sights)
            count = incident.count + len(verdict.times)
            turn.put(replace(incident, seen=turn.now, count=count, blind=False, peeked=None, sights=more))
        return
    if not (turn.recovering or events) or (not events and _in_vain(turn, key)):
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


def _in_vain(turn: Turn, key: Key) -> bool:
    """Tell whether a subject was recovered in vain in this round of looks: those of other subjects open nothing."""
    failed = turn.read("failed").get(key)
    ended = turn.read("ended").get(failed) if failed is not None else None
    return ended is not None and ended.closed is not None and turn.round > 0 and ended.closed >= turn.round


def open_incident(turn: Turn, detector: Detector, key: Key, verdict: Verdict, since: float, count: int = 1) -> Incident:
    """Open an incident."""
    host, name, subject = key
    verdict = _leading(turn, verdict, host)
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
        queued=turn.round or turn.now,
        sights=verdict.sights,
        recovers=bool(detector.recover),
    )
    again = None if catalogue.probe(detector.probe).events else turn.read("failed").get(key)
    turn.tell(
        "incident.opened",
        incident,
        severity=incident.severity,
        **({"since": since} if again is None else {"first": since, "again": again}),  # it was detected long ago
        fields=incident.fields,
        count=count,
        category=detector.category,
        when=turn.plan.condition(detector),
    )
    return turn.put(incident)


def _leading(turn: Turn, verdict: Verdict, host: str) -> Verdict:
    """Return what a look saw with the event that the others of it follow from, as the catalogue knows causes."""
    known = [one for sight in verdict.sights if (one := sights.seen(sight, turn.plan.signs, host, sight)) is not None]
    if len(known) < 2:
        return verdict
    known.sort(key=lambda one: (one.time or 0.0, one.source, one.line, one.key))
    top = cascade.incidents(known)[0].root.first.evidence
    leads = (each for number, each in enumerate(verdict.events) if sights.shows(each.fields, number, top))
    return replace(verdict, record=next(leads, verdict.record))


def plain(verdict: Verdict) -> dict[str, Any]:
    """Return the fields of what a look saw, as the journal can hold them."""
    return {name: None if value is UNKNOWN else value for name, value in verdict.record.fields.items()}


def scope(turn: Turn, incident: Incident) -> Scope:
    """Return the variables that the steps of an incident may use."""
    about = {
        **incident.fields,
        "id": incident.id,
        "host": incident.host,
        "detector": incident.detector,
        "subject": incident.subject or incident.host,
        "severity": incident.severity,
        "since": datetime.fromtimestamp(incident.since, UTC).isoformat(" ", "seconds"),
    }
    detector = turn.plan.detector(incident.detector)
    extra = {"error": dict(incident.fields)} if detector.probe == "error" else {}
    return turn.plan.scopes[incident.host].bind(incident=about, registers=incident.registers, **extra)
