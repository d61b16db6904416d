"""Reading what is new in one log file, line by line, in bounded memory."""

import os
import re
import time
from dataclasses import dataclass, replace
from typing import List, Optional

from runbook.modules.frozen import frozen
from runbook.modules.logs.cursor import HEAD, TAIL, Cursor, fingerprint
from runbook.modules.logs.match import Hit, Matcher, TooSlow
from runbook.modules.logs.rotation import LONGEST, Place

BLOCK = 256 * 1024
COUNTED = 256 * 1024 * 1024  # bytes that are read to number a line where the beginning was never read
BLOCK_TIME = 0.5  # seconds of processor time to match a block; one that takes longer is matched line by line
LINE_TIME = 0.25  # for a line of such a block; one that takes longer is passed over
SHORTEST_TIME = 0.02  # for a line, after several that were passed over
QUIET = 2.0  # seconds without a change after which an unfinished last line is taken as it stands

_SEPARATOR = re.compile(rb"\r\n|\n|\r")


@frozen
class Line:
    """A matching line."""

    path: str
    number: Optional[int]  # from 1; None where the file is too long to be counted
    hit: Hit


@dataclass
class Room:
    """How much one look may still take in."""

    records: int = 10_000
    characters: int = 6 * 1024 * 1024  # of evidence
    passed_over: int = 0  # lines that could not be matched in time
    until: float = 0.0  # on the monotonic clock

    @property
    def left(self) -> bool:
        """There is room for another block."""
        return self.holds and time.monotonic() < self.until

    @property
    def holds(self) -> bool:
        """There is room for another record."""
        return self.records > 0 and self.characters > 0

    def take(self, hit: Hit) -> None:
        """Make it smaller by one record."""
        self.records -= 1
        self.characters -= len(hit.line) + sum(len(value) for value in hit.groups.values() if isinstance(value, str))


class Reading:
    """One read of one open file, from a cursor on. `cursor` is where it ends."""

    def __init__(
        self, place: Place, descriptor: int, cursor: Cursor, matcher: Matcher, *, room: Room, now: float
    ) -> None:
        self.cursor = replace(cursor)
        self._path = place.path
        self.lines: List[Line] = []
        self.passed_over: List[str] = []  # the pattern that was too slow, for each line that was given up
        self._before = cursor
        self._descriptor = descriptor
        self._matcher = matcher
        self._room = room
        self._now = now
        self._first = os.pread(descriptor, min(HEAD, cursor.offset), 0)
        self._last = os.pread(descriptor, min(TAIL, cursor.offset), max(0, cursor.offset - TAIL))
        self._goes_on = _returns(self._last)  # a lone carriage return stands before the cursor

    @property
    def continues(self) -> bool:
        """What stands before the cursor, as this will take it for, is what was read."""
        return (fingerprint(self._first), fingerprint(self._last)) == (self._before.head, self._before.tail)

    def run(self) -> "Reading":
        """Read to the end, or as far as there is room."""
        buffer = b""
        while self._room.left:
            block = os.pread(self._descriptor, BLOCK, self.cursor.offset + len(buffer))
            buffer += block
            buffer = self._skip(buffer) if self.cursor.skipping else self._blank(buffer)
            if not self.cursor.skipping:
                end = _whole(buffer)
                if end:
                    buffer = buffer[self._block(buffer[:end]) :]
                elif len(buffer) >= LONGEST:
                    buffer = self._long(buffer)
            if not block:
                break
        self._finish(buffer)
        return self

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
        try:
            data = os.lseek(self._descriptor, self.cursor.offset, os.SEEK_DATA)
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
            self.cursor.matched = self.cursor.tried = False
            self._consume(line)
            return len(line)

    @property
    def _line_time(self) -> float:
        return max(SHORTEST_TIME, LINE_TIME / (1 + self._room.passed_over))

    def _pass_over(self, slow: TooSlow) -> None:
        self._room.passed_over += 1
        self.passed_over.append(str(slow))

    def _lines(self, part: bytes, limit: float) -> int:
        hits = self._matcher.hits(part, limit, goes_on=self._goes_on)
        known = self.cursor.matched
        self.cursor.matched = self.cursor.tried = False
        ends: Optional[List[int]] = None
        base = self.cursor.offset
        only_feeds = b"\r" not in part
        for hit in hits:
            if known and hit.index == 0:
                continue  # it was taken when it had no end yet
            if ends is None:
                ends = [found.end() for found in _SEPARATOR.finditer(part)]
            begin = ends[hit.index - 1] if hit.index else 0
            feeds = hit.index if only_feeds else part.count(b"\n", 0, begin)
            self._add(hit, base, feeds)
            if not self._room.holds:
                self._consume(part[: ends[hit.index]])
                return ends[hit.index]
        self._consume(part)
        return len(part)

    def _long(self, buffer: bytes) -> bytes:
        """Take the beginning of a line that is longer than patterns are given."""
        if not self.cursor.matched:
            self._first_hit(buffer[:LONGEST])
        self.cursor.matched = self.cursor.tried = False
        self._consume(buffer[:LONGEST])
        self.cursor.skipping = True
        return buffer[LONGEST:]

    def _finish(self, rest: bytes) -> None:
        cursor, before = self.cursor, self._before
        found = os.fstat(self._descriptor)
        cursor.tried = False
        unchanged = (before.size, before.offset) == (found.st_size, cursor.offset)
        cursor.seen = before.seen if unchanged and before.seen else self._now
        quiet = self._now - min(found.st_mtime, cursor.seen) > QUIET  # by either clock, the disk's or ours
        ended = found.st_size == cursor.offset + len(rest) and not cursor.skipping
        if rest and ended and quiet and self._room.left:
            self._unfinished(rest)
        doubtful = 0 < before.offset == before.size == cursor.offset == found.st_size and before.inode == found.st_ino
        cursor.changed = before.changed if doubtful else found.st_mtime_ns
        cursor.size, cursor.device, cursor.inode, cursor.missing = found.st_size, found.st_dev, found.st_ino, None
        cursor.head, cursor.head_length = fingerprint(self._first), len(self._first)
        cursor.tail = fingerprint(self._last)

    def _unfinished(self, rest: bytes) -> None:
        """Take the last line as it stands; the cursor stays before it, for it may yet grow."""
        self.cursor.tried = True
        if not self.cursor.matched:
            self.cursor.matched = self._first_hit(rest)

    def _first_hit(self, part: bytes) -> bool:
        """Take the first match of a line that has no end yet."""
        try:
            hit = next(self._matcher.hits(part, self._line_time, goes_on=self._goes_on), None)
        except TooSlow as slow:
            self._pass_over(slow)
            return False
        if hit is not None:
            self._add(hit, self.cursor.offset, 0)
        return hit is not None

    @property
    def torn(self) -> bool:
        """The file was begun anew while it was read: nothing of this is to be believed."""
        if os.fstat(self._descriptor).st_size < self.cursor.offset:
            return False  # cut only after the last byte was read
        return not self.cursor.begins(self._descriptor)

    def _add(self, hit: Hit, base: int, feeds: int) -> None:
        if self.cursor.lines is None:
            self.cursor.lines = self._count(base)
        number = None if self.cursor.lines is None else self.cursor.lines + feeds + 1
        self.lines.append(Line(self._path, number, hit))
        self._room.take(hit)

    def _count(self, end: int) -> Optional[int]:
        if end > COUNTED:
            return None
        return sum(os.pread(self._descriptor, min(BLOCK, end - at), at).count(b"\n") for at in range(0, end, BLOCK))

    def _consume(self, part: bytes) -> None:
        if len(self._first) < HEAD:
            self._first += part[: HEAD - len(self._first)]
        self._last = (self._last + part)[-TAIL:]
        if part.strip(b"\0"):  # NUL bytes are no text: what they follow counts
            self._goes_on = _returns(part)
        self.cursor.offset += len(part)
        if self.cursor.lines is not None:
            self.cursor.lines += part.count(b"\n")


def _returns(part: bytes) -> bool:
    return part.rstrip(b"\0").endswith(b"\r")


def _whole(buffer: bytes) -> int:
    """Return where the last whole line ends; a carriage return at the very end may be half of a line's end."""
    end = len(buffer) - 1 if buffer.endswith(b"\r") else len(buffer)
    return max(buffer.rfind(b"\n", 0, end), buffer.rfind(b"\r", 0, end)) + 1
