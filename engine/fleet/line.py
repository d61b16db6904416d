"""One kept connection to one host, however it is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from runbook.engine.errors import HostUnreachable

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


class Here:
    """The line to this machine: each of its agents is a child process.

    Args:
        base: the directory that they keep what they have to keep in; None = the usual place.
    """

    def __init__(self, base: str | None = None) -> None:
        self._base = base

    def agent(self, user: str | None = None) -> Agent:
        """Start an agent."""
        from runbook.engine.fleet import local

        if user is not None:
            raise HostUnreachable("this machine's agent can't become another user", where="localhost")
        return local.connect(self._base)

    def close(self) -> None:
        """There is nothing to hang up but the agents."""
