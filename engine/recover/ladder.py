"""Climbing the rungs of a recovery, and looking whether they cured: sequence and progressive."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runbook.engine.model import IncidentState, Outcome, StepStatus, Strategy
from runbook.engine.recover import incident as life
from runbook.engine.recover import steps
from runbook.engine.recover.state import Incident, Owner, Phase

if TYPE_CHECKING:
    from runbook.engine.language.render import Scope
    from runbook.engine.model import StepCall, Truth
    from runbook.engine.recover.state import Turn


def begin(turn: Turn, incident: Incident) -> None:
    """Begin a recovery that the guards allow."""
    check = turn.plan.settings.check
    begun = replace(incident, begun=turn.now, phase=Phase.RECOVER, rung=0, step=0, errors=(), registers={})
    if not check:
        turn.write("begun")[incident.key] = (*turn.read("begun").get(incident.key, ()), turn.now)
    turn.tell("recovery.begun", incident, strategy=turn.plan.detector(incident.detector).strategy.value)
    life.move(turn, begun, IncidentState.RECOVERING)
    _next(turn, begun.key)


def ended(turn: Turn, key: tuple[str, str, str], intent: str, outcome: Outcome, call: StepCall) -> None:
    """Go on after a step of a recovery, of `cured` or of `unhealed`."""
    incident = turn.incident(key)
    if incident is None:
        return
    turn.tell(
        "step.ended",
        incident,
        step=intent,
        module=call.module,
        title=call.title,
        rung=incident.rung,
        phase=incident.phase.value,
        **told(outcome),
    )
    registers = dict(incident.registers)
    if call.register:
        registers[call.register] = registered(outcome)
    incident = turn.put(replace(incident, intent=None, registers=registers))
    if incident.phase is not Phase.RECOVER:
        failed = "" if outcome.ok else f"{call.title} failed: {outcome.error}"
        turn.put(
            replace(incident, step=incident.step + 1, errors=(*incident.errors, failed) if failed else incident.errors)
        )
        _next(turn, key)
    elif outcome.ok:
        turn.put(replace(incident, step=incident.step + 1))
        _next(turn, key)
    else:
        _rung_failed(turn, incident, f"{call.title}: {outcome.error or outcome.status.value}")


def looked(turn: Turn, incident: Incident, clear: Truth) -> None:
    """Take in a look of the verification: well, not well, or not seen."""
    detector = turn.plan.detector(incident.detector)
    verify = detector.verify
    began = incident.verify_began if incident.verify_began is not None else turn.now
    if turn.now < began + verify.after:
        return
    if clear is True:
        well_since = incident.well_since if incident.well_since is not None else turn.now
        incident = turn.put(replace(incident, well_since=well_since, blind=False))
        if turn.now - well_since >= verify.hold:
            _over(turn, incident, IncidentState.CURED, "")
            return
    elif clear is False:
        incident = turn.put(replace(incident, well_since=None, blind=False))
    else:
        incident = turn.put(replace(incident, blind=True))
    if turn.now >= began + verify.within:
        _not_well(turn, incident)
        return
    turn.put(replace(incident, wake=min(turn.now + verify.every, began + verify.within)))


def woke(turn: Turn, incident: Incident) -> None:
    """Look again, now that it is time."""
    detector = turn.plan.detector(incident.detector)
    incident = turn.put(replace(incident, wake=None))
    if incident.state is not IncidentState.VERIFYING:
        return
    turn.look(incident.host, detector.verify.detector or detector.name)


def resume(turn: Turn, incident: Incident, outcome: Outcome | None) -> None:
    """Go on with a recovery that an earlier run left: with its step's outcome, its verification, or its next step."""
    listed = _listed(turn, incident)
    if incident.intent is not None and outcome is None:
        return  # an agent that an earlier run left has it in hand
    if incident.intent is not None and outcome is not None and incident.step < len(listed):
        call = listed[incident.step]
        if outcome.status is not StepStatus.LOST:
            ended(turn, incident.key, incident.intent, outcome, call)
        elif steps.again(call) or outcome.data.get("begun") is False:
            reopened = replace(incident, intent=None, phase=Phase.NONE, wake=None)
            life.move(turn, reopened, IncidentState.OPEN, "its step was lost; looks again")
        else:
            reason = f"{call.title} was begun and nobody knows how it ended; `runbook release {incident.id}` frees it"
            life.move(turn, incident, IncidentState.INTERRUPTED, reason, intent=None, phase=Phase.NONE, wake=None)
    elif incident.state is IncidentState.VERIFYING:
        turn.put(replace(incident, wake=turn.now))
    elif incident.phase is not Phase.NONE:
        _next(turn, incident.key)


def go_on(turn: Turn, incident: Incident) -> None:
    """Take up a ladder that was parked for an approval, if it has come."""
    if life.rung_refusal(turn, incident, incident.rung) is None:
        life.move(turn, incident, IncidentState.RECOVERING)
        _next(turn, incident.key)


def _listed(turn: Turn, incident: Incident) -> tuple[StepCall, ...]:
    detector = turn.plan.detector(incident.detector)
    if incident.phase is Phase.CURED:
        return detector.cured
    if incident.phase is Phase.UNHEALED:
        return detector.unhealed
    return detector.recover[incident.rung].steps if incident.rung < len(detector.recover) else ()


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


def registered(outcome: Outcome) -> dict[str, Any]:
    """Return what `register` makes of an outcome."""
    return {
        "changed": outcome.changed,
        "status": outcome.status.value,
        "exit_code": outcome.exit_code,
        "output": outcome.output,
        "error": outcome.error,
        **outcome.data,
    }


def told(outcome: Outcome) -> dict[str, Any]:
    """Return what the journal is told of an outcome."""
    return {
        "status": outcome.status.value,
        "changed": outcome.changed,
        "error": outcome.error,
        "output": outcome.output,
        "exit_code": outcome.exit_code,
        "diff": outcome.diff,
        "actions": list(outcome.actions),
        "duration": outcome.duration,
    }


def _next(turn: Turn, key: tuple[str, str, str]) -> None:
    """Begin the next step of whatever list the incident is in, or end the list."""
    incident = turn.incident(key)
    assert incident is not None
    detector = turn.plan.detector(incident.detector)
    if incident.phase is not Phase.RECOVER:
        listed = _listed(turn, incident)
        if incident.step >= len(listed):
            _close(turn, incident)
            return
        _begin_step(turn, incident, listed[incident.step])
        return
    if incident.rung >= len(detector.recover):
        _rungs_done(turn, incident)
        return
    rung = detector.recover[incident.rung]
    if incident.step == 0:
        refusal = life.rung_refusal(turn, incident, incident.rung)
        if refusal is not None and not (refusal.guard == "approval" and turn.plan.settings.check):
            _refused(turn, incident, refusal.guard, refusal.reason)
            return
    if incident.step < len(rung.steps):
        _begin_step(turn, incident, rung.steps[incident.step])
        return
    onward = replace(incident, rung=incident.rung + 1, step=0)
    turn.put(onward)
    if detector.strategy is Strategy.PROGRESSIVE and not turn.plan.settings.check and detector.probe != "error":
        _verify(turn, onward)
    else:
        _next(turn, key)


def _begin_step(turn: Turn, incident: Incident, call: StepCall) -> None:
    if turn.stopping:
        life.move(turn, incident, incident.state, "stopped; the next pass goes on")
        return
    owner = Owner("incident", incident.host, incident.key)
    before = turn.counter
    outcome = steps.begin(turn, call, scope(turn, incident), owner, subject=incident.subject)
    if outcome is None:
        current = turn.incident(incident.key)
        assert current is not None
        turn.put(replace(current, intent=f"{turn.plan.run}-{before + 1}"))
    else:
        ended(turn, incident.key, f"{turn.plan.run}-{before + 1}", outcome, call)


def _rung_failed(turn: Turn, incident: Incident, error: str) -> None:
    detector = turn.plan.detector(incident.detector)
    incident = turn.put(replace(incident, errors=(*incident.errors, error)))
    onward = replace(incident, rung=incident.rung + 1, step=0)
    if detector.strategy is Strategy.PROGRESSIVE and onward.rung < len(detector.recover):
        turn.put(onward)
        _next(turn, incident.key)
    elif turn.plan.settings.check:  # nothing was tried: it is as it was
        life.move(turn, incident, IncidentState.OPEN, "; ".join(incident.errors), phase=Phase.NONE)
    elif detector.probe == "error":
        _rungs_done(turn, incident)
    else:
        _over(turn, incident, IncidentState.UNHEALED, "; ".join(incident.errors))


def _refused(turn: Turn, incident: Incident, guard: str, reason: str) -> None:
    """A rung that may not be taken: approval parks the ladder, another refusal leads past it or ends it."""
    turn.tell("guard.refused", incident, guard=guard, reason=reason, rung=incident.rung)
    detector = turn.plan.detector(incident.detector)
    if guard == "approval":
        life.move(turn, incident, IncidentState.WAITING, reason)
    elif detector.strategy is Strategy.PROGRESSIVE and incident.rung + 1 < len(detector.recover):
        turn.put(replace(incident, rung=incident.rung + 1, step=0, errors=(*incident.errors, reason)))
        _next(turn, incident.key)
    elif incident.rung == 0:
        life.move(turn, incident, IncidentState.SUPPRESSED, reason, phase=Phase.NONE)
    else:
        _over(turn, incident, IncidentState.UNHEALED, "; ".join((*incident.errors, reason)))


def _rungs_done(turn: Turn, incident: Incident) -> None:
    detector = turn.plan.detector(incident.detector)
    if turn.plan.settings.check:
        waits = life.waits(turn, incident)
        state = IncidentState.WAITING if waits else IncidentState.OPEN
        life.move(turn, incident, state, waits or "check", phase=Phase.NONE)
    elif detector.probe == "error":
        life.move(turn, incident, IncidentState.VERIFYING, "the next attempt tells", wake=None, phase=Phase.NONE)
        _finished(turn, incident)
    else:
        _verify(turn, incident)


def _verify(turn: Turn, incident: Incident) -> None:
    wake = turn.now + turn.plan.detector(incident.detector).verify.after
    life.move(
        turn, incident, IncidentState.VERIFYING, "", verify_began=turn.now, well_since=None, blind=False, wake=wake
    )


def _not_well(turn: Turn, incident: Incident) -> None:
    detector = turn.plan.detector(incident.detector)
    if incident.blind:
        _over(turn, incident, IncidentState.UNVERIFIED, "the last look of the verification saw nothing")
    elif detector.strategy is Strategy.PROGRESSIVE and incident.rung < len(detector.recover):
        turn.tell("rung.vain", incident, rung=incident.rung - 1)
        life.move(turn, incident, IncidentState.RECOVERING, "", wake=None, verify_began=None, well_since=None)
        _next(turn, incident.key)
    else:
        _over(turn, incident, IncidentState.UNHEALED, "; ".join((*incident.errors, "not well after the recovery")))


def _finished(turn: Turn, incident: Incident) -> None:
    turn.write("finished")[incident.key] = turn.now
    turn.tell("recovery.ended", incident, begun=incident.begun)
    for other in turn.read("incidents").values():
        attached = other.key != incident.key and (other.host, other.subject) == (incident.host, incident.subject)
        if attached and other.state in life.ASKED_AGAIN:
            turn.look(other.host, other.detector)


def _over(turn: Turn, incident: Incident, to: IncidentState, reason: str) -> None:
    """The recovery is over; run the `cured` or `unhealed` steps, then close."""
    current = turn.incident(incident.key) or incident
    _finished(turn, current)
    settle(turn, current, to, reason)


def settle(turn: Turn, incident: Incident, to: IncidentState, reason: str) -> None:
    """Bring an incident to its end state, through the steps that belong to it."""
    phase = {IncidentState.CURED: Phase.CURED, IncidentState.UNHEALED: Phase.UNHEALED}.get(to, Phase.NONE)
    moved = life.move(turn, incident, to, reason, phase=phase, rung=0, step=0, wake=None, errors=())
    if phase is Phase.NONE:
        life.end(turn, moved, to, reason)
    else:
        _next(turn, moved.key)


def _close(turn: Turn, incident: Incident) -> None:
    reason = "; ".join(part for part in (incident.reason, *incident.errors) if part)
    life.end(turn, incident, incident.state, reason)
