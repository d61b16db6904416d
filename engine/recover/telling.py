"""Telling people of incidents by `tell`: one opens, waits for them, was in vain, is cured; or still stands.

What was told stands in the incident, and goes into the journal in the same turn as the message: whatever dies, nothing
is told twice. What comes together is told together: the same of one detector on many hosts is one message.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from runbook.engine.decide import words
from runbook.engine.model import IncidentState, Severity
from runbook.engine.recover.commands import Notify
from runbook.engine.recover.state import Incident
from runbook.engine.recover.telling_words import written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.model import Tell
    from runbook.engine.recover.state import State, Turn

FOLD: Final = 3.0  # seconds in which what happens on other hosts joins one message
_SEVERITIES: Final = tuple(member.value for member in Severity)
_IN_VAIN: Final = frozenset({IncidentState.UNHEALED, IncidentState.UNVERIFIED, IncidentState.INTERRUPTED})
_STANDS: Final = frozenset(
    {IncidentState.OPEN, IncidentState.WAITING, IncidentState.OBSERVED, IncidentState.SUPPRESSED}
)
_KNOWN: Final = "known"  # marks what was told of an incident before it, in vain
_WELL: Final = "well"  # marks, in the journal, one in vain that was seen well since
_SILENT: Final = "silent"  # marks what nobody was to hear of when it happened


def tell(turn: Turn, *, everything: bool, at_once: bool = False) -> None:
    """Tell what is to be told by now; what has just happened waits a little for more of its kind.

    Args:
        turn: after everything else of it.
        everything: ask of all incidents and not only of those that this turn has changed: what is begun seldom, so
            that a host's answer costs as much in a fleet as alone.
        at_once: the run ends: nothing waits.
    """
    if turn.plan.settings.check or not any(detector.tell for detector in turn.plan.runbook.detectors):
        return
    everything = everything or at_once or turn.stopping or any(at <= turn.now for at in turn.noted.values())
    noted = {} if everything else dict(turn.noted)
    groups: dict[tuple[str, str], list[Incident]] = {}
    for incident, kind in _due(turn, everything=everything):
        groups.setdefault((incident.detector, kind), []).append(incident)
    for group, incidents in groups.items():
        at = turn.noted.get(group, turn.now + FOLD)
        if at_once or turn.stopping or turn.now >= at:
            _tell(turn, group[1], sorted(incidents, key=lambda each: (each.host, each.subject)))
        else:
            noted[group] = at
    turn.noted = noted


def reminders(state: State) -> Iterator[float]:
    """Yield when people are to be told again of what stands by now."""
    for incident in state.incidents.values():
        detector = state.plan.runbook.detector(incident.detector)
        given = detector.tell if detector is not None else None
        if given is not None and given.remind and incident.reported and incident.state in _STANDS:
            yield max(incident.reported.values()) + given.remind


def _due(turn: Turn, *, everything: bool) -> Iterator[tuple[Incident, str]]:
    """Yield what nobody has been told of, and as what."""
    for incident in [*turn.read("incidents").values()] if everything else turn.changed("incidents"):
        given = _asked(turn, incident)
        if given is not None and _known(turn, incident) and not _silenced(turn, incident):
            current = _again(turn, incident, given)
            kind = _live(turn, current, given)
            if kind:
                yield current, kind
    for group in ("past", "ended"):
        for incident in [*turn.read(group).values()] if everything else turn.changed(group):
            given = _asked(turn, incident)
            if given is None or (group == "past" and incident.id in turn.read("ended")):
                continue
            kind = _over(turn, incident, given)
            if kind and _silenced(turn, incident):
                turn.put(replace(incident, reported={**incident.reported, _SILENT: turn.now}))
            elif kind:
                yield incident, kind
            elif incident.state in _IN_VAIN and incident.reported:
                _remember(turn, incident)
    yield from _well(turn)


def _well(turn: Turn) -> Iterator[tuple[Incident, str]]:
    """Yield what people were told to be in vain, and is well again, whoever did that."""
    cured = {each.key for each in turn.read("ended").values() if each.state is IncidentState.CURED}
    for key, (name, told) in [*turn.read("vain").items()]:
        if key in turn.read("failed"):
            continue
        detector = turn.plan.runbook.detector(key[1])
        given = detector.tell if detector is not None else None
        if detector is None or given is None or "cured" not in given.about or key in cured or turn.incident(key):
            del turn.write("vain")[key]  # the incident that was cured is told
            continue
        severity, state = detector.severity.value, IncidentState.CURED
        over = Incident(name, key[0], key[1], key[2], state, severity, told, told, turn.now, closed=turn.now)
        if _silenced(turn, over):
            del turn.write("vain")[key]
        else:
            yield over, _WELL


def _asked(turn: Turn, incident: Incident) -> Tell | None:
    """Return whom to tell of an incident, if anybody; what follows from another one is told with that."""
    detector = turn.plan.runbook.detector(incident.detector)
    given = detector.tell if detector is not None else None
    if given is None or incident.root:
        return None
    grave = _SEVERITIES.index(incident.severity) >= _SEVERITIES.index(given.min_severity.value)
    return given if grave else None


def _known(turn: Turn, incident: Incident) -> bool:
    """Tell whether this run can say how it stands; what an earlier one left may be over."""
    place = (incident.host, incident.detector)
    fresh = incident.opened >= turn.plan.began
    return fresh or place in turn.read("judged") or incident.host in turn.read("unreached")


def _again(turn: Turn, incident: Incident, given: Tell) -> Incident:
    """Mark one that opens after a recovery in vain of the same: people know, and are told again when it is time to."""
    known = turn.read("vain").get(incident.key)
    if incident.reported or known is None or incident.key not in turn.read("failed"):
        return incident
    if given.remind and turn.now - known[1] >= given.remind:
        return incident
    return turn.put(replace(incident, reported={_KNOWN: known[1]}))


def _remember(turn: Turn, incident: Incident) -> None:
    """Keep when people were told last of what was recovered in vain, for the next incident about it."""
    known = (incident.id, max(incident.reported.values()))
    last, well = turn.read("failed").get(incident.key) == incident.id, _WELL in incident.reported
    if last and not well and turn.read("vain").get(incident.key, ("", 0.0))[1] < known[1]:
        turn.write("vain")[incident.key] = known


def _live(turn: Turn, incident: Incident, given: Tell) -> str:
    told = incident.reported
    if incident.state is IncidentState.WAITING and "waiting" in given.about and _asks(incident) not in told:
        return "waiting"
    if "open" in given.about and not told:
        return "open"
    last = max(told.values(), default=None)
    if given.remind and last is not None and incident.state in _STANDS and turn.now - last >= given.remind:
        return "remind"
    return ""


def _over(turn: Turn, incident: Incident, given: Tell) -> str:
    if not incident.reported.keys().isdisjoint({_SILENT, _WELL}):
        return ""
    kind = "cured" if incident.state is IncidentState.CURED else "unhealed" if incident.state in _IN_VAIN else ""
    if kind == "unhealed" and incident.reported.keys() == {_KNOWN}:
        due = given.remind and turn.now - incident.reported[_KNOWN] >= given.remind
        return kind if due and kind in given.about else ""
    if kind and kind in given.about:
        return "" if kind in incident.reported else kind
    return "open" if "open" in given.about and not incident.reported else ""


def _asks(incident: Incident) -> str:
    """Return the mark of what a person is asked: other steps are another question."""
    return f"waiting {incident.digest[:8]}"


def _silenced(turn: Turn, incident: Incident) -> bool:
    groups = turn.plan.groups.get(incident.host, frozenset())
    return (
        words.ack(turn.people, incident.id, turn.now) is not None
        or words.maintenance(turn.people, incident.host, groups, turn.now) is not None
    )


def _tell(turn: Turn, kind: str, incidents: list[Incident]) -> None:
    """Tell of incidents of one detector, in one message."""
    detector = turn.plan.detector(incidents[0].detector)
    assert detector.tell is not None
    for incident in incidents if kind != _WELL else ():
        marks = {_asks(incident) if kind == "waiting" else kind: turn.now}
        told = turn.put(replace(incident, reported={**incident.reported, **marks}))
        if told.state in _IN_VAIN:
            _remember(turn, told)
    for incident in incidents if kind == _WELL else ():
        turn.write("vain").pop(incident.key, None)
    first = incidents[0]
    title, message = written(detector, kind, incidents, turn.now)
    channels = detector.tell.channels
    turn.commands.append(
        Notify(first.host, message, title, first.severity, first.id, channels, kind="cured" if kind == _WELL else kind)
    )
