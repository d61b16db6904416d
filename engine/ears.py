"""What agents say by themselves: that something has happened which a detector looks at."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runbook.engine.fleet.connection import Gone

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.fleet.hosts import Hosts

    Heard = tuple[str, list[tuple[str, str]] | None]


def key(runbook: str, detector: str) -> str:
    """Return what an agent is to say when something happens that a detector looks at.

    The same after a reload: an agent listens for it in place of what it had, and not beside that.
    """
    return json.dumps([runbook, detector], separators=(",", ":"))


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

    def heard(self, number: int, answer: Mapping[str, Any] | Gone) -> Heard | None:
        """Take an answer in, if it came through one of the channels.

        Returns:
            The host, and by runbook the detectors that something has happened to; None: it says nothing any more.
        """
        place = self._channels.get(number)
        if place is None:
            return None
        if isinstance(answer, Gone) or "error" in answer:
            del self._channels[number]
            self._open.discard(place)
            return place[0], None if isinstance(answer, Gone) else []
        return place[0], [found for each in answer.get("stirred", ()) if (found := _unpacked(each)) is not None]


def _unpacked(text: object) -> tuple[str, str] | None:
    """Return what `key` made it of; None for what a host made up."""
    try:
        runbook, detector = json.loads(str(text))
    except (ValueError, TypeError):
        return None
    return str(runbook), str(detector)
