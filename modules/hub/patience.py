"""How long it is tried again within one step: a pause that doubles, and an end when nothing has moved for too long."""

import time
from typing import Callable

from runbook.modules.hub.failures import GaveUp, Hindered

WATCHED = 60.0  # seconds
SLOWEST = 1000  # bytes per second that a connection must bring
FIRST, LONGEST = 0.5, 30.0  # seconds of a pause


class Patience:
    """Of one file; each byte that arrives fills it up again."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self.moved()

    def moved(self) -> None:
        """Something arrived."""
        self._since = self._clock()
        self._pause = FIRST

    def pause(self, hindered: Hindered, what: str) -> float:
        """Return the seconds to wait before the next try.

        Raises:
            GaveUp: that would be later than the patience lasts.
        """
        passed = self._clock() - self._since
        wait, self._pause = self._pause, min(self._pause * 2, LONGEST)
        if hindered.retry_after is not None:
            wait = max(hindered.retry_after, 0.1)
        if passed + wait <= self._seconds:
            return wait
        asked = hindered.retry_after
        tail = f"; the hub asks to wait {asked:.0f} s" if asked else f"; nothing came for {passed:.0f} s"
        raise GaveUp(f"{what}: {hindered}{tail}", {"retry_after": asked} if asked else {})


class Pace:
    """Of one connection: one that trickles is as bad as one that stalls, and the next may be better."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._came = 0

    def came(self, count: int) -> None:
        """Count bytes.

        Raises:
            Hindered: in the last minute there were too few of them.
        """
        self._came += count
        passed = self._clock() - self._since
        if passed < WATCHED:
            return
        if self._came < SLOWEST * passed:
            raise Hindered(f"the connection stalls ({self._came / passed:.0f} B/s)")
        self._since, self._came = self._clock(), 0
