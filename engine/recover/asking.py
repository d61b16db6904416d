"""Whom an attempt of an operation asks, and what keeps it from asking others: breakers, and the step's own limit."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from runbook.engine.decide import tolerance
from runbook.engine.decide.guards import moment
from runbook.engine.detect import components
from runbook.engine.detect.breaker import Position
from runbook.engine.errors import RenderError
from runbook.engine.recover import permission, pools

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook.engine.detect.breaker import Breaker
    from runbook.engine.language.render import Scope
    from runbook.engine.model import Operation
    from runbook.engine.recover.pools import Member
    from runbook.engine.recover.state import Turn
    from runbook.engine.recover.work import Work


def asked(turn: Turn, work: Work, operation: Operation) -> tuple[Sequence[Member | None], list[str]]:
    """Return who is asked (of an operation without a pool: None), and why others are not.

    Raises:
        RenderError: a member's value, or `prefer`, can't be made out.
    """
    refused: list[str] = []
    if operation.component is not None and not turn.plan.settings.check:
        tried = pools.attempts(turn, work.host, operation.component)
        stands = components.breaker(turn.plan.runbook, operation.component, tried, turn.now)
        if stands is not None and stands.position is Position.OPEN:
            refused.append(_refuse(turn, work, operation, operation.component, stands))
            return [], refused
    if operation.pool is None:
        spent = permission.spent(turn, operation.step, scope(turn, work), work.host, "")
        return ([None], []) if spent is None else ([], [spent.reason])
    candidates = _members(turn, work, operation)
    refused += [
        _refuse(turn, work, operation, member.component, member.breaker, member.name)
        for member in candidates
        if member.open and member.breaker is not None
    ]
    fresh, spent_ones = _fresh(turn, work, operation, candidates)
    asked = fresh[: operation.redundancy]
    if asked and len(asked) * 2 <= operation.redundancy:
        return [], [*refused, *spent_ones, f"{len(asked)} of {operation.redundancy} members are no majority"]
    return asked, [*refused, *spent_ones]


def more(turn: Turn, work: Work, operation: Operation) -> bool:
    """Tell whether another member of the pool can be asked at once."""
    try:
        return bool(_fresh(turn, work, operation, _members(turn, work, operation))[0])
    except RenderError:
        return False


def scope(turn: Turn, work: Work, member: Member | None = None) -> Scope:
    """Return what the operation's step may read when it asks a member."""
    more = {"member": member.seen} if member is not None else {}
    return turn.plan.scopes[work.host].bind(registers=work.registers, **more)


def _refuse(turn: Turn, work: Work, operation: Operation, name: str, stands: Breaker, member: str = "") -> str:
    """Tell that a breaker lets nothing through; return the reason."""
    reason = _blocked(name, stands)
    turn.tell(
        "attempt.refused",
        host=work.host,
        operation=operation.name,
        guard="breaker",
        component=name,
        member=member,
        reason=reason,
        until=stands.until,
    )
    return reason


def _fresh(
    turn: Turn, work: Work, operation: Operation, candidates: Sequence[Member]
) -> tuple[list[Member], list[str]]:
    """Return the members that neither their breaker nor the step's own limit keeps from being asked."""
    fresh, reasons = [], []
    for member in candidates:
        spent = permission.spent(turn, operation.step, scope(turn, work, member), work.host, member.component)
        if spent is not None:
            reasons.append(f"{member.name}: {spent.reason}")
        elif not member.open:
            fresh.append(member)
    return fresh, reasons


def _members(turn: Turn, work: Work, operation: Operation) -> list[Member]:
    """Return the members that may be asked now, the best first; without failover only the active one."""
    found = pools.members(turn, work.host, turn.plan.runbook.pools[operation.pool or ""])
    found = pools.ordered(found, scope(turn, work), operation.prefer)
    if not tolerance.allows(turn.plan.runbook.fault_tolerance, "high"):
        found = [member for member in found if member.active]
    if turn.plan.settings.check:
        found = [replace(member, breaker=None) for member in found]
    return [member for member in found if member.name not in work.tried]


def _blocked(name: str, stands: Breaker) -> str:
    """Say that a breaker is open, and until when."""
    times = f"{stands.failures} failures in a row" if stands.failures > 1 else "a failure"
    until = moment(stands.until or 0.0)
    reset = f"`runbook reset {shlex.quote(name)}`"
    return f"the breaker of `{name}` is open after {times}; it lets an attempt through at {until}, or after {reset}"
