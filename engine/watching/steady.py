"""Time that never goes back, for a process that runs for months while others set the clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST: Final = 2.0  # seconds that count as a jump: NTP slews by less
_SLOW: Final = 0.5  # how fast our time goes while the clock that was put back catches up with it


@frozen
class Jump:
    """The clock, or the machine, did not go on evenly."""

    by: float  # seconds that the clock was put forward; below 0: back
    slept: float  # seconds for which the machine was suspended


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Clock:
    """Seconds since the epoch: the system's clock, but for the time after that was put back.

    Args:
        wall: the system's clock.
        boottime: seconds since some moment, which nobody sets, and which go on while the machine sleeps.
        monotonic: the same, but they do not.

    Example:
        >>> clock = Clock()
        >>> clock() <= clock()
        True
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        boottime: Callable[[], float] = _boottime,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall, self._boottime, self._monotonic = wall, boottime, monotonic
        self._last, self._at = wall(), boottime()
        self._reference = (wall(), boottime(), monotonic())

    def __call__(self) -> float:
        """Return the time; not before the last one that was returned."""
        wall, at = self._wall(), self._boottime()
        behind = wall < self._last
        self._last = max(wall, self._last + (max(0.0, at - self._at) * _SLOW if behind else 0.0))
        self._at = at
        return self._last

    @property
    def ahead(self) -> float:
        """How many seconds our time is ahead of the system's clock, which was put back."""
        return max(0.0, self._last - self._wall())

    def jump(self) -> Jump | None:
        """Return what happened to time since this was asked last, if anything did."""
        now = (self._wall(), self._boottime(), self._monotonic())
        wall, boottime, monotonic = (new - old for new, old in zip(now, self._reference, strict=True))
        self._reference = now
        by, slept = wall - boottime, boottime - monotonic
        if abs(by) < LEAST and slept < LEAST:
            return None
        return Jump(by if abs(by) >= LEAST else 0.0, slept if slept >= LEAST else 0.0)
