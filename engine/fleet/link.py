"""The bytes to one agent and back, whatever carries them. Nothing here ever waits."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_AT_ONCE = 1 << 20  # bytes that are read or written by one call


class Link(Protocol):
    """What an agent is spoken to over: three streams, and how it ended."""

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Take bytes for the agent and return how many were taken; 0 while there is no room.

        What goes to an agent that is gone is taken, and lost: `read` tells of its end.
        """

    def read(self) -> bytes | None:
        """Return what the agent answered; None while there is nothing, b"" when it ended."""

    def words(self) -> bytes | None:
        """Return what it wrote to its standard error; None while there is nothing, b"" when that ended."""

    def polled(self) -> Mapping[int, int]:
        """Return what to wait for now: descriptors, and the events of `select.poll` on each."""

    @property
    def stalled(self) -> bool:
        """There was no room, and no descriptor will tell when there is some: try again in a while."""

    def ended(self) -> str | None:
        """Say how it ended (`exit code 1`, `signal 9`); None while it runs, or where that is not known."""

    def lost(self) -> str | None:
        """Say why it leads nowhere, where that is so and the agent itself may be well: a sentence."""

    def close(self) -> None:
        """Hang up. The agent sees the end of its input."""


class Pipes:
    """The link to a child process.

    Args:
        requests: the end that is written, closed with this one.
        answers: the end from which its standard output is read; closed too.
        log: the end from which its standard error is read; closed too.
        ended: says how the process ended, when it did.
    """

    stalled = False

    def __init__(self, requests: int, answers: int, log: int, ended: Callable[[], str | None]) -> None:
        self._requests, self._answers, self._log = requests, answers, log
        self._ended = ended
        self._full = False  # the last write found no room
        self._silent = False  # its standard error ended
        for descriptor in (requests, answers, log):
            os.set_blocking(descriptor, False)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write what the pipe takes."""
        try:
            written = os.write(self._requests, memoryview(data)[:_AT_ONCE])
        except BlockingIOError:
            written = 0
        except OSError:
            return len(data)
        self._full = written < len(data)
        return written

    def read(self) -> bytes | None:
        """Read what is there."""
        try:
            return os.read(self._answers, _AT_ONCE)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def words(self) -> bytes | None:
        """Read what is there of its log."""
        try:
            data = os.read(self._log, 1 << 16)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        self._silent = not data
        return data

    def polled(self) -> Mapping[int, int]:
        """Wait for its output, and for room while something was not taken."""
        found = {self._answers: select.POLLIN}
        if not self._silent:
            found[self._log] = select.POLLIN
        if self._full:
            found[self._requests] = select.POLLOUT
        return found

    def ended(self) -> str | None:
        """Ask the one who started it."""
        return self._ended()

    def lost(self) -> str | None:
        """Nothing lies between us but a pipe."""
        return None

    def close(self) -> None:
        """Close our ends."""
        for descriptor in (self._requests, self._answers, self._log):
            os.close(descriptor)
