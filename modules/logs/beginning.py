"""Where the very first look at a log begins: `end`, `start`, `last 1000 lines` or `since 1h`."""

import os
import re
from typing import Dict, List, Optional, Tuple

from runbook.modules.declare import Invalid
from runbook.modules.frozen import frozen
from runbook.modules.logs.content import Content, opened
from runbook.modules.logs.cursor import Cursor
from runbook.modules.logs.rotation import Place, at_end, fresh, placed

_LAST = r"last ([1-9]\d{0,8}) lines?"
_SINCE = r"since (\d{1,12}(?:\.\d+)?)(ms|s|m|h|d|w|)"
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BLOCK = 256 * 1024
_TIMED = 256 * 1024  # bytes in which a line with a time is looked for

Work = List[Tuple[Place, Cursor]]


@frozen
class Beginning:
    """Where to begin."""

    start: bool = False  # with all that is there
    lines: int = 0  # or with so many lines
    seconds: float = 0.0  # or with what was written in so much time

    def split(self, there: List[Place], now: float) -> Tuple[List[Cursor], Work]:
        """Return the cursors of files of which nothing is wanted, and the files to be read with where to begin."""
        kept: List[Cursor] = []
        work: Work = []
        left: Dict[str, int] = {}
        for place in sorted(there, key=lambda place: (not place.live, -place.found.st_mtime_ns)):
            if self.start:
                work.append((place, fresh(place)))
                continue
            with opened(place.path) as content:
                if content is None:
                    continue
                cursor = None
                if self.lines:
                    cursor, left[place.log] = _last(place, content, left.get(place.log, self.lines))
                elif self.seconds and place.found.st_mtime >= now - self.seconds:
                    cursor = _since(place, content, now, now - self.seconds)
                if cursor is None:
                    kept.append(at_end(place, content))
                else:
                    work.append((place, cursor))
        return kept, work


def parsed(text: str) -> Beginning:
    """Return what a text says.

    Raises:
        Invalid: it says none of what can be said.
    """
    if text in ("end", "start"):
        return Beginning(start=text == "start")
    last, since = re.fullmatch(_LAST, text), re.fullmatch(_SINCE, text)
    if last is not None:
        return Beginning(lines=int(last[1]))
    if since is not None and float(since[1]) > 0:
        return Beginning(seconds=float(since[1]) * _SECONDS[since[2]])
    raise Invalid(f"`from: {text}` is none of: end, start, last 1000 lines, since 1h")


def _last(place: Place, content: Content, wanted: int) -> Tuple[Optional[Cursor], int]:
    """Return a cursor before the last so many lines, and how many are wanted of older files."""
    if not wanted or content.packed:
        return None, 0
    end = size = os.fstat(content.descriptor).st_size
    found = 0
    while end:
        begin = max(0, end - _BLOCK)
        block = content.pread(end - begin, begin)
        if end == size and block.endswith(b"\n"):
            block = block[:-1]
        feeds = block.count(b"\n")
        if found + feeds >= wanted:
            at = len(block)
            for _ in range(wanted - found):
                at = block.rfind(b"\n", 0, at)
            return _unread(placed(place, content, begin + at + 1, 0)), 0
        found += feeds
        end = begin
    return fresh(place), wanted - found - (1 if size else 0)


def _since(place: Place, content: Content, now: float, begin: float) -> Cursor:
    """Return a cursor before the first line that is not older; a file whose lines bear no time is wanted whole."""
    if content.packed:
        return fresh(place)
    low, high = 0, os.fstat(content.descriptor).st_size
    while high - low > _BLOCK:
        middle = (low + high) // 2
        moment = _moment(content, middle, now)
        if moment is not None and moment[0] < begin:
            low = moment[1]
        else:
            high = middle
    at = low
    while True:
        moment = _moment(content, at, now, whole=True)
        if moment is None:
            break
        if moment[0] >= begin:
            at = moment[2] if at else 0  # lines without a time belong to the one before them
            break
        at = moment[1]
    return _unread(placed(place, content, at, 0)) if at else fresh(place)


def _moment(content: Content, at: int, now: float, *, whole: bool = False) -> Optional[Tuple[float, int, int]]:
    """Return the time of the first line behind a place that has one, where that line ends, and where it begins."""
    from runbook.modules.logs.moment import written  # few looks begin by the time

    block = content.pread(_TIMED, at)
    start = 0 if whole or not at else block.find(b"\n") + 1
    while 0 <= start < len(block):
        end = block.find(b"\n", start)
        if end < 0:
            return None
        line = block[start:end].decode("utf-8", "replace")
        moment = written(line, now)
        if moment is not None:
            return moment, at + end + 1, at + start
        start = end + 1
    return None


def _unread(cursor: Cursor) -> Cursor:
    cursor.tried = False
    return cursor
