"""`strategy: parallel`: the rungs side by side, each in a lane of its own.

All that neither destroy nor wait for a person begin at once. The first verified cure wins: no lane begins another
step, and what is in flight is awaited. Where none of them cured, the rungs that were held back follow, one by one.
"""

from __future__ import annotations

import enum
from dataclasses import replace
from typing import TYPE_CHECKING

from runbook.engine.model import Impact, Outcome, StepStatus
from runbook.engine.recover import decision, outcomes, steps
from runbook.engine.recover import incident as life
from runbook.engine.recover.state import Lane, Owner

if TYPE_CHECKING:
    from runbook.engine.decide.guards import Refusal
    from runbook.engine.model import Key, StepCall
    from runbook.engine.recover.approval import Asked
    from runbook.engine.recover.state import Incident, Turn


class News(enum.Enum):
    """What has come of a lane."""

    DONE = "done"  # a rung ended well: time to look
    FAILED = "failed"  # none is left


def begin(turn: Turn, incident: Incident) -> News | None:
    """Begin all rungs that may be begun together."""
    rungs = turn.plan.detector(incident.detector).recover
    at_once = []
    for number, rung in enumerate(rungs):
        if not any(impact is Impact.DESTRUCTIVE for impact in steps.impacts(rung)):
            refusal, _ = decision.before_rung(turn, incident, number)
            if refusal is None:
                at_once.append(number)
    return _start(turn, incident, at_once) if at_once else News.FAILED


def more(turn: Turn, incident: Incident) -> tuple[News | None, Refusal | None, Asked]:
    """Begin the next rung that was held back; the refusal is of one that has to wait for a person or a guard."""
    rungs = turn.plan.detector(incident.detector).recover
    taken = {lane.rung for lane in incident.lanes}
    for number in range(len(rungs)):
        if number in taken:
            continue
        refusal, asked = decision.before_rung(turn, incident, number)
        if refusal is None:
            return _start(turn, incident, [number]), None, ()
        if refusal.guard in decision.PARKS:
            turn.put(replace(incident, rung=number))  # where it stands
            return None, refusal, asked
        turn.tell("guard.refused", incident, guard=refusal.guard, reason=refusal.reason, rung=number)
        over = Lane(number, over=True, error=refusal.reason)
        incident = turn.put(replace(incident, lanes=(*incident.lanes, over)))
    return News.FAILED, None, ()


def ended(turn: Turn, incident: Incident, intent: str, outcome: Outcome, call: StepCall) -> News | None:
    """Go on after a step of a lane."""
    place = next(place for place, lane in enumerate(incident.lanes) if lane.intent == intent)
    lane = incident.lanes[place]
    incident = outcomes.take(turn, incident, intent, outcome, call, lane.rung)
    if not outcome.ok:
        error = outcomes.failure(call, outcome)
        incident = _put(turn, incident, place, replace(lane, intent=None, over=True, error=error))
        return None if _in_flight(incident) else News.FAILED
    incident = _put(turn, incident, place, replace(lane, intent=None, step=lane.step + 1))
    return _step(turn, incident.key, place)


def held(turn: Turn, incident: Incident, intent: str, outcome: Outcome, call: StepCall) -> Incident:
    """Take in that nothing was done, since another journal's run has the subject: the lane stands where it is."""
    place = next(place for place, lane in enumerate(incident.lanes) if lane.intent == intent)
    incident = outcomes.take(turn, incident, intent, outcome, call, incident.lanes[place].rung)
    return _put(turn, incident, place, replace(incident.lanes[place], intent=None))


def resume(turn: Turn, incident: Incident) -> News | None:
    """Go on with the lanes that stand between two steps."""
    news = None
    for place, lane in enumerate(incident.lanes):
        if not lane.over and lane.intent is None:
            news = _step(turn, incident.key, place) or news
    return news


def won(turn: Turn, incident: Incident) -> Incident:
    """Cancel what has not begun, now that it is well."""
    lanes = tuple(replace(lane, over=True) if lane.intent is None else lane for lane in incident.lanes)
    left = [number for number, lane in enumerate(lanes) if not lane.over]
    if not incident.won:
        turn.tell("rung.won", incident, rungs=[lane.rung for lane in lanes if lane.over and not lane.error], left=left)
    return turn.put(replace(incident, lanes=lanes, won=True))


def in_flight(incident: Incident) -> bool:
    """Tell whether a lane has a step in flight."""
    return any(lane.intent is not None for lane in incident.lanes)


def failures(incident: Incident) -> tuple[str, ...]:
    """Return why rungs failed, in the order of the file."""
    return tuple(lane.error for lane in sorted(incident.lanes, key=lambda lane: lane.rung) if lane.error)


def _in_flight(incident: Incident) -> bool:
    return any(not lane.over for lane in incident.lanes)


def _start(turn: Turn, incident: Incident, numbers: list[int]) -> News | None:
    first = len(incident.lanes)
    turn.put(replace(incident, lanes=(*incident.lanes, *(Lane(number) for number in numbers)), won=False))
    news = [_step(turn, incident.key, first + offset) for offset in range(len(numbers))]
    if News.DONE in news:
        return News.DONE
    current = turn.incident(incident.key)
    assert current is not None
    return None if _in_flight(current) else News.FAILED


def _step(turn: Turn, key: Key, place: int) -> News | None:
    """Begin the next step of a lane; those that end at once are followed by the one after."""
    while True:
        incident = turn.incident(key)
        assert incident is not None
        lane = incident.lanes[place]
        listed = turn.plan.detector(incident.detector).recover[lane.rung].steps
        if lane.step >= len(listed) or incident.won:
            _put(turn, incident, place, replace(lane, over=True))
            return News.DONE
        if turn.stopping or decision.taken(turn, incident) is not None:
            return None  # the next pass goes on
        call = listed[lane.step]
        intent = f"{turn.plan.run}-{turn.counter + 1}"
        owner = Owner("incident", incident.host, key)
        scope = life.scope(turn, incident)
        outcome = steps.begin(turn, call, scope, owner, subject=incident.subject, beside=True)
        incident = turn.incident(key) or incident
        if outcome is None:
            _put(turn, incident, place, replace(lane, intent=intent))
            return None
        incident = outcomes.take(turn, incident, intent, outcome, call, lane.rung)
        if not outcome.ok:
            error = outcomes.failure(call, outcome)
            incident = _put(turn, incident, place, replace(lane, over=True, error=error))
            return None if _in_flight(incident) else News.FAILED
        _put(turn, incident, place, replace(lane, step=lane.step + 1))


def _put(turn: Turn, incident: Incident, place: int, lane: Lane) -> Incident:
    lanes = (*incident.lanes[:place], lane, *incident.lanes[place + 1 :])
    return turn.put(replace(incident, lanes=lanes))


def lost(turn: Turn, incident: Incident, intent: str, call: StepCall) -> News | None:
    """Take in that a step that may run again was lost: its lane is over."""
    return ended(turn, incident, intent, Outcome(StepStatus.FAILED, error="it was lost"), call)
