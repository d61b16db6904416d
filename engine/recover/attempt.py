"""One attempt of an operation: what is sent, what comes back, and which answer counts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runbook.engine.detect import components
from runbook.engine.detect.attempts import Attempt
from runbook.engine.errors import RenderError
from runbook.engine.model import Order, Outcome, StepStatus
from runbook.engine.recover import asking, outcomes, pools, redundancy, steps
from runbook.engine.recover.commands import Follow
from runbook.engine.recover.redundancy import Answer
from runbook.engine.recover.state import Owner, Task
from runbook.modules import catalogue
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook.engine.model import Operation, StepCall, Truth
    from runbook.engine.recover.pools import Member
    from runbook.engine.recover.state import Turn
    from runbook.engine.recover.work import Left, Work

NO_VOTE = "its answer is not the majority's"
_SAYS_NOTHING = frozenset({StepStatus.SKIPPED, StepStatus.REFUSED})  # of a component: it was not asked


@frozen
class Judged:
    """What an attempt came to."""

    outcome: Outcome
    member: str = ""  # who answered, or failed last
    matched: frozenset[str] = frozenset()  # the `error` detectors that know the failure
    blocked: bool = False  # a breaker let nothing through: no attempt was made
    more: bool = False  # another member of the pool can be asked at once


def begin(turn: Turn, work: Work, operation: Operation) -> Judged | None:
    """Begin an attempt; return what it came to where that is known at once."""
    try:
        asked, refused = asking.asked(turn, work, operation)
    except RenderError as error:
        return Judged(Outcome(StepStatus.REFUSED, error=error.what + (f"; {error.mend}" if error.mend else "")))
    if not asked:
        return Judged(Outcome(StepStatus.FAILED, error="; ".join(refused)), blocked=True)
    names = tuple(each.name for each in asked if each is not None)
    work = turn.put_work(
        replace(
            work,
            attempt=work.attempt + 1,
            attempt_began=turn.now,
            resumed=False,
            lost=0,
            calls={},
            answers=(),
            matched=frozenset(),
            tried=(*work.tried, *names),
            wake=None,
        )
    )
    told: dict[str, Any] = {"member": ", ".join(names)} if names else {}
    turn.tell("attempt.begun", host=work.host, operation=operation.name, attempt=work.attempt, **told)
    for each in asked:
        _call(turn, operation, work.host, each)
    return _judge(turn, operation, work.host)


def ended(
    turn: Turn, operation: Operation, task: Task, outcome: Outcome, matched: Mapping[str, Truth]
) -> Judged | None:
    """Take in what one of those that were asked answered; return what the attempt came to, when all have."""
    work = turn.work(task.owner.host)
    for name, truth in matched.items():
        if truth is not True and truth is not False:
            turn.tell("look.unknown", host=work.host, detector=name, reason="its pattern did not end in time")
    member = work.calls.get(task.intent, "")
    known = {name for name, truth in matched.items() if truth is True}
    guards = outcome.status is StepStatus.DONE and catalogue.step(task.call.module).guards
    turn.put_work(
        replace(
            work,
            calls={intent: each for intent, each in work.calls.items() if intent != task.intent},
            answers=(*work.answers, Answer(member, task.intent, outcome)),
            matched=work.matched | known,
            guards=(*work.guards, task.intent) if guards else work.guards,
            done=(*work.done, task.intent) if not guards and (outcome.changed or not outcome.ok) else work.done,
        )
    )
    return _judge(turn, operation, work.host)


def resume(turn: Turn, work: Work, operation: Operation, left: Sequence[Left]) -> None:
    """Go on with what an earlier run sent: its host is asked how it ended, or ends."""
    place = next((found for each in left if (found := _fallback(operation, each)) is not None), None)
    steps_left = {each.intent: each.member for each in left if _fallback(operation, each) is None}
    work = turn.put_work(
        replace(
            work,
            attempt=1 if steps_left else 0,
            attempt_began=turn.now,
            resumed=True,
            calls=steps_left,
            tried=tuple(member for member in steps_left.values() if member),
            fallback=place,
        )
    )
    if steps_left:
        turn.tell("attempt.begun", host=work.host, operation=operation.name, attempt=work.attempt, resumed=True)
    for each in left:
        number = _fallback(operation, each)
        call = operation.step if number is None else operation.fallback[number]
        owner = Owner("operation" if number is None else "fallback", work.host)
        order = Order(call.module, {}, title=call.title, path=call.path)
        turn.write("tasks")[each.intent] = Task(each.intent, owner, call, order, turn.now)
        turn.commands.append(Follow(each.intent, work.host, each.at))


def again(turn: Turn, operation: Operation, host: str, intent: str) -> Judged | None:
    """Ask once more whoever a lost step was sent to: it may run twice, or never began."""
    work = turn.work(host)
    member = work.calls.get(intent, "")
    calls = {each: name for each, name in work.calls.items() if each != intent}
    turn.put_work(replace(work, calls=calls))
    try:
        known = pools.members(turn, host, turn.plan.runbook.pools[operation.pool]) if operation.pool else []
    except RenderError as error:
        return Judged(Outcome(StepStatus.REFUSED, error=error.what))
    found = next((each for each in known if each.name == member), None)
    if operation.pool and found is None:  # the runbook has lost it since
        return begin(turn, replace(turn.work(host), attempt=0), operation)
    _call(turn, operation, host, found)
    return _judge(turn, operation, host)


def _call(turn: Turn, operation: Operation, host: str, member: Member | None) -> None:
    """Send the operation's step to whom it asks."""
    work = turn.work(host)
    name = member.name if member is not None else ""
    before = turn.counter
    outcome = steps.begin(
        turn,
        operation.step,
        asking.scope(turn, work, member),
        Owner("operation", host),
        subject=member.component if member is not None else "",
        operation=operation.name,
        timeout=operation.timeout,
    )
    intent = f"{turn.plan.run}-{before + 1}"
    work = turn.work(host)
    if outcome is None:
        turn.put_work(replace(work, calls={**work.calls, intent: name}))
    else:
        turn.put_work(replace(work, answers=(*work.answers, Answer(name, intent, outcome))))


def _judge(turn: Turn, operation: Operation, host: str) -> Judged | None:
    """Say what an attempt came to, when everybody has answered."""
    work = turn.work(host)
    if work.calls:
        return None
    if operation.redundancy > 1 and operation.pool is not None and not turn.plan.settings.check:
        if work.resumed:  # what the others said is not known any more
            return begin(turn, replace(work, attempt=0, tried=()), operation)
        answers = sorted(work.answers, key=lambda answer: work.tried.index(answer.member))  # whoever was quicker
        found = redundancy.majority(answers, operation.redundancy)
        for answer in answers:
            agrees = answer.outcome.ok and answer.member not in found.dissented
            _told(turn, operation, work, answer, ok=agrees)
        member = ", ".join(found.agreed)
        return Judged(found.outcome, member, work.matched)
    for answer in work.answers:
        _told(turn, operation, work, answer, ok=answer.outcome.ok)
    last = next((each for each in work.answers if not each.outcome.ok), work.answers[-1])
    more = not last.outcome.ok and operation.pool is not None and asking.more(turn, work, operation)
    return Judged(last.outcome, last.member, work.matched, more=more)


def _told(turn: Turn, operation: Operation, work: Work, answer: Answer, *, ok: bool) -> None:
    """Tell the journal of an attempt's end, and let its components know."""
    outcome = answer.outcome
    told: dict[str, Any] = outcomes.told(outcome)
    if outcome.ok and not ok:
        told |= {"status": StepStatus.FAILED.value, "error": NO_VOTE}
    if answer.member:
        told |= {"member": answer.member, "pool": operation.pool}
    if operation.component is not None:
        told["component"] = operation.component
    if outcome.data.get("progress"):
        told["progress"] = outcome.data["progress"]
    local = not ok and outcome.data.get("local") is True  # it failed here: whoever it needed is well
    if local:
        told["local"] = True
    turn.tell(
        "attempt.ended",
        host=work.host,
        operation=operation.name,
        step=answer.intent,
        attempt=work.attempt,
        ok=ok,
        module=operation.step.module,
        title=operation.name,
        **told,
    )
    if turn.plan.settings.check or local or outcome.status in _SAYS_NOTHING:
        return
    fed = [operation.component] if operation.component is not None else []
    fed += [components.of_member(operation.pool, answer.member)] if operation.pool and answer.member else []
    for component in fed:
        _feed(turn, work.host, component, Attempt(turn.now, ok, outcome.duration))


def _feed(turn: Turn, host: str, component: str, attempt: Attempt) -> None:
    """Let a component know of an attempt, and tell where its breaker opens or closes by it."""
    runbook = turn.plan.runbook
    before = components.breaker(runbook, component, pools.attempts(turn, host, component), turn.now)
    known = (*turn.read("attempts").get((host, component), ()), attempt)
    turn.write("attempts")[host, component] = known[-components.kept(runbook, component) :]
    after = components.breaker(runbook, component, pools.attempts(turn, host, component), turn.now)
    if before is not None and after is not None and before.position is not after.position:
        moved: dict[str, Any] = {"from": before.position.value, "to": after.position.value, "until": after.until}
        turn.tell("breaker.moved", host=host, component=component, **moved)


def _fallback(operation: Operation, left: Left) -> int | None:
    """Return which of the fallbacks a step is; None = the operation's own."""
    return next((number for number, call in enumerate(operation.fallback) if _path(call) == left.path), None)


def _path(call: StepCall) -> str:
    return ".".join(str(part) for part in call.path)
