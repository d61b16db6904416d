"""When what is due: APScheduler's jobs, which do nothing but say so. One thread of its own keeps the time."""

from __future__ import annotations

import logging
import random
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.language import cron

if TYPE_CHECKING:
    from collections.abc import Callable

    from apscheduler.triggers.base import BaseTrigger

    Key = tuple[str, float | str]  # whose, and its schedule

JITTER: Final = 0.1  # of the time between two looks, unless --jitter says otherwise
MOST: Final = 5.0  # seconds of it
LONG: Final = 5.0  # seconds that a look is late by before that is told
GRACE: Final = 1.0  # seconds after which a look that was not begun is missed, at least
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")  # as cron numbers them


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
        from apscheduler.events import EVENT_JOB_EXECUTED, EVENT_JOB_MISSED
        from apscheduler.executors.debug import DebugExecutor
        from apscheduler.schedulers.background import BackgroundScheduler

        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)  # what matters of it is told by `missed`
        self._call = call
        self._jitter = jitter
        self._due: deque[tuple[Key, float]] = deque()
        self._missed: deque[tuple[Key, float, float]] = deque()
        self._jobs: dict[Key, Any] = {}
        self._ran: dict[Key, float] = {}  # when each was due last
        self._scheduler = BackgroundScheduler(executors={"default": DebugExecutor()}, daemon=True, timezone=UTC)
        self._scheduler.add_listener(self._came, EVENT_JOB_EXECUTED | EVENT_JOB_MISSED)
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
            _nothing,
            trigger(every, self._jitter),
            coalesce=True,
            max_instances=1,
            misfire_grace_time=max(1, int(grace)),
        )

    def drop(self, key: Key) -> None:
        """Have something be due no more."""
        job = self._jobs.pop(key, None)
        self._ran.pop(key, None)
        if job is not None:
            job.remove()

    def anew(self) -> None:
        """Count from now on: the clock was set, and what was due by the old one may be hours away."""
        for key in list(self._jobs):
            self.put(key)

    def due(self) -> list[tuple[Key, float]]:
        """Return what has come to be due, and when, in seconds since the epoch."""
        return _taken(self._due)

    def missed(self) -> list[tuple[Key, float, float]]:
        """Return what was left out since nobody could see to it: between when and when nothing was due."""
        return _taken(self._missed)

    def next(self, key: Key) -> float | None:
        """Return when something will be due, in seconds since the epoch."""
        job = self._jobs.get(key)
        at = None if job is None else job.next_run_time
        return None if at is None else at.timestamp()

    def close(self) -> None:
        """End the thread."""
        self._scheduler.shutdown(wait=True)

    def _came(self, event: Any) -> None:
        at = event.scheduled_run_time.timestamp()
        for key, job in list(self._jobs.items()):
            if job.id == event.job_id:
                before = self._ran.get(key)
                self._ran[key] = at
                if before is not None and left_out(key[1], before, at):
                    self._missed.append((key, before, at))
                self._due.append((key, at))
        self._call()


def left_out(every: float | str, before: float, at: float) -> bool:
    """Tell whether something was due between two times that it was seen to, and for so long that somebody minds.

    Example:
        >>> left_out(30.0, 1000.0, 1030.0), left_out(30.0, 1000.0, 1090.0), left_out("0 * * * *", 0.0, 7200.0)
        (False, True, True)
    """
    if not isinstance(every, str):
        return at - before > max(every + LONG, 1.5 * every)
    between = trigger(every, 0.0).get_next_fire_time(None, datetime.fromtimestamp(before + MOST + 1.0, UTC))
    return between is not None and between.timestamp() < at - MOST - 1.0


def _nothing() -> None:
    """What is done is that the scheduler tells of it."""


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

    def listed(field: str, place: int) -> str:  # by their numbers: APScheduler takes fewer steps than cron does
        return "*" if field == "*" else ",".join(map(str, cron.numbers(field, place)))

    def made(day: str, weekday: str) -> CronTrigger:
        return CronTrigger(
            minute=listed(minute, 0),
            hour=listed(hour, 1),
            day=listed(day, 2),
            month=listed(month, 3),
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
        ('sun,wed,thu,fri', 'sun,tue,thu,sat', 'sun,fri,sat')
    """
    return field if field == "*" else ",".join(_DAYS[number] for number in cron.numbers(field, 4))


def _taken(queue: deque[Any]) -> list[Any]:
    return [queue.popleft() for _ in range(len(queue))]
