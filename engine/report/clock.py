"""Times for people: the day is told where it is not today."""

from __future__ import annotations

from datetime import datetime


def moment(at: float, now: float) -> str:
    """Return local time: `03:12`, or with its day `2026-11-21 03:12`."""
    time, today = datetime.fromtimestamp(at).astimezone(), datetime.fromtimestamp(now).astimezone()
    return f"{time:%H:%M}" if time.date() == today.date() else f"{time:%Y-%m-%d %H:%M}"


def second(at: float) -> str:
    """Return local time to the second: `03:12:05`."""
    return f"{datetime.fromtimestamp(at).astimezone():%H:%M:%S}"


def day(at: float) -> str:
    """Return the local day."""
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d}"
