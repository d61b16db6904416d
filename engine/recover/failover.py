"""The step `failover`: from the active member of a pool to another, by the pool's `switch` steps.

How far one is that belongs to a recovery stands in its incident, so that a later run goes on where a killed one was.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runbook.engine.errors import RenderError
from runbook.engine.model import Outcome, StepStatus
from runbook.engine.recover import incident as life
from runbook.engine.recover import outcomes, pools, steps
from runbook.engine.recover.state import Owner, Switch
from runbook.modules import catalogue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.language.render import Scope
    from runbook.engine.model import StepCall
    from runbook.engine.recover.pools import Member
    from runbook.engine.recover.state import Incident, Task, Turn


def begin(turn: Turn, task: Task, *, beside: bool = False) -> Outcome | None:
    """Choose the member to switch to, and begin the first step; return how it ended where that is known at once.

    What an earlier run began to switch goes on with the step that it had come to.
    """
    name, host = str(task.order.params["pool"]), task.owner.host
    pool = turn.plan.runbook.pools.get(name)
    if pool is None:
        known = ", ".join(turn.plan.runbook.pools) or "none"
        return Outcome(StepStatus.REFUSED, error=f"there is no pool `{name}`; the runbook has {known}")
    incident = _incident(turn, task)
    begun = incident.switching.get(_place(task.call), {}) if incident is not None else {}
    try:
        found = pools.members(turn, host, pool)
        origin, target = _chosen(turn, found, host, begun.get("to") or task.order.params.get("to"))
    except RenderError as error:
        return Outcome(StepStatus.REFUSED, error=f"pool `{name}`: {error.what}")
    if target is None:
        return Outcome(StepStatus.FAILED, error=f"pool `{name}` has no other member to switch to than {origin.name}")
    if target.name == origin.name:
        return Outcome(StepStatus.DONE, data={"pool": name, "from": origin.name, "to": origin.name})
    step = min(int(begun.get("step") or 0), len(pool.switch))
    switch = Switch(name, {**origin.seen}, {**target.seen}, step, beside=beside)
    turn.write("tasks")[task.intent] = replace(task, switch=switch)
    return _next(turn, task.intent)


def moved(turn: Turn, task: Task, outcome: Outcome) -> tuple[Task, Outcome | None] | None:
    """Take in the end of one of the `switch` steps.

    Returns:
        The `failover` that it belongs to, and how that ended; None where it goes on.
    """
    parent = turn.read("tasks").get(task.owner.parent)
    if parent is None or parent.switch is None:
        return None
    ended = _step_ended(turn, parent, task, outcome) or _next(turn, parent.intent)
    return (parent, ended) if ended is not None else None


def resume(turn: Turn, incident: Incident, call: StepCall, known: Mapping[str, Outcome]) -> Outcome | None:
    """Say what became of a `failover` that an earlier run left; None while one of its steps is still in hand.

    It was lost, but for a step that failed; and it may begin again (which goes on with the step that it had come to)
    unless that step must not run twice and nobody knows how it ended.
    """
    may_begin = Outcome(StepStatus.LOST, data={"begun": False})
    begun = incident.switching.get(_place(call))
    pool = turn.plan.runbook.pools.get(str(begun["pool"])) if begun else None
    if not begun or pool is None or begun["step"] >= len(pool.switch):
        return may_begin
    step, outcome = pool.switch[begun["step"]], known.get(begun["intent"])
    if outcome is None:
        return may_begin if catalogue.step(step.module).engine else None
    if outcome.status is StepStatus.LOST:
        again = steps.again(step) or outcome.data.get("begun") is False
        return may_begin if again else outcome
    if not outcome.ok:
        _keep(turn, incident, call, None)
        return replace(outcome, error=f"{step.title}: {outcome.error or outcome.status.value}")
    _keep(turn, incident, call, {**begun, "step": begun["step"] + 1})
    return may_begin


def _chosen(turn: Turn, found: list[Member], host: str, wanted: Any) -> tuple[Member, Member | None]:
    """Return the active member, and the one to switch to.

    Without health that tells them apart, it is the next in the file, so that repeated failovers go round.
    """
    place = next((number for number, member in enumerate(found) if member.active), 0)
    if wanted is not None:
        named = next((member for member in found if member.name == wanted), None)
        if named is None:
            known = ", ".join(member.name for member in found)
            raise RenderError(f"it has no member `{wanted}`", mend=f"there is {known}")
        return found[place], named
    others = [*found[place + 1 :], *found[:place]]
    return found[place], next(iter(pools.ordered(others, turn.plan.scopes[host])), None)


def _next(turn: Turn, intent: str) -> Outcome | None:
    """Begin the next of the `switch` steps; when there is none, the member is switched."""
    while True:
        parent: Task = turn.read("tasks")[intent]
        switch = parent.switch
        assert switch is not None
        calls = turn.plan.runbook.pools[switch.pool].switch
        if switch.step >= len(calls):
            return _over(turn, parent, _switched(turn, parent, switch))
        if turn.stopping:
            error = "stopped before it had switched"
            return _over(turn, parent, replace(_whole(turn, parent, switch), status=StepStatus.FAILED, error=error))
        call = calls[switch.step]
        owner = Owner("switch", parent.owner.host, parent.owner.key, parent=intent)
        own = f"{turn.plan.run}-{turn.counter + 1}"
        incident = _incident(turn, parent)
        subject = incident.subject if incident is not None else ""
        outcome = steps.begin(turn, call, _scope(turn, parent), owner, subject=subject, beside=switch.beside)
        if outcome is None:
            turn.write("tasks")[intent] = replace(parent, switch=replace(switch, intent=own))
            about = {"pool": switch.pool, "to": switch.target["name"], "step": switch.step, "intent": own}
            if incident is not None:
                _keep(turn, incident, parent.call, about)
            return None
        ended = _step_ended(turn, parent, replace(parent, intent=own, owner=owner, call=call), outcome)
        if ended is not None:
            return ended


def _step_ended(turn: Turn, parent: Task, task: Task, outcome: Outcome) -> Outcome | None:
    """Tell of a `switch` step's end; return the end of all where it failed."""
    turn.tell(
        "step.ended",
        _incident(turn, parent),
        host=parent.owner.host,
        step=task.intent,
        module=task.call.module,
        title=task.call.title,
        phase="switch",
        within=parent.intent,
        **outcomes.told(outcome),
    )
    switch = parent.switch
    assert switch is not None
    registers = dict(switch.registers)
    if task.call.register:
        registers[task.call.register] = outcomes.registered(outcome)
    onward = replace(
        switch, step=switch.step + 1, intent=None, registers=registers, outcomes=(*switch.outcomes, outcome)
    )
    turn.write("tasks")[parent.intent] = replace(parent, switch=onward)
    if outcome.ok:
        return None
    error = f"{task.call.title}: {outcome.error or outcome.status.value}; {onward.origin['name']} stays the active one"
    return _over(turn, parent, replace(_whole(turn, parent, onward), status=StepStatus.FAILED, error=error))


def _switched(turn: Turn, parent: Task, switch: Switch) -> Outcome:
    origin, target = str(switch.origin["name"]), str(switch.target["name"])
    what = {"action": "switch", "what": f"{switch.pool} from {origin} to {target}", "changed": True}
    whole = _whole(turn, parent, switch)
    data = {"pool": switch.pool, "from": origin, "to": target}
    if turn.plan.settings.check:
        return replace(whole, status=StepStatus.PLANNED, actions=(what, *whole.actions), data=data)
    turn.write("active")[parent.owner.host, switch.pool] = target
    turn.tell("pool.switched", _incident(turn, parent), host=parent.owner.host, **data)
    return replace(whole, changed=True, actions=(what, *whole.actions), data=data)


def _over(turn: Turn, parent: Task, outcome: Outcome) -> Outcome:
    """End a `failover`: it is no task any more, and nothing of it is left to go on with."""
    turn.write("tasks").pop(parent.intent, None)
    incident = _incident(turn, parent)
    if incident is not None and _place(parent.call) in incident.switching:
        _keep(turn, incident, parent.call, None)
    return outcome


def _whole(turn: Turn, parent: Task, switch: Switch) -> Outcome:
    """Return what the steps come to together."""
    return Outcome(
        StepStatus.DONE,
        changed=any(outcome.changed for outcome in switch.outcomes),
        output="\n".join(outcome.output for outcome in switch.outcomes if outcome.output),
        actions=tuple(action for outcome in switch.outcomes for action in outcome.actions),
        diff="".join(outcome.diff for outcome in switch.outcomes),
        duration=turn.now - parent.began,
    )


def _scope(turn: Turn, parent: Task) -> Scope:
    """Return what the `switch` steps may read: what the `failover` may, and the two members."""
    switch = parent.switch
    assert switch is not None
    incident = _incident(turn, parent)
    if incident is not None:
        base = life.scope(turn, incident)
    else:
        base = turn.plan.scopes[parent.owner.host].bind(registers=turn.work(parent.owner.host).registers)
    return base.bind(registers=switch.registers, **{"from": switch.origin, "to": switch.target})


def _incident(turn: Turn, parent: Task) -> Incident | None:
    """Return the incident whose recovery a `failover` belongs to, as it is now."""
    return turn.incident(parent.owner.key) if parent.owner.key is not None else None


def _keep(turn: Turn, incident: Incident, call: StepCall, about: Mapping[str, Any] | None) -> None:
    """Keep how far a `failover` is, or (None) that it is over."""
    current = turn.incident(incident.key) or incident
    switching = {place: each for place, each in current.switching.items() if place != _place(call)}
    turn.put(replace(current, switching={**switching, _place(call): about} if about is not None else switching))


def _place(call: StepCall) -> str:
    return ".".join(str(part) for part in call.path)
