"""Times for people: the day is told where it is not today."""

from __future__ import annotations

import time


def moment(at: float, now: float) -> str:
    """Return local time: `03:12`, or with its day `2026-11-21 03:12`."""
    then, today = time.localtime(at), time.localtime(now)
    return time.strftime("%H:%M" if then[:3] == today[:3] else "%Y-%m-%d %H:%M", then)


def second(at: float) -> str:
    """Return local time to the second: `03:12:05`."""
    return time.strftime("%H:%M:%S", time.localtime(at))


def day(at: float) -> str:
    """Return the local day."""
    return time.strftime("%Y-%m-%d", time.localtime(at))
