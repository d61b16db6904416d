"""Climbing the rungs of a recovery, and what comes after each: the next, a look, an undo, the end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runbook.engine.decide import guards
from runbook.engine.model import IncidentState, Mode, Outcome, StepStatus, Strategy
from runbook.engine.recover import decision, outcomes, parallel, rollback, steps, verification
from runbook.engine.recover import incident as life
from runbook.engine.recover.parallel import News
from runbook.engine.recover.state import Incident, Owner, Phase
from runbook.engine.recover.verification import Answer

if TYPE_CHECKING:
    from runbook.engine.decide.guards import Refusal
    from runbook.engine.model import Key, StepCall, Truth
    from runbook.engine.recover.approval import Asked
    from runbook.engine.recover.state import Turn


def begin(turn: Turn, incident: Incident) -> None:
    """Begin a recovery that the guards allow."""
    begun = replace(
        incident,
        begun=turn.now,
        phase=Phase.RECOVER,
        rung=0,
        step=0,
        errors=(),
        registers={},
        lanes=(),
        done=(),
        won=False,
        until=None,
    )
    if not turn.plan.settings.check:
        turn.write("begun")[incident.key] = (*turn.read("begun").get(incident.key, ()), turn.now)
    turn.tell("recovery.begun", incident, strategy=turn.plan.detector(incident.detector).strategy.value)
    begun = life.move(turn, begun, IncidentState.RECOVERING)
    if _parallel(turn, begun):
        side_by_side(turn, begun.key, parallel.begin(turn, begun))
    else:
        enter(turn, begun)


def ended(turn: Turn, key: Key, intent: str, outcome: Outcome, call: StepCall) -> None:
    """Go on after a step of a recovery, of `cured` or of `unhealed`."""
    incident = turn.incident(key)
    if incident is None:
        return
    if any(lane.intent == intent for lane in incident.lanes):
        if outcome.held:
            incident = parallel.held(turn, incident, intent, outcome, call)
            if not parallel.in_flight(incident):
                _held(turn, incident, outcome)
        else:
            side_by_side(turn, key, parallel.ended(turn, incident, intent, outcome, call))
        return
    incident = outcomes.take(turn, incident, intent, outcome, call, incident.rung)
    incident = replace(incident, intent=None)
    if incident.phase is Phase.RECOVER and outcome.held:
        # by another journal, or under a later lease; nothing was done, and the ladder waits where it stands
        _held(turn, turn.put(incident), outcome)
        return
    if incident.phase is Phase.RECOVER and not outcome.ok:
        _rung_failed(turn, turn.put(incident), outcomes.failure(call, outcome))
        return
    failed = () if outcome.ok else (f"{call.title} failed: {outcome.error}",)
    climb(turn, turn.put(replace(incident, step=incident.step + 1, errors=(*incident.errors, *failed))))


def _held(turn: Turn, incident: Incident, outcome: Outcome) -> None:
    turn.lost = {**turn.lost, incident.id: outcome.error}
    lost(turn, incident, guards.Refusal("lease", outcome.error, outcome.held["until"]))


def lost(turn: Turn, incident: Incident, refusal: Refusal) -> None:
    """Leave a recovery where it stands, since another run has taken its subject: a look tells what that has done."""
    decision.refuse(turn, incident, refusal, blind=True, wake=None)


def undone(turn: Turn, incident: Incident, intent: str, outcome: Outcome) -> None:
    """Go on after an undo: with the one before it, or with the end."""
    incident = rollback.undone(turn, incident, intent, outcome)
    if incident.done and decision.taken(turn, incident) is not None:
        turn.put(incident)  # the next pass goes on
    elif incident.done:
        rollback.go_on(turn, incident)
    else:
        _over(turn, incident, IncidentState.UNHEALED, "; ".join((incident.reason, *incident.errors)))


def looked(turn: Turn, incident: Incident, clear: Truth) -> None:
    """Take in a look of the verification: well, not well, or not seen."""
    incident, answer = verification.take(turn, incident, clear)
    if answer is None:
        return
    if parallel.in_flight(incident):
        # what has begun is awaited, well or not, and looked at once more after it
        incident = parallel.won(turn, incident) if answer is Answer.CURED else incident
        every = turn.plan.detector(incident.detector).verify.every
        turn.put(replace(incident, verify_began=turn.now, wake=turn.now + every))
    elif answer is Answer.CURED:
        _over(turn, incident, IncidentState.CURED, "")
    elif answer is Answer.BLIND:
        _over(turn, incident, IncidentState.UNVERIFIED, "the last look of the verification saw nothing")
    else:
        _vain(turn, incident)


def peeked(turn: Turn, incident: Incident, clear: Truth) -> None:
    """Take in the look that a rung waits for, since what was known had grown old."""
    detector = turn.plan.detector(incident.detector)
    if clear is True and detector.strategy is not Strategy.SEQUENCE:
        verification.begin(turn, incident)
    elif isinstance(clear, bool):  # a sequence is one cure: half of it may leave a service stopped
        _go(turn, turn.put(replace(incident, seen=turn.now, peeked=None, blind=False, wake=None)))
    elif incident.peeked is not None and turn.now >= incident.peeked + detector.verify.within:
        _over(turn, incident, IncidentState.UNVERIFIED, "before the next rung it could not be looked at")
    else:
        turn.put(replace(incident, blind=True, wake=turn.now + detector.verify.every))


def woke(turn: Turn, incident: Incident) -> None:
    """Look again, now that it is time."""
    incident = turn.put(replace(incident, wake=None))
    if incident.state is IncidentState.VERIFYING:
        verification.woke(turn, incident)
    elif incident.state is IncidentState.RECOVERING and incident.peeked is not None:
        turn.look(incident.host, life.evidence(turn.plan.detector(incident.detector)))


def cleared(turn: Turn, incident: Incident) -> None:
    """End a parked recovery whose fault has gone meanwhile."""
    _over(turn, incident, IncidentState.CURED, "cleared while its recovery waited")


def gone(turn: Turn, incident: Incident) -> None:
    """End an incident whose subject is not there any more, and its recovery, if one was parked."""
    reason = "its subject is not there any more"
    turn.write("holds").pop(incident.key, None)
    if decision.is_parked(incident):
        _over(turn, incident, IncidentState.UNVERIFIED, reason)
    else:
        life.end(turn, incident, IncidentState.UNVERIFIED, reason)


def go_on(turn: Turn, incident: Incident) -> None:
    """Take up a ladder that was parked, if what it waits for has come."""
    if _rejected(turn, incident):
        return
    if decision.may_go_on(turn, incident):
        moved = life.move(turn, turn.incident(incident.key) or incident, IncidentState.RECOVERING, until=None)
        _go(turn, moved)


def _go(turn: Turn, incident: Incident) -> None:
    if incident.lanes:
        news = parallel.resume(turn, incident)
        if not parallel.in_flight(turn.incident(incident.key) or incident):
            side_by_side(turn, incident.key, news or News.FAILED)
    else:
        enter(turn, incident)


def reject(turn: Turn, incident: Incident, refusal: Refusal) -> None:
    """End a recovery that a person forbade to go on; the incident stays as it is seen."""
    _finished(turn, incident)
    incident = turn.incident(incident.key) or incident
    decision.refuse(turn, replace(incident, phase=Phase.NONE, begun=None), refusal, phase=Phase.NONE, begun=None)


def settle(turn: Turn, incident: Incident, to: IncidentState, reason: str) -> None:
    """Bring an incident to its end state, through the steps that belong to it."""
    phase = {IncidentState.CURED: Phase.CURED, IncidentState.UNHEALED: Phase.UNHEALED}.get(to, Phase.NONE)
    moved = life.move(turn, incident, to, reason, phase=phase, rung=0, step=0, wake=None, errors=(), lanes=())
    if phase is Phase.NONE:
        life.end(turn, moved, to, reason)
    else:
        climb(turn, moved)


def _parallel(turn: Turn, incident: Incident) -> bool:
    """Tell whether the rungs go side by side; `--check` plans them one after the other."""
    return turn.plan.detector(incident.detector).strategy is Strategy.PARALLEL and not turn.plan.settings.check


def listed_steps(turn: Turn, incident: Incident) -> tuple[StepCall, ...]:
    """Return the steps of the rung where an incident stands, or of the list that ends it."""
    detector = turn.plan.detector(incident.detector)
    if incident.phase is Phase.CURED:
        return detector.cured
    if incident.phase is Phase.UNHEALED:
        return detector.unhealed
    return detector.recover[incident.rung].steps if incident.rung < len(detector.recover) else ()


def enter(turn: Turn, incident: Incident) -> None:
    """Begin the rung where the ladder stands, or go on within it after a break, if nothing stands before it."""
    if incident.rung >= len(turn.plan.detector(incident.detector).recover):
        _rungs_done(turn, incident)
        return
    refusal, asked = decision.before_rung(turn, incident, incident.rung)
    if refusal is None:
        climb(turn, incident)
    else:
        _refused(turn, incident, refusal, asked)


def climb(turn: Turn, incident: Incident) -> None:
    """Begin the next step of whatever list the incident is in, or end the list."""
    listed = listed_steps(turn, incident)
    if incident.step < len(listed):
        _begin_step(turn, incident, listed[incident.step])
    elif incident.phase is not Phase.RECOVER:
        reason = "; ".join(part for part in (incident.reason, *incident.errors) if part)
        life.end(turn, incident, incident.state, reason)
    else:
        onward = turn.put(replace(incident, rung=incident.rung + 1, step=0))
        if _verifies_each(turn, onward):
            verification.begin(turn, onward)
        else:
            enter(turn, onward)


def _verifies_each(turn: Turn, incident: Incident) -> bool:
    detector = turn.plan.detector(incident.detector)
    return detector.strategy is Strategy.PROGRESSIVE and not turn.plan.settings.check and detector.probe != "error"


def _begin_step(turn: Turn, incident: Incident, call: StepCall) -> None:
    if turn.stopping:
        life.move(turn, incident, incident.state, "stopped; the next pass goes on")
        return
    taken = decision.taken(turn, incident)
    if taken is not None:  # our run was killed or stopped meanwhile, and another one has the subject
        if incident.phase is Phase.RECOVER:
            lost(turn, incident, taken)
        else:
            life.move(turn, incident, incident.state, f"{taken.reason}; the next pass goes on")
        return
    intent = f"{turn.plan.run}-{turn.counter + 1}"
    barred = _barred(turn, incident, call)
    if barred:
        outcome: Outcome | None = Outcome(StepStatus.REFUSED, error=barred)
    else:
        owner = Owner("incident", incident.host, incident.key)
        outcome = steps.begin(turn, call, life.scope(turn, incident), owner, subject=incident.subject)
    if outcome is None:
        turn.put(replace(turn.incident(incident.key) or incident, intent=intent))
    else:
        ended(turn, incident.key, intent, outcome, call)


def _barred(turn: Turn, incident: Incident, call: StepCall) -> str:
    """Tell why a step of `cured` or `unhealed` is not run; those of rungs were asked about with their rung."""
    if incident.phase is Phase.RECOVER:
        return ""
    caps, impact = turn.plan.settings.caps, steps.impact_of(call)
    if impact.rank > caps.impact.rank:
        return f"it is {impact.value}, --max-impact is {caps.impact.value}"
    detector = turn.plan.detector(incident.detector)
    # What a person has to allow is the recovery: a detector's `approve` holds no message back, while its `auto` counts.
    mode = guards.mode_of(call, impact, detector if detector.mode is Mode.AUTO else None)
    if mode is Mode.OBSERVE or (mode is Mode.APPROVE and not caps.approved):
        return f"it is {impact.value}; write `mode: auto` where it may run without a person"
    return ""


def _rung_failed(turn: Turn, incident: Incident, error: str) -> None:
    detector = turn.plan.detector(incident.detector)
    incident = turn.put(replace(incident, errors=(*incident.errors, error)))
    if detector.strategy is Strategy.PROGRESSIVE and incident.rung + 1 < len(detector.recover):
        enter(turn, turn.put(replace(incident, rung=incident.rung + 1, step=0)))
    elif turn.plan.settings.check:  # nothing was tried: it is as it was
        life.move(turn, incident, IncidentState.OPEN, "; ".join(incident.errors), phase=Phase.NONE, begun=None)
    elif detector.probe == "error":
        _rungs_done(turn, incident)
    else:
        _unhealed(turn, incident, "; ".join(incident.errors))


def _refused(turn: Turn, incident: Incident, refusal: Refusal, asked: Asked) -> None:
    """A rung that may not be taken now parks the ladder; one that may not be taken at all is passed, or ends it."""
    if refusal.guard == "stale":
        decision.look_again(turn, incident)
    elif refusal.guard == "rejected":
        reject(turn, incident, refusal)
    elif refusal.guard in decision.PARKS:
        decision.refuse(turn, incident, refusal, asked)
    else:
        turn.tell("guard.refused", incident, guard=refusal.guard, reason=refusal.reason, rung=incident.rung)
        _rung_failed(turn, incident, refusal.reason)


def _rejected(turn: Turn, incident: Incident) -> bool:
    """End a parked recovery that a person has forbidden."""
    refusal, _ = decision.before_rung(turn, incident, min(incident.rung, _last(turn, incident)))
    if refusal is None or refusal.guard != "rejected":
        return False
    reject(turn, incident, refusal)
    return True


def _last(turn: Turn, incident: Incident) -> int:
    return len(turn.plan.detector(incident.detector).recover) - 1


def _rungs_done(turn: Turn, incident: Incident) -> None:
    detector = turn.plan.detector(incident.detector)
    if turn.plan.settings.check:
        waits = decision.waits(turn, incident)
        state = IncidentState.WAITING if waits else IncidentState.OPEN
        life.move(turn, incident, state, waits or "check", phase=Phase.NONE, begun=None)
    elif detector.probe == "error":
        life.move(turn, incident, IncidentState.VERIFYING, "the next attempt tells", wake=None, phase=Phase.NONE)
        _finished(turn, incident)
    else:
        verification.begin(turn, incident)


def _vain(turn: Turn, incident: Incident) -> None:
    """The time to get well is over: the next rung, or the end."""
    detector = turn.plan.detector(incident.detector)
    if incident.lanes:
        life.move(turn, incident, IncidentState.RECOVERING, "", wake=None)
        side_by_side(turn, incident.key, News.FAILED)
    elif detector.strategy is Strategy.PROGRESSIVE and incident.rung < len(detector.recover):
        turn.tell("rung.vain", incident, rung=incident.rung - 1)
        enter(turn, life.move(turn, incident, IncidentState.RECOVERING, "", wake=None, well_since=None))
    else:
        _unhealed(turn, incident, "; ".join((*incident.errors, "not well after the recovery")))


def side_by_side(turn: Turn, key: Key, news: News | None) -> None:
    """Go on after what has come of the lanes: a look, the rungs that were held back, or the end."""
    incident = turn.incident(key)
    if incident is None or news is None or incident.state is IncidentState.INTERRUPTED:
        return
    error = turn.plan.detector(incident.detector).probe == "error"
    if news is News.DONE:
        if error and not parallel.in_flight(incident):
            _rungs_done(turn, incident)
        elif not error:
            verification.begin(turn, incident)
    elif incident.state is not IncidentState.VERIFYING:
        news, refusal, asked = parallel.more(turn, incident)
        incident = turn.incident(key) or incident
        if refusal is not None:
            _refused(turn, incident, refusal, asked)
        elif news is News.FAILED and error:
            _rungs_done(turn, incident)
        elif news is News.FAILED:
            tried = any(lane.over and not lane.error for lane in incident.lanes)
            why = ("not well after the recovery",) if tried else ()
            _unhealed(turn, incident, "; ".join((*parallel.failures(incident), *why)))
        else:
            side_by_side(turn, key, news)


def _finished(turn: Turn, incident: Incident) -> None:
    """Tell that a recovery is over, and look again at what waited for it."""
    turn.write("finished")[incident.key] = turn.now
    turn.tell("recovery.ended", incident, begun=incident.begun)
    for other in decision.beside(turn, incident):
        if other.state in life.ASKED_AGAIN:
            turn.look(other.host, other.detector)


def _unhealed(turn: Turn, incident: Incident, reason: str) -> None:
    """The recovery was in vain: undo it where the runbook says so, then end."""
    current = turn.incident(incident.key) or incident
    taken = decision.taken(turn, current)
    if taken is not None:
        lost(turn, current, taken)
    elif rollback.wanted(turn, current):
        rollback.begin(turn, replace(current, errors=()), reason)
    else:
        _over(turn, current, IncidentState.UNHEALED, reason)


def _over(turn: Turn, incident: Incident, to: IncidentState, reason: str) -> None:
    """The recovery is over; run the `cured` or `unhealed` steps, then close."""
    current = turn.incident(incident.key) or incident
    taken = decision.taken(turn, current)
    if taken is not None and current.phase is Phase.RECOVER:
        lost(turn, current, taken)
        return
    _finished(turn, current)
    settle(turn, current, to, reason)
