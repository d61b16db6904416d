"""Reading what is new in one log file, line by line, in bounded memory."""

import os
import re
import time
from dataclasses import replace
from typing import List, Optional, Tuple

from runbook.modules.logs import pieces
from runbook.modules.logs.cleaning import cleaned
from runbook.modules.logs.content import Content, Slow
from runbook.modules.logs.cursor import HEAD, TAIL, Cursor, fingerprint
from runbook.modules.logs.events import HEADER, Joined, Known, Recent, Traceback, joined, merged, tracebacks
from runbook.modules.logs.match import Hit, Matcher, TooSlow
from runbook.modules.logs.moment import written
from runbook.modules.logs.room import PAUSE, QUIET, STILL, Line, Room
from runbook.modules.logs.rotation import LONGEST, Place

BLOCK = 256 * 1024
HELD = 1024 * 1024  # bytes of a traceback that are kept back until its end is there
COUNTED = 256 * 1024 * 1024  # bytes that are read to number a line where the beginning was never read
BLOCK_TIME = 0.5  # seconds of processor time to match a block; one that takes longer is matched line by line
LINE_TIME = 0.25  # for a line of such a block; one that takes longer is passed over
UNFINISHED = 60.0  # seconds without a change after which nobody goes on packing a file
SHORTEST_TIME = 0.02  # for a line, after several that were passed over
BEFORE = 16 * 1024  # bytes before a block that patterns may reach back to

_SEPARATOR = re.compile(rb"\r\n|\n|\r")
_HEADER = HEADER.encode()


class Reading:
    """One read of one open file, from a cursor on. `cursor` is where it ends."""

    def __init__(
        self,
        place: Place,
        content: Content,
        cursor: Cursor,
        matcher: Matcher,
        known: Known,
        *,
        room: Room,
        now: float,
    ) -> None:
        self.cursor = replace(cursor)
        self._path = place.path
        self.lines: List[Line] = []
        self.passed_over: List[str] = []  # the pattern that was too slow, for each line that was given up
        self.trouble = ""
        self._before = cursor
        self._content = content
        self._matcher = matcher
        self._known = known
        self._room = room
        self._now = now
        self._began = time.monotonic()
        self._first = content.pread(min(HEAD, cursor.offset), 0)
        self._last = content.pread(min(TAIL, cursor.offset), max(0, cursor.offset - TAIL))
        self._goes_on = _returns(self._last)  # a lone carriage return stands before the cursor
        reach = min(BEFORE, cursor.offset) if known.reach > 1 else 0
        self._above = content.pread(reach, cursor.offset - reach)
        self._feeds = 0  # line feeds that were read
        self._recent = Recent(cursor.recent, now)
        self._open = False  # a traceback without its end stands at the end
        self._over = False  # the waiting

    @property
    def continues(self) -> bool:
        """What stands before the cursor, as this will take it for, is what was read."""
        return (fingerprint(self._first), fingerprint(self._last)) == (self._before.head, self._before.tail)

    def run(self) -> "Reading":
        """Read to the end, or as far as there is room."""
        buffer = b""
        while self._room.left:
            try:
                block = self._content.pread(BLOCK, self.cursor.offset + len(buffer))
            except Slow:
                break  # the next look goes on
            buffer += block
            buffer = self._skip(buffer) if self.cursor.skipping else self._blank(buffer)
            if not self.cursor.skipping:
                end = _whole(buffer)
                if end:
                    end = self._complete(buffer[:end])
                    if end:
                        buffer = buffer[self._block(buffer[:end]) :]
                elif len(buffer) >= LONGEST:
                    buffer = self._long(buffer)
            if block or self._wait(buffer):
                continue
            if self._over or not buffer:
                break
            self._over = True  # once more, without what is whole but might go on
        self._finish(buffer)
        return self

    def _complete(self, part: bytes) -> int:
        """Return how much of some whole lines can be taken in before the end of what stands last has come."""
        _, found, end = self._understood(part)
        self._open = any(each.within for each in found) or end < len(part)
        begun = [each.first for each in found if not each.ended and (each.within or not self._over)]
        if begun:
            ends = [match.end() for match in _SEPARATOR.finditer(part)]
            end = min(end, ends[min(begun) - 1] if min(begun) else 0)
        return len(part) if len(part) - end > HELD else end

    def _understood(self, part: bytes) -> Tuple[bytes, List[Traceback], int]:
        """Return the lines for the patterns, the tracebacks among them, and where they are no longer whole."""
        end = len(part)
        if pieces.held(part):
            part, end = pieces.together(part)
        if _HEADER not in part:
            return part, [], end
        return part, tracebacks(cleaned(part).data.decode("utf-8", "replace").split("\n")), end

    def _wait(self, rest: bytes) -> bool:
        """Let a moment pass where a traceback or a report is just being written; tell whether to look again."""
        event = _HEADER in rest or pieces.begins(rest)
        if self._content.packed or not (event or self._recent.touched) or self._room.patience <= 0:
            return False
        age = self._clock - os.fstat(self._content.descriptor).st_mtime
        if age > (QUIET if event and self._open else STILL):
            return False
        time.sleep(PAUSE)
        self._room.patience -= PAUSE
        return True

    @property
    def _clock(self) -> float:
        return self._now + time.monotonic() - self._began

    def _skip(self, buffer: bytes) -> bytes:
        """Pass over the rest of a line that was taken already."""
        place = min((at for at in (buffer.find(b"\n"), buffer.find(b"\r")) if at >= 0), default=len(buffer))
        if buffer[place:] in (b"", b"\r"):  # at a carriage return a line feed may follow
            self._consume(buffer[:place])
            return buffer[place:]
        end = place + (2 if buffer[place : place + 2] == b"\r\n" else 1)
        self._consume(buffer[:end])
        self.cursor.skipping = False
        return buffer[end:]

    def _blank(self, buffer: bytes) -> bytes:
        """Pass over NUL bytes before a line: the hole that truncation leaves under a program that goes on writing."""
        if not buffer.startswith(b"\0"):
            return buffer
        rest = buffer.lstrip(b"\0")
        self._consume(buffer[: len(buffer) - len(rest)])
        if not rest:
            self._leap()
        return rest

    def _leap(self) -> None:
        if self._content.packed:
            return
        try:
            data = os.lseek(self._content.descriptor, self.cursor.offset, os.SEEK_DATA)
        except OSError:
            return  # no more data, or a file system that does not say: the bytes are read
        if data > self.cursor.offset:
            hole = data - self.cursor.offset
            self._consume(bytes(min(HEAD, hole)))
            self.cursor.offset = data

    def _block(self, part: bytes) -> int:
        """Match whole lines; return how many bytes of them were taken in, which is more than none."""
        try:
            return self._lines(part, BLOCK_TIME)
        except TooSlow:
            taken = 0
            for found in _SEPARATOR.finditer(part):
                if taken and not self._room.left:
                    break
                taken += self._line(part[taken : found.end()])
            return taken

    def _line(self, line: bytes) -> int:
        try:
            return self._lines(line, self._line_time)
        except TooSlow as slow:
            self._pass_over(slow)
            self.cursor.tried, self.cursor.held = False, 0
            self._consume(line)
            return len(line)

    @property
    def _line_time(self) -> float:
        return max(SHORTEST_TIME, LINE_TIME / (1 + self._room.passed_over))

    def _pass_over(self, slow: TooSlow) -> None:
        self._room.passed_over += 1
        self.passed_over.append(str(slow))

    def _lines(self, part: bytes, limit: float) -> int:
        found = self._found(part, limit)
        self.cursor.tried = False
        ends = [match.end() for match in _SEPARATOR.finditer(part)] if found else []
        base, line = self.cursor.offset, self._feeds
        for one in found:
            begin = ends[one.hit.index - 1] if one.hit.index else 0
            self._add(one.hit, base, part.count(b"\n", 0, begin), line)
            if not self._room.holds:
                self._consume(part[: ends[one.last]])
                return ends[one.last]
        self._consume(part)
        return len(part)

    def _found(self, part: bytes, limit: float) -> List[Joined]:
        """Return what matches in some lines, without what was taken when it had no end yet."""
        text, events, _ = self._understood(part)
        hits = list(self._matcher.hits(text, limit, goes_on=self._goes_on, before=self._above))
        held = self.cursor.held
        self.cursor.held = 0
        return [one for one in joined(hits, events) if one.first >= held]

    def _long(self, buffer: bytes) -> bytes:
        """Take the beginning of a line that is longer than patterns are given."""
        self._as_it_stands(buffer[:LONGEST])
        self.cursor.tried, self.cursor.held = False, 0
        self._consume(buffer[:LONGEST])
        self.cursor.skipping = True
        return buffer[LONGEST:]

    def _finish(self, rest: bytes) -> None:
        cursor, before = self.cursor, self._before
        found = os.fstat(self._content.descriptor)
        cursor.tried = False
        unchanged = (before.size, before.offset) == (found.st_size, cursor.offset)
        cursor.seen = before.seen if unchanged and before.seen else self._now
        if self._ended(rest, found):
            if rest:
                cursor.held = max(cursor.held, self._as_it_stands(rest))
            cursor.tried = bool(rest) or self._content.packed
        doubtful = 0 < before.offset == before.size == cursor.offset == found.st_size and before.inode == found.st_ino
        cursor.changed = before.changed if doubtful else found.st_mtime_ns
        cursor.size, cursor.device, cursor.inode, cursor.missing = found.st_size, found.st_dev, found.st_ino, None
        cursor.head, cursor.head_length = fingerprint(self._first), len(self._first)
        cursor.tail = fingerprint(self._last)
        cursor.recent = self._recent.keep(self._feeds)

    def _ended(self, rest: bytes, found: os.stat_result) -> bool:
        """Tell whether all was read, and what is left has been waiting for its end long enough."""
        cursor = self.cursor
        if not self._room.left or cursor.skipping:
            return False
        quiet = self._clock - min(found.st_mtime, cursor.seen)  # by either clock, the disk's or ours
        if self._content.packed:
            if self._content.whole:
                return True
            if quiet > UNFINISHED:
                self.trouble = f"{self._path} is packed only in part: what could be read of it was"
            return quiet > UNFINISHED
        return found.st_size == cursor.offset + len(rest) and quiet > QUIET

    def _as_it_stands(self, part: bytes) -> int:
        """Take what has no end yet, while the cursor stays before it; return how many lines are no longer new."""
        held = self.cursor.held
        try:
            found = self._found(part, self._line_time)
        except TooSlow as slow:
            self._pass_over(slow)
            return held
        ends = [match.end() for match in _SEPARATOR.finditer(part)]
        for one in found:
            begin = ends[one.hit.index - 1] if one.hit.index else 0
            self._add(one.hit, self.cursor.offset, part.count(b"\n", 0, begin), self._feeds)
        return len(ends) + (not part.endswith((b"\n", b"\r"))) if found else held

    @property
    def torn(self) -> bool:
        """The file was begun anew while it was read: nothing of this is to be believed."""
        if self._content.packed or not self._content.reaches(self.cursor.offset):
            return False  # cut only after the last byte was read
        return not self.cursor.begins(self._content)

    def _add(self, hit: Hit, base: int, feeds: int, line: int) -> None:
        event = self._known.event(hit)
        moment = written(hit.stamp or hit.line, self._now) if event else None
        within, record = self._recent.take(event, hit.name, line + feeds, moment) if event else (False, None)
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
            self._recent.begin(event, hit.name, line + feeds, moment, len(self.lines), self._clock)
        self.lines.append(Line(self._path, number, hit))
        self._room.take(hit)

    def _number(self, base: int, feeds: int) -> Optional[int]:
        if self.cursor.lines is None:
            self.cursor.lines = self._count(base)
        return None if self.cursor.lines is None else self.cursor.lines + feeds + 1

    def _count(self, end: int) -> Optional[int]:
        if end > COUNTED:
            return None
        return sum(self._content.pread(min(BLOCK, end - at), at).count(b"\n") for at in range(0, end, BLOCK))

    def _consume(self, part: bytes) -> None:
        if len(self._first) < HEAD:
            self._first += part[: HEAD - len(self._first)]
        self._last = (self._last + part)[-TAIL:]
        if part[:1] != b"\0" or part != bytes(len(part)):  # NUL bytes are no text: what they follow counts
            self._goes_on = _returns(part)
        if self._known.reach > 1:
            self._above = (self._above + part)[-BEFORE:]
        self._feeds += part.count(b"\n")
        self.cursor.offset += len(part)
        if self.cursor.lines is not None:
            self.cursor.lines += part.count(b"\n")


def _returns(part: bytes) -> bool:
    return part.rstrip(b"\0").endswith(b"\r")


def _whole(buffer: bytes) -> int:
    """Return where the last whole line ends; a carriage return at the very end may be half of a line's end."""
    end = len(buffer) - 1 if buffer.endswith(b"\r") else len(buffer)
    return max(buffer.rfind(b"\n", 0, end), buffer.rfind(b"\r", 0, end)) + 1
