"""Taking up what an earlier run left: a step in flight, a verification, an undo, or the next step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runbook.engine.model import IncidentState, Outcome, StepStatus
from runbook.engine.recover import failover, ladder, parallel, rollback, steps
from runbook.engine.recover import incident as life
from runbook.engine.recover.parallel import News
from runbook.engine.recover.state import Phase
from runbook.modules import catalogue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.model import Key, StepCall
    from runbook.engine.recover.state import Incident, Turn

_WAITS = frozenset({"wait", "wait_for"})


def take_up(turn: Turn, incident: Incident, known: Mapping[str, Outcome]) -> None:
    """Go on with a recovery that an earlier run left: with its steps' outcomes, its verification, or its next step."""
    if incident.phase is Phase.ROLLBACK:
        rollback.go_on(turn, incident)
        return
    for lane in incident.lanes:
        if lane.intent is not None:
            call = _lane_call(turn, incident, lane.intent)
            word = Outcome(StepStatus.LOST, data={"begun": False}) if catalogue.step(call.module).engine else None
            outcome = known.get(lane.intent, word)
            if outcome is not None:
                found(turn, incident.key, lane.intent, outcome, call)
    if incident.lanes:
        _sides(turn, incident.key)
        return
    listed = ladder.listed_steps(turn, incident)
    if incident.intent is not None and incident.step < len(listed):
        call = listed[incident.step]
        outcome = known.get(incident.intent)
        if outcome is not None:  # without one, an agent that an earlier run left has it in hand
            found(turn, incident.key, incident.intent, outcome, call)
        elif call.module in _WAITS:
            _again(turn, incident)
        elif call.module == "failover":
            outcome = failover.resume(turn, incident, call, known)
            if outcome is not None:
                found(turn, incident.key, incident.intent, outcome, call)
        elif catalogue.step(call.module).engine:
            found(turn, incident.key, incident.intent, Outcome(StepStatus.LOST), call)
    elif incident.state is IncidentState.VERIFYING:
        turn.put(replace(incident, wake=turn.now))
    elif incident.phase is Phase.RECOVER:
        ladder.enter(turn, incident)
    elif incident.phase is not Phase.NONE:
        ladder.climb(turn, incident)


def _lane_call(turn: Turn, incident: Incident, intent: str) -> StepCall:
    lane = next(lane for lane in incident.lanes if lane.intent == intent)
    return turn.plan.detector(incident.detector).recover[lane.rung].steps[lane.step]


def _sides(turn: Turn, key: Key) -> None:
    incident = turn.incident(key)
    if incident is None or not incident.busy:
        return
    if incident.state is IncidentState.VERIFYING:
        incident = turn.put(replace(incident, wake=turn.now))
    news = parallel.resume(turn, incident)
    current = turn.incident(key) or incident
    idle = not any(not lane.over for lane in current.lanes) and current.state is IncidentState.RECOVERING
    ladder.side_by_side(turn, key, news or (News.FAILED if idle else None))


def found(turn: Turn, key: Key, intent: str, outcome: Outcome, call: StepCall) -> None:
    """Take in what became of a step that an earlier run left in flight."""
    incident = turn.incident(key)
    if incident is None:
        return
    if outcome.status is not StepStatus.LOST:
        ladder.ended(turn, key, intent, outcome, call)
    elif not (steps.again(call) or outcome.data.get("begun") is False):
        reason = f"{call.title} was begun and nobody knows how it ended; `runbook release {incident.id}` frees it"
        life.move(turn, incident, IncidentState.INTERRUPTED, reason, intent=None, phase=Phase.NONE, wake=None)
    elif incident.lanes:
        ladder.side_by_side(turn, key, parallel.lost(turn, incident, intent, call))
    elif incident.phase is not Phase.RECOVER:
        ladder.climb(turn, turn.put(replace(incident, intent=None)))
    else:  # goes on with this very step, after a look: those before it are done
        reason = "its step was lost; looks again"
        life.move(turn, incident, IncidentState.OPEN, reason, intent=None, wake=None, peeked=None)


def _again(turn: Turn, incident: Incident) -> None:
    """Wait anew: the waiting of an earlier run ended with it."""
    incident = turn.put(replace(incident, intent=None))
    if incident.phase is Phase.RECOVER:
        ladder.enter(turn, incident)
    else:
        ladder.climb(turn, incident)
