"""Who is decided when: what was looked at is due, and waits for the looks that belong to its decision.

Most decisions are a host's own, and fall when it has answered. Where one host's recovery keeps others from theirs
(`max_unavailable`), or one host's fault may follow from another's (signatures), all hosts of the round have answered
before, and logs are read to their end; then they fall in one order, whichever host answered first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runbook.engine.model import IncidentState
from runbook.engine.recover import cascades, decision, ladder
from runbook.engine.recover import incident as life

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from runbook.engine.recover.state import Incident, Turn

_NAMED = 5  # hosts that others' recoveries wait for; while more are awaited, nothing is unusual
CATCH_UP = 60.0  # seconds that a pass goes on reading logs that were not read to their end


def judged(turn: Turn, host: str, detectors: Iterable[str]) -> None:
    """Remember what was looked at: its incidents are due."""
    looked = {(host, detector) for detector in detectors}
    turn.write("judged").update(dict.fromkeys(looked, True))
    turn.due |= looked


def due(turn: Turn, incident: Incident) -> None:
    """Have an incident decided, if this run has looked at it."""
    place = (incident.host, incident.detector)
    if place in turn.read("judged"):
        turn.due |= {place}


def all_due(turn: Turn) -> None:
    """Have everything decided anew that this run has looked at: people, or other runs, have said something."""
    for incident in turn.read("incidents").values():
        if incident.state in life.ASKED_AGAIN:
            due(turn, incident)


def moved_up(turn: Turn) -> None:
    """Have the next of the queue decided, where the end of an incident has made room for it."""
    while turn.freed and turn.plan.runbook.max_unavailable is not None:
        turn.freed = False
        if _reading(turn):
            all_due(turn)
            return
        down = decision.under_recovery(turn)
        for incident in _in_order(turn, turn.read("judged")):
            if not decision.is_full(turn, incident.host, down) and (current := turn.incident(incident.key)) is not None:
                _decide(turn, current)
                down = decision.under_recovery(turn)


def decide(turn: Turn) -> None:
    """Decide what is due and does not wait for other looks, in the order of the queue."""
    if not turn.due:
        return
    held = set()
    reading = _reading(turn)
    if not reading:
        cascades.fold(turn)
    for incident in _in_order(turn, turn.due):
        if (reading and _belongs_to_others(turn, incident)) or _settles(turn, incident):
            held.add((incident.host, incident.detector))
        elif (current := turn.incident(incident.key)) is not None:
            _decide(turn, current)
    turn.due = frozenset(held)
    if held and turn.recovering and 0 < len(turn.awaited) <= _NAMED:
        turn.tell("decisions.held", hosts=sorted(turn.awaited))


def _in_order(turn: Turn, looked: Container[tuple[str, str]]) -> list[Incident]:
    """Return the incidents of these hosts and detectors that may be decided: the longest open first, as in the file."""
    order = {detector.name: place for place, detector in enumerate(turn.plan.runbook.detectors)}
    listed = [
        each
        for each in turn.read("incidents").values()
        if each.state in life.ASKED_AGAIN and (each.host, each.detector) in looked
    ]
    return sorted(listed, key=lambda each: (each.queued, order[each.detector], each.host, each.subject))


def _decide(turn: Turn, incident: Incident) -> None:
    if incident.state not in life.ASKED_AGAIN or incident.root:
        return
    if decision.is_parked(incident):
        ladder.go_on(turn, incident)
    elif not cascades.waits(turn, incident) and decision.decide(turn, incident):
        ladder.begin(turn, turn.incident(incident.key) or incident)


def _belongs_to_others(turn: Turn, incident: Incident) -> bool:
    return turn.plan.runbook.max_unavailable is not None or bool(incident.sights)


def _reading(turn: Turn) -> bool:
    """Tell whether hosts have yet to answer, or logs are yet to be read."""
    behind = any(turn.now - since < CATCH_UP for since in turn.read("catching").values())
    return bool(turn.awaited) or behind


def _settles(turn: Turn, incident: Incident) -> bool:
    """Tell whether an incident's events are so fresh that what they follow from may yet come in; wait for it then."""
    until = incident.opened + turn.plan.settings.settle
    if not incident.sights or incident.state is not IncidentState.OPEN or turn.now >= until:
        return False
    if not cascades.may_follow(turn, incident):
        return False
    turn.put(replace(incident, wake=until))
    return True
