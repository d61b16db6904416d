"""When the lines of a log were written, also those that do not say."""

import re
import time
from typing import Optional, Sequence

from runbook.modules.logs.moment import written

FRUITLESS = 5000  # lines looked at in vain for a time, after which only a spot's own line is
AHEAD = 1024 * 1024  # bytes that are looked through for the first time of a file
TRIED = 100  # what looks like a time, and is none, before that is given up
WIDTH = 200  # bytes of a line in which its time stands

_CLOCK = re.compile(rb"\d\d:\d\d:\d\d|\b[12]\d{9}")  # stands wherever a time does


class Clock:
    """Knows when lines were written; one that does not say inherits it from those before.

    Those at a file's begin, before which none says it, take the first time behind them.
    """

    def __init__(self) -> None:
        self._now = time.time()
        self._fruitless = 0
        self._left = AHEAD  # bytes still to be looked through for the first time
        self.latest: Optional[float] = None
        self.first: Optional[float] = None

    @property
    def now(self) -> Optional[float]:
        """The time of a line that does not say it."""
        return self.first if self.latest is None else self.latest

    def at(self, data: bytes, start: int, begin: int, stamp: str = "", before: bytes = b"") -> Optional[float]:
        """Return when the line that begins at `start` was written.

        Args:
            data: where it stands.
            start: its begin.
            begin: how far back other lines are looked at, where it does not say.
            stamp: what was written beside it.
            before: what stands before the data, to be looked at after that.
        """
        moment = self._stated(data, start) if not stamp else written(stamp, self._now)
        if moment is None:
            moment = self._back(data, start, begin)
        if moment is None and before:
            moment = self._back(before, len(before), 0)
        if moment is not None:
            self._fruitless = 0
            self.latest = moment
        return self.now

    def look_ahead(self, data: bytes, begin: int, stamps: Sequence[str] = ()) -> bool:
        """Look for the first time of the file behind a place; tell whether no more need be looked through."""
        stamp = next(filter(None, stamps), "")
        if stamp:
            self.first = written(stamp, self._now)
        tried, line = 0, -1
        for found in _CLOCK.finditer(data, begin, begin + self._left):
            if self.first is not None or tried >= TRIED:
                break
            start = data.rfind(b"\n", begin, found.start()) + 1 or begin
            if start != line and found.start() < start + WIDTH:
                line, tried = start, tried + 1
                self.first = self._stated(data, start)
        self._left = 0 if self.first is not None or tried >= TRIED else max(0, self._left - (len(data) - begin))
        return not self._left

    def _back(self, data: bytes, start: int, begin: int) -> Optional[float]:
        moment = None
        while moment is None and start > begin and self._fruitless < FRUITLESS:
            self._fruitless += 1
            start = max(begin, data.rfind(b"\n", begin, start - 1) + 1)
            moment = self._stated(data, start)
        return moment

    def _stated(self, data: bytes, start: int) -> Optional[float]:
        if _CLOCK.search(data, start, start + WIDTH) is None:
            return None
        return written(data[start : start + WIDTH].partition(b"\n")[0].decode("utf-8", "replace"), self._now)
