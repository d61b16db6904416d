"""`max_unavailable`: how many hosts may be under recovery at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.decide.guards import Refusal

if TYPE_CHECKING:
    from collections.abc import Collection

_NAMED = 3  # hosts that a reason lists


def most(wanted: str | int | None, hosts: int) -> int | None:
    """Return how many hosts may be under recovery at once; None = any number.

    Args:
        wanted: a number, or a share such as `5%`, which is rounded down, and at least 1.
        hosts: of how many.

    Example:
        >>> most("5%", 64), most("5%", 8), most(3, 64), most(None, 64)
        (3, 1, 3, None)
    """
    if wanted is None:
        return None
    if isinstance(wanted, str) and wanted.strip().endswith("%"):
        return max(1, int(float(wanted.strip().removesuffix("%")) * hosts / 100))
    return max(1, int(wanted))


def unavailable(
    wanted: str | int | None, hosts: int, host: str, down: Collection[str], ahead: int = 0
) -> Refusal | None:
    """Refuse where as many hosts as allowed are under recovery, or will be by what stood in the queue before.

    Args:
        wanted: `max_unavailable`.
        hosts: how many hosts there are.
        host: the one that is asked for; under recovery already, it makes no difference.
        down: the hosts under recovery, from the intent to the cure or an acknowledgement.
        ahead: how many other hosts stand before it in the queue.
    """
    bound = most(wanted, hosts)
    if bound is None or host in down or len(down) + ahead < bound:
        return None
    named = ", ".join(sorted(down)[:_NAMED]) + (" …" if len(down) > _NAMED else "")
    what = f"max_unavailable is {wanted}" + (f" ({bound} of {hosts} hosts)" if isinstance(wanted, str) else "")
    return Refusal("max_unavailable", f"queued: {what}, under recovery: {named or 'those before it'}")
