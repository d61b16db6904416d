"""A limit on how long patterns are matched: a hostile line can keep a regular expression busy for hours.

The clock is the processor time of this process, so a busy host makes no line slow.
"""

import signal
import threading
from typing import Any


class Expired(Exception):
    """The time is up."""


class Patience:
    """Lets what is done within take so many seconds and breaks it off then, by `Expired`.

    Where signals can't be had (in a thread that is not the main one) there is no limit.
    """

    _running = False  # of the whole process, as its timer is

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGVTALRM, _expire)
            Patience._running = True
            signal.setitimer(signal.ITIMER_VIRTUAL, self._seconds)

    def __exit__(self, *_: object) -> None:
        if Patience._running:
            Patience._running = False  # first: a signal that is on its way already comes to nothing
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)

    @classmethod
    def runs(cls) -> bool:
        """Tell whether something is being waited for."""
        return cls._running


def _expire(_number: int, _frame: Any) -> None:
    if Patience.runs():
        raise Expired
