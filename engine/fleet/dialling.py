"""The threads that dial: so many at once, each for one agent, until nobody waits for one."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from typing import TYPE_CHECKING

from runbook.engine.errors import HostUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runbook.engine.fleet.agent import Agent
    from runbook.engine.fleet.line import Line
    from runbook.engine.fleet.places import Place


class Dialling:
    """Starts agents over lines, of which each host has one.

    Args:
        dial: makes a line to a host by its name; blocks.
        forks: how many hosts are dialled at once; 0 = by the thread that asks, where to dial costs nothing.
        waker: is rung when an agent was started, or could not be.
    """

    def __init__(self, dial: Callable[[str], Line], forks: int, waker: Waker) -> None:
        self.dial = dial
        self._forks = forks
        self._waker = waker
        self._lines: dict[str, SharedLine] = {}
        self._lock = threading.Lock()
        self._jobs: deque[Job] = deque()
        self._done: deque[Job] = deque()
        self._threads = 0
        self._closed = False

    def begin(self, place: Place) -> None:
        """Have an agent started."""
        place.dialling = True
        job = Job(place, self._lines.setdefault(place.host, SharedLine()))
        if not self._forks:
            job.do(self.dial)
            self._done.append(job)
            return
        with self._lock:
            self._jobs.append(job)
            more = self._threads < min(self._forks, self._threads + len(self._jobs))
            self._threads += more
        if more:
            threading.Thread(target=self._work, name="runbook dials", daemon=True).start()

    def done(self) -> Iterator[Job]:
        """Yield what they have come to."""
        while self._done:
            yield self._done.popleft()

    def hang_up(self, host: str) -> None:
        """Close the line to a host."""
        line = self._lines.pop(host, None)
        if line is not None:
            line.close()

    def close(self) -> None:
        """Hang up everywhere; a thread that comes back with a line closes that itself."""
        with self._lock:
            self._closed = True
            self._jobs.clear()
        for job in self._done:
            job.undo()
        for line in self._lines.values():
            line.close()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._threads -= 1
                    return
                job = self._jobs.popleft()
            job.do(self.dial)
            with self._lock:
                if self._closed:
                    self._threads -= 1
                    job.undo()
                    return
                self._done.append(job)
            self._waker.ring()


class Waker:
    """A pipe by which any thread wakes the one that waits."""

    def __init__(self) -> None:
        self.descriptor, self._end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._lock = threading.Lock()
        self._closed = False

    def ring(self) -> None:
        """Wake it."""
        with self._lock:
            if not self._closed:
                with contextlib.suppress(BlockingIOError):  # so much waits there that it wakes anyway
                    os.write(self._end, b".")

    def hear(self) -> None:
        """Take the rings in."""
        os.read(self.descriptor, 4096)

    def close(self) -> None:
        """Be deaf from now on."""
        with self._lock:
            self._closed = True
            os.close(self.descriptor)
            os.close(self._end)


class SharedLine:
    """A host's line, which several of its agents share; made by whichever thread needs it first."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.line: Line | None = None

    def close(self) -> None:
        """Hang up."""
        if self.lock.acquire(blocking=False):  # else a thread dials, and closes what it comes back with
            line, self.line = self.line, None
            self.lock.release()
            if line is not None:
                line.close()


class Job:
    """One agent to be started by a thread."""

    def __init__(self, place: Place, line: SharedLine) -> None:
        self.place, self._line = place, line
        self.agent: Agent | None = None
        self.error: HostUnreachable | None = None

    def do(self, dial: Callable[[str], Line]) -> None:
        """Dial, and start the agent."""
        with self._line.lock:
            try:
                if self._line.line is None:
                    self._line.line = dial(self.place.host)
                self.agent = self._line.line.agent(self.place.user or None)
            except HostUnreachable as error:
                self.error = error
            except Exception as error:  # noqa: BLE001 -- a thread's end would leave the host in doubt for ever
                self.error = HostUnreachable(f"{type(error).__name__}: {error}", where=self.place.host)

    def undo(self) -> None:
        """Hang up: nobody waits any more."""
        if self.agent is not None:
            self.agent.close()
        if self._line.line is not None:
            self._line.line.close()
