"""One step, whoever asked for it: filled in, sent to the host or carried out here, and brought to its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.decide.approval import digest
from runbook.engine.detect.judge import disjunction, truth
from runbook.engine.errors import RenderError
from runbook.engine.language import expression, render
from runbook.engine.language import params as parameters
from runbook.engine.language.amounts import format_duration
from runbook.engine.language.names import members
from runbook.engine.model import UNKNOWN, Impact, Lacking, NotSeen, Outcome, StepStatus
from runbook.engine.recover.commands import Act, LookAt, Notify
from runbook.engine.recover.state import Task
from runbook.modules import catalogue
from runbook.modules.declare import Invalid
from runbook.modules.mask import MASK

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from runbook.engine.language.render import Scope
    from runbook.engine.model import Detector, Look, Order, Rung, StepCall
    from runbook.engine.recover.state import Owner, Plan, Turn
    from runbook.modules.declare import Step


CONTROLLER: Final = "localhost"  # where `delegate_to: controller` is carried out
_IMPACT: Final = "_impact"  # where a call keeps what was found


def impact_of(call: StepCall) -> Impact:
    """Return what a step can do, by its parameters as far as they are written out."""
    known: Impact | None = vars(call).get(_IMPACT)
    if known is None:
        vars(call)[_IMPACT] = known = _impact_of(call)  # it is asked at every decision, and never changes
    return known


def _impact_of(call: StepCall) -> Impact:
    cls = catalogue.step(call.module)
    try:
        found: Impact = parameters.build(cls, call.params).effective_impact()
    except (ValueError, TypeError, Invalid):
        found = cls.impact
    return max((found, *impacts_of(call.holds)), key=lambda impact: impact.rank)


def impacts_of(calls: Iterable[StepCall]) -> list[Impact]:
    """Return the impact of each of some steps."""
    return [impact_of(call) for call in calls]


def impacts(rung: Rung) -> list[Impact]:
    """Return the impact of each step of a rung."""
    return impacts_of(rung.steps)


def begin(
    turn: Turn,
    call: StepCall,
    scope: Scope,
    owner: Owner,
    *,
    subject: str = "",
    operation: str = "",
    timeout: float | None = None,
    beside: bool = False,
) -> Outcome | None:
    """Begin a step.

    Returns:
        Its outcome, if it ended at once; None when it is in flight, as a task of this turn.
    """
    try:
        if call.when is not None:
            wanted = truth(call.when, scope)
            if wanted is UNKNOWN:
                return Outcome(StepStatus.FAILED, error=f"its `when` is unknown: {call.when.text}")
            if not wanted:
                return Outcome(StepStatus.SKIPPED, output=f"when: {call.when.text}")
        order = render.order(call, scope)
    except RenderError as error:
        return Outcome(StepStatus.REFUSED, error=str(error.what if not error.mend else f"{error.what}; {error.mend}"))
    if timeout is not None:
        order = replace(order, timeout=timeout)
    intent = f"{turn.plan.run}-{turn.number()}"
    key = owner.key
    acted = _acted(call, order, subject)
    _count(turn, call, owner.host, acted)
    turn.tell(
        "step.begun",
        turn.incident(key) if key else None,
        host=owner.host,
        operation=operation,
        step=intent,
        module=call.module,
        title=call.title,
        path=_place(call),
        subject_acted=acted,
    )
    if call.module == "failover":
        from runbook.engine.recover import failover  # its own steps begin here, too

        return failover.begin(turn, Task(intent, owner, call, order, turn.now), beside=beside)
    carrier = carrier_of(owner.host, call, scope)
    user = user_of(turn.plan, carrier, call, _of(turn, owner))
    task = Task(intent, owner, call, order, turn.now, carrier=carrier, user=user)
    if catalogue.step(call.module).engine:
        return _here(turn, task, operation)
    turn.write("tasks")[intent] = task
    turn.commands.append(Act(intent, owner.host, subject, order, key, operation, beside, carrier, user))
    return None


def carrier_of(host: str, call: StepCall, scope: Scope) -> str:
    """Return the host that carries a step out: as it says, or where the member of its pool is."""
    member = scope.get("member")
    wanted = call.delegate_to or (member.get("host") if isinstance(member, Mapping) else None) or host
    return CONTROLLER if wanted == "controller" else str(wanted)


def user_of(plan: Plan, carrier: str, call: StepCall, detector: Detector | None) -> str:
    """Return under whom: as the step says, or its detector, or the runbook, or the host; empty: who logs in there."""
    for said in (call, detector, plan.runbook):
        if said is not None and (said.become is not None or said.become_user is not None):
            return plan.user(carrier, said.become, said.become_user)
    return plan.user(carrier, None, None)


def _of(turn: Turn, owner: Owner) -> Detector | None:
    return turn.plan.detector(owner.key[1]) if owner.key is not None else None


def probed(turn: Turn, task: Task, look: Look) -> Outcome | None:
    """Judge what a waiting step saw; return its outcome when it waits no longer."""
    if isinstance(look, NotSeen | Lacking):
        seen: Any = UNKNOWN
        told = look.reason
    else:
        when = expression.parse(task.order.params["when"], template=False)
        scope = turn.plan.scopes[task.owner.host]
        probe = next(iter(task.order.params["probe"]))
        found = [members(probe, record.fields) for record in look.records]
        seen = disjunction(truth(when, scope.bind(record=fields)) for fields in found)
        told = f"{when.text} does not hold"
    if seen is True:
        return _waited(turn, task, when.text)
    waits = _built(task)
    if task.until is not None and turn.now >= task.until:
        return Outcome(
            StepStatus.FAILED,
            error=f"waited {format_duration(waits.within)} in vain: {told}",
            duration=turn.now - task.began,
        )
    turn.write("tasks")[task.intent] = replace(task, wake=turn.now + waits.every)
    return None


def woke(turn: Turn, task: Task) -> Outcome | None:
    """Let time pass for a waiting step; return its outcome when it is over."""
    if task.call.module == "wait":
        return _waited(turn, task, format_duration(float(task.order.params["duration"])))
    turn.write("tasks")[task.intent] = replace(task, wake=None)
    turn.commands.append(_probe(task))
    return None


def _waited(turn: Turn, task: Task, what: str) -> Outcome:
    action = {"action": "wait" if task.call.module == "wait" else "wait until", "what": what, "changed": False}
    return Outcome(StepStatus.DONE, actions=(action,), duration=turn.now - task.began)


def _here(turn: Turn, task: Task, operation: str) -> Outcome | None:
    """Carry out a word of the engine."""
    values = task.order.params
    if task.call.module == "fail":
        return Outcome(StepStatus.FAILED, error=str(values["message"]))
    if task.call.module == "notify":
        incident = turn.incident(task.owner.key) if task.owner.key else None
        if turn.plan.settings.check:
            return Outcome(StepStatus.PLANNED, actions=({"action": "notify", "what": str(values["message"])},))
        turn.commands.append(
            Notify(
                task.owner.host,
                str(values["message"]),
                str(values.get("title") or ""),
                str(values.get("severity") or (incident.severity if incident else "")),
                incident.id if incident else "",
                tuple(map(str, values.get("channels") or ())),
                _place(task.call),
            )
        )
        return Outcome(StepStatus.DONE, actions=({"action": "tell", "what": str(values["message"]), "changed": True},))
    if turn.plan.settings.check:
        return Outcome(StepStatus.PLANNED, actions=({"action": task.call.module, "what": operation or "waits"},))
    if task.call.module == "wait":
        over = turn.now + float(task.order.params["duration"])
        turn.write("tasks")[task.intent] = replace(task, until=over, wake=over)
        return None
    waiting = replace(task, until=turn.now + _built(task).within)
    turn.write("tasks")[task.intent] = waiting
    turn.commands.append(_probe(waiting))
    return None


def _built(task: Task) -> Any:
    """Return the module's instance, with its defaults."""
    return parameters.build(catalogue.step(task.call.module), task.order.params)


def _probe(task: Task) -> LookAt:
    ((name, params),) = task.order.params["probe"].items()
    host = task.carrier or task.owner.host
    return LookAt(host, intent=task.intent, probe=name, params=params, python=task.order.python, user=task.user)


def acts_on(call: StepCall, scope: Scope, host: str, subject: str) -> tuple[str, str, str] | None:
    """Return under what a step's own limit counts it: host, place in the runbook, and what it acts on there.

    Eight GPUs that want the same host rebooted want one thing; eight that want to be reset want eight. None where the
    step can't be filled in yet.
    """
    try:
        return host, _place(call), _acted(call, render.order(call, scope), subject)
    except RenderError:
        return None


def public(order: Order) -> dict[str, Any]:
    """Return a step's parameters as plain data that anybody may see: with `***` where a secret is."""
    return {name: _shown(name, value, order.secret) for name, value in order.params.items()}


def _shown(name: str, value: Any, secret: Container[str]) -> Any:
    if name in secret:
        return MASK
    if isinstance(value, Mapping):
        return {str(key): _shown(f"{name}.{key}", each, secret) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_shown("", each, secret) for each in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _acted(call: StepCall, order: Order, subject: str) -> str:
    return digest(call.delegate_to or "", public(order), subject if catalogue.step(call.module).on_subject else "")


def _count(turn: Turn, call: StepCall, host: str, acted: str) -> None:
    if not turn.plan.settings.check:
        place = (host, _place(call), acted)
        steps = turn.write("steps")
        steps[place] = (*steps.get(place, ()), turn.now)


def _place(call: StepCall) -> str:
    return ".".join(str(part) for part in call.path)


def again(call: StepCall) -> bool:
    """Tell whether a step may be run again after a crash of which nothing is known."""
    if call.module == "failover":  # what it had come to says more; see failover.resume
        return False
    cls: type[Step] = catalogue.step(call.module)
    try:
        return bool(parameters.build(cls, call.params).again())
    except (ValueError, TypeError, Invalid):
        return cls.idempotent
