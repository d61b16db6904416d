"""One kept connection to one host, however it is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from runbook.engine.fleet.agent import Agent


class Line(Protocol):
    """What agents of a host are started over."""

    def agent(self, user: str | None = None) -> Agent:
        """Start an agent and return it while it still wakes up.

        Args:
            user: as whom it runs, if not as the user who logs in.

        Raises:
            HostUnreachable: it can't be started.
        """

    def close(self) -> None:
        """Hang up, on its agents too. What they have in hand goes on to its end on the host."""
