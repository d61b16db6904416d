"""What agents say by themselves: that something has happened which a detector looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runbook.engine.fleet.connection import Gone

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.fleet.hosts import Hosts


def key(run: str, detector: str) -> str:
    """Return what an agent is to say when something happens that a run's detector looks at."""
    return f"{run}/{detector}"


class Ears:
    """Listens to the agents of a watch: one channel for each, whatever the number of runbooks.

    Args:
        hosts: the connections.
    """

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self._channels: dict[int, tuple[str, str]] = {}  # by ticket: host and user
        self._open: set[tuple[str, str]] = set()

    def listen(self, host: str, user: str) -> None:
        """Have a host's agent say when something happens; however often it is called."""
        if (host, user) not in self._open:
            self._open.add((host, user))
            self._channels[self._hosts.listen(host, user)] = (host, user)

    def heard(self, number: int, answer: Mapping[str, Any] | Gone) -> tuple[str, list[tuple[str, str]]] | None:
        """Take an answer in, if it came through one of the channels.

        Returns:
            The host, and by run the detectors that something has happened to.
        """
        place = self._channels.get(number)
        if place is None:
            return None
        if isinstance(answer, Gone) or "error" in answer:
            del self._channels[number]
            self._open.discard(place)
            return place[0], []
        found = []
        for each in answer.get("stirred", ()):
            run, slash, detector = str(each).partition("/")
            if slash:
                found.append((run, detector))
        return place[0], found
