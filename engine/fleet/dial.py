"""Making the connection to a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.errors import UserError
from runbook.engine.fleet.target import unreachable

if TYPE_CHECKING:
    from runbook.engine.fleet.asker import Asker
    from runbook.engine.fleet.line import Line
    from runbook.engine.fleet.target import Target


def dial(target: Target, asker: Asker) -> Line:
    """Connect to a host and return the line to it. Blocks; several threads may do so at the same time.

    Args:
        target: the host.
        asker: shared by all connections of a run.

    Raises:
        HostUnreachable: it can't be reached, or does not let us in; says why, and what to do.

    Example:
        >>> with dial(target(inventory.hosts["gpu01"]), Asker()).agent() as agent:    # doctest: +SKIP
        ...     agent.probe([Spec("health", "health")])
    """
    if target.connection == "local":
        from runbook.engine.fleet.local import LocalLine

        return LocalLine(target)
    from runbook.engine.fleet.ssh import hop, line

    try:
        return line.dial(target, hop.resolve(target), asker)
    except UserError as error:  # of a file, a jump host, or the host itself
        raise unreachable(target, error) from error
