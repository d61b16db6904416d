"""`max_unavailable`: how many hosts may be under recovery at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.decide.guards import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def unavailable(wanted: str | int | None, hosts: int, host: str, down: Mapping[str, str]) -> Refusal | None:
    """Refuse where as many hosts as allowed are under recovery.

    Args:
        wanted: `max_unavailable`.
        hosts: how many hosts there are.
        host: the one that is asked for; under recovery already, it makes no difference.
        down: the hosts under recovery, from the intent to the cure or an acknowledgement; those that were recovered in
            vain with the incident that a person may acknowledge.
    """
    bound = most(wanted, hosts)
    if bound is None or host in down or len(down) < bound:
        return None
    share = f" ({bound} of {hosts})" if isinstance(wanted, str) else ""
    vain = sorted((name, incident) for name, incident in down.items() if incident)
    named = ", ".join(f"{name} (`runbook ack {incident}` frees its place)" for name, incident in vain[:_NAMED])
    stuck = f"; recovered in vain: {named}" if named else ""
    return Refusal("max_unavailable", f"queued: max_unavailable is {wanted}{share}{stuck}")
