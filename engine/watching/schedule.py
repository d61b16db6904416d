"""When what is due: APScheduler's jobs, which do nothing but say so. One thread of its own keeps the time."""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from apscheduler.triggers.base import BaseTrigger

    Key = tuple[str, float | str]  # whose, and its schedule

JITTER: Final = 0.1  # of the time between two looks, unless --jitter says otherwise
MOST: Final = 5.0  # seconds of it
GRACE: Final = 1.0  # seconds after which a look that was not begun is missed, at least
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")  # as cron numbers them


class Schedule:
    """Says what is due.

    Args:
        call: is called from another thread when something is.
        jitter: seconds by which each look may be late, so that not all come at once; None = a tenth of the time
            between two of them, at most 5 s.

    Example:
        >>> schedule = Schedule(lambda: None)
        >>> schedule.put(("gpus", 30.0))
        >>> schedule.due()                          # doctest: +SKIP
        [(('gpus', 30.0), 1700000000.0)]
        >>> schedule.close()
    """

    def __init__(self, call: Callable[[], None], jitter: float | None = None) -> None:
        from apscheduler.events import EVENT_JOB_MISSED
        from apscheduler.executors.debug import DebugExecutor
        from apscheduler.schedulers.background import BackgroundScheduler

        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)  # what matters of it is told by `missed`
        self._call = call
        self._jitter = jitter
        self._due: deque[tuple[Key, float]] = deque()
        self._missed: deque[tuple[Key, float]] = deque()
        self._jobs: dict[Key, Any] = {}
        self._scheduler = BackgroundScheduler(executors={"default": DebugExecutor()}, daemon=True, timezone=UTC)
        self._scheduler.add_listener(self._miss, EVENT_JOB_MISSED)
        self._scheduler.start()

    def put(self, key: Key) -> None:
        """Have something be due again and again.

        Args:
            key: what `due` is to say: whose it is, and its schedule: seconds, or a cron expression of five fields, in
                local time.
        """
        self.drop(key)
        every = key[1]
        grace = max(GRACE, every) if isinstance(every, float) else 60.0
        self._jobs[key] = self._scheduler.add_job(
            self._say,
            trigger(every, self._jitter),
            args=(key,),
            coalesce=True,
            max_instances=1,
            misfire_grace_time=max(1, int(grace)),
        )

    def drop(self, key: Key) -> None:
        """Have something be due no more."""
        job = self._jobs.pop(key, None)
        if job is not None:
            job.remove()

    def due(self) -> list[tuple[Key, float]]:
        """Return what has come to be due, and when, in seconds since the epoch."""
        return _taken(self._due)

    def missed(self) -> list[tuple[Key, float]]:
        """Return what was due while nobody could see to it, and when."""
        return _taken(self._missed)

    def next(self, key: Key) -> float | None:
        """Return when something will be due, in seconds since the epoch."""
        job = self._jobs.get(key)
        at = None if job is None else job.next_run_time
        return None if at is None else at.timestamp()

    def close(self) -> None:
        """End the thread."""
        self._scheduler.shutdown(wait=True)

    def _say(self, key: Key) -> None:
        self._due.append((key, time.time()))
        self._call()

    def _miss(self, event: Any) -> None:
        for key, job in list(self._jobs.items()):
            if job.id == event.job_id:
                self._missed.append((key, event.scheduled_run_time.timestamp()))
        self._call()


def trigger(every: float | str, jitter: float | None = None) -> BaseTrigger:
    """Return what APScheduler calls a trigger.

    Args:
        every: seconds, or a cron expression of five fields, in local time.
        jitter: seconds; None = as much as fits.
    """
    if isinstance(every, str):
        return _cron(every, int(MOST if jitter is None else jitter) or None)
    from apscheduler.triggers.interval import IntervalTrigger

    late = min(MOST, every * JITTER) if jitter is None else jitter
    begin = datetime.now(UTC) + timedelta(seconds=every + random.uniform(0, late))  # noqa: S311 -- no secret
    return IntervalTrigger(seconds=every, start_date=begin, timezone=UTC, jitter=None)


def _cron(text: str, jitter: int | None) -> BaseTrigger:
    """Return a trigger that means what cron does: where both kinds of days are given, either will do."""
    from apscheduler.triggers.combining import OrTrigger
    from apscheduler.triggers.cron import CronTrigger
    from tzlocal import get_localzone

    minute, hour, day, month, weekday = text.split()
    zone = get_localzone()

    def made(day: str, weekday: str) -> CronTrigger:
        return CronTrigger(
            minute=minute,
            hour=hour,
            day=day,
            month=month,
            day_of_week=weekdays(weekday),
            timezone=zone,
            jitter=jitter,
        )

    if day.startswith("*") or weekday.startswith("*"):
        return made(day, weekday)
    return OrTrigger([made(day, "*"), made("*", weekday)])


def weekdays(field: str) -> str:
    """Return cron's days of the week by their names: APScheduler begins its numbers with Monday.

    Example:
        >>> weekdays("0,3-5"), weekdays("*/2"), weekdays("5-7")
        ('sun,wed,thu,fri', 'sun,tue,thu,sat', 'fri,sat,sun')
    """
    if field == "*":
        return field
    days: list[str] = []
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        low, high = (0, 6) if first == "*" else (_day(first), _day(last or first))
        if step and not last and first != "*":
            high = 6
        days += [_DAYS[number] for number in range(low, max(low, high) + 1, int(step or 1))]
    return ",".join(dict.fromkeys(days))


def _day(word: str) -> int:
    return int(word) if word.isdigit() else _DAYS.index(word)


def _taken(queue: deque[tuple[Key, float]]) -> list[tuple[Key, float]]:
    return [queue.popleft() for _ in range(len(queue))]
