"""What one read of one file found: the records, each with the number of its line, those of one event as one."""

import time
from typing import List, Optional

from runbook.modules.logs.content import Content
from runbook.modules.logs.cursor import Cursor
from runbook.modules.logs.events import Known, Recent, merged
from runbook.modules.logs.hits import Hit
from runbook.modules.logs.room import Line, Room

COUNTED = 256 * 1024 * 1024  # bytes that are read to number a line where the beginning was never read
_BLOCK = 256 * 1024


class Records:
    """The records of one read, in order."""

    def __init__(self, path: str, content: Content, cursor: Cursor, known: Known, *, room: Room, now: float) -> None:
        self.lines: List[Line] = []
        self.recent = Recent(cursor.recent, now)
        self._path = path
        self._content = content
        self._cursor = cursor
        self._known = known
        self._room = room
        self._now = now
        self._began = time.monotonic()

    def add(self, hit: Hit, base: int, feeds: int, line: int) -> None:
        """Take in a hit.

        Args:
            hit: what matches.
            base: where its block begins in the file, which is where the cursor stands.
            feeds: line feeds before it in the block.
            line: line feeds that were read before the block.
        """
        event = self._known.event(hit)
        moment = self._moment(hit) if event else None
        within, record = self.recent.take(event, hit.name, line + feeds, moment) if event else (False, None)
        if within and record is None:
            return  # of an event that an earlier look told of
        number = self._number(base, feeds)
        if record is not None:
            known = self.lines[record]
            named = self._known.foremost(known.hit, hit)
            other = hit if named is known.hit else known.hit
            self.lines[record] = Line(self._path, known.number if named is known.hit else number, merged(named, other))
            return
        if event:
            clock = self._now + time.monotonic() - self._began
            self.recent.begin(event, hit.name, line + feeds, moment, len(self.lines), clock)
        self.lines.append(Line(self._path, number, hit))
        self._room.take(hit)

    def _moment(self, hit: Hit) -> Optional[float]:
        from runbook.modules.logs.moment import written  # few lines are of an event

        return written(hit.stamp or hit.line, self._now)

    def _number(self, base: int, feeds: int) -> Optional[int]:
        if self._cursor.lines is None:
            self._cursor.lines = self.count(base)
        return None if self._cursor.lines is None else self._cursor.lines + feeds + 1

    def count(self, end: int) -> Optional[int]:
        """Return how many line feeds stand before an offset; None where it would take too long."""
        if end > COUNTED:
            return None
        return sum(self._content.pread(min(_BLOCK, end - at), at).count(b"\n") for at in range(0, end, _BLOCK))
