"""Reading what is new in one log file, line by line, in bounded memory."""

import os
import time
from typing import TYPE_CHECKING, Callable, List, Optional, Sequence, Union

from runbook.modules.frozen import replace
from runbook.modules.logs import pieces
from runbook.modules.logs.content import Content, Slow
from runbook.modules.logs.cursor import HEAD, TAIL, Cursor
from runbook.modules.logs.events import Joined, Known, joined
from runbook.modules.logs.hits import TooSlow
from runbook.modules.logs.line_ends import ends, feeds, returns, separators, whole_lines
from runbook.modules.logs.quiet import Quiet
from runbook.modules.logs.records import Records
from runbook.modules.logs.room import PAUSE, QUIET, STILL, Line, Room
from runbook.modules.logs.rotation import LONGEST, Place
from runbook.modules.logs.span import Span

if TYPE_CHECKING:
    from runbook.modules.logs.assembling import Assembly
    from runbook.modules.logs.match import Matcher
    from runbook.modules.logs.tracebacks import Traceback

BLOCK = 256 * 1024
FIRST = 64 * 1024  # bytes of the first block, which tells how much of the next there may be room for
BLOCK_TIME = 0.5  # seconds of processor time to match a block; one that takes longer is matched line by line
SHORT = 4 * 1024  # bytes of an unfinished line that are read once more rather than put before the next block
LINE_TIME = 0.25  # for a line of such a block; one that takes longer is passed over
UNFINISHED = 60.0  # seconds without a change after which nobody goes on packing a file
SHORTEST_TIME = 0.02  # for a line, after several that were passed over
BEFORE = 16 * 1024  # bytes before a block that patterns may reach back to

COUNTED = 32 * 1024 * 1024  # bytes whose lines are counted when the number of one is asked for, and not before

_HEADER = b"Traceback (most recent call last)"


class Reading:
    """One read of one open file, from a cursor on. `cursor` is where it ends.

    Args:
        place: the file.
        content: its bytes.
        cursor: where to begin.
        matcher: makes what finds the lines; asked when there is a block in which some may match.
        known: what the patterns say of their hits.
        quiet: tells of blocks in which nothing can match.
        room: how much may be taken in.
        now: the time.
    """

    def __init__(
        self,
        place: Place,
        content: Content,
        cursor: Cursor,
        matcher: "Callable[[], Matcher]",
        known: Known,
        *,
        quiet: Optional[Quiet],
        room: Room,
        now: float,
    ) -> None:
        self.cursor = replace(cursor)
        self._path = place.path
        self.passed_over: List[str] = []  # the pattern that was too slow, for each line that was given up
        self.trouble = ""
        self.torn = False  # the file was begun anew while it was read; what was read before that is
        self._before = cursor
        self._content = content
        self._matcher = matcher
        self._quiet = quiet if known.reach == 1 else None
        self._known = known
        self._room = room
        self._now = now
        self._began = time.monotonic()
        self._span = Span(content, cursor.offset)
        self._goes_on = returns(self._span.last)  # a lone carriage return stands before the cursor
        reach = min(BEFORE, cursor.offset) if known.reach > 1 else 0
        self._above = content.pread(reach, cursor.offset - reach)
        self._feeds = 0  # line feeds that were read, as far as they had to be counted
        self._records = Records(self._path, content, self.cursor, known, room=room, now=now)
        self._assembly: Optional[Assembly] = None  # made for the first block in which something may match
        self._over = False  # the waiting

    @property
    def continues(self) -> bool:
        """What stands before the cursor, as this will take it for, is what was read."""
        return self._span.fits(self._content, self._before)

    @property
    def lines(self) -> List[Line]:
        """The lines that match."""
        return self._records.lines

    def run(self) -> "Reading":
        """Read to the end, or as far as there is room."""
        buffer = b""
        while self._room.left:
            try:
                block = self._content.pread(self._size, self.cursor.offset + len(buffer))
            except Slow:
                break  # the next look goes on
            if block and not self._span.stands(self._content, self.cursor.offset, buffer, block):
                self.torn = True
                break
            buffer += block
            offset = self.cursor.offset
            buffer = self._skip(buffer) if self.cursor.skipping else self._blank(buffer)
            if not self.cursor.skipping:
                if self._assembly is not None:
                    self._assembly.drop(self.cursor.offset - offset)
                buffer = self._take(buffer)
            if block or self._wait(buffer):
                continue
            if self._over or not buffer:
                break
            self._over = True  # once more, without what is whole but might go on
        self._finish(buffer)
        return self

    @property
    def _size(self) -> int:
        """The bytes of the next block: few where most would have to be read once more by the next look."""
        done, records = self.cursor.offset - self._before.offset, len(self.lines)
        if not done:
            return min(FIRST, BLOCK)
        return BLOCK if not records else min(BLOCK, done * self._room.records // records + 4096)

    def _take(self, buffer: bytes) -> bytes:
        """Take in what is whole, and return what waits."""
        whole = whole_lines(buffer)
        if not whole:
            return self._long(buffer) if len(buffer) >= LONGEST else buffer
        if self._quiet is not None and (self._assembly is None or self._assembly.idle) and self._quiet(buffer):
            self.cursor.tried, self.cursor.held = False, 0
            self._consume(memoryview(buffer)[:whole])
            return b"" if len(buffer) - whole < SHORT and len(buffer) >= BLOCK else buffer[whole:]
        assembly = self._assembling()
        end = self._ready(assembly, buffer[:whole], force=len(buffer) - whole >= LONGEST)
        if not end:
            return buffer
        taken = self._block(buffer[:end], assembly.found(buffer[:end]))
        assembly.drop(taken)
        return buffer[taken:]

    def _assembling(self) -> "Assembly":
        if self._assembly is None:
            from runbook.modules.logs.assembling import Assembly

            self._assembly = Assembly()
        return self._assembly

    def _ready(self, assembly: "Assembly", part: bytes, *, force: bool) -> int:
        """Return how much of some whole lines is to be taken in now."""
        from runbook.modules.logs.tracebacks import TooMuch

        try:
            end = assembly.ready(part, self._room.until, over=self._over)
        except TooMuch:
            if not self._room.left and self.cursor.offset > self._before.offset:
                return 0  # the next look begins with it, and has all its time for it
            assembly.pass_over(len(part))
            self.trouble = f"{self._path}: lines of tracebacks were taken one by one: to join them took too long"
            return len(part)
        return len(part) if force else end

    def _wait(self, rest: bytes) -> bool:
        """Let a moment pass where a traceback or a report is just being written; tell whether to look again."""
        event = _HEADER in rest or pieces.begins(rest)
        if self._content.packed or not (event or self._records.recent.touched) or self._room.patience <= 0:
            return False
        age = self._clock - os.fstat(self._content.descriptor).st_mtime
        if age > (QUIET if event and self._assembly is not None and self._assembly.open else STILL):
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

    def _block(self, part: bytes, events: "Sequence[Traceback]") -> int:
        """Match whole lines; return how many bytes of them were taken in, which is more than none."""
        try:
            return self._lines(part, BLOCK_TIME, events)
        except TooSlow:
            taken = 0
            for end in ends(part):
                if taken and not self._room.left:
                    break
                taken += self._line(part[taken:end])
            return taken

    def _line(self, line: bytes) -> int:
        try:
            return self._lines(line, self._line_time, ())
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

    def _lines(self, part: bytes, limit: float, events: "Sequence[Traceback]") -> int:
        found = self._found(part, limit, events)
        self.cursor.tried = False
        before: Sequence[int] = feeds(part) if found else ()
        base, line = self.cursor.offset, self._feeds
        for one in found:
            self._records.add(one.hit, base, before[one.hit.index], line)
            if not self._room.holds:
                end = ends(part)[one.last]
                self._consume(part[:end])
                return end
        self._consume(part)
        return len(part)

    def _found(self, part: bytes, limit: float, events: "Sequence[Traceback]") -> List[Joined]:
        """Return what matches in some lines, without what was taken when it had no end yet."""
        from runbook.modules.logs.assembling import together

        text, _ = together(part)
        hits = list(self._matcher().hits(text, limit, goes_on=self._goes_on, before=self._above))
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
        self._span.mark(cursor)
        cursor.recent = self._records.recent.keep(self._feeds)
        self.torn = self.torn or not self._span.stands(self._content, cursor.offset)
        if self.torn:
            return  # its size and time are of other bytes
        unchanged = (before.size, before.offset) == (found.st_size, cursor.offset)
        cursor.seen = before.seen if unchanged and before.seen else self._now
        if self._ended(rest, found):
            if rest:
                cursor.held = max(cursor.held, self._as_it_stands(rest))
            cursor.tried = bool(rest) or self._content.packed
        doubtful = 0 < before.offset == before.size == cursor.offset == found.st_size and before.inode == found.st_ino
        cursor.changed = before.changed if doubtful else found.st_mtime_ns
        cursor.size, cursor.device, cursor.inode, cursor.missing = found.st_size, found.st_dev, found.st_ino, None

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
        from runbook.modules.logs.assembling import standing

        held = self.cursor.held
        try:
            found = self._found(part, self._line_time, standing(part))
        except TooSlow as slow:
            self._pass_over(slow)
            return held
        before = feeds(part)
        for one in found:
            self._records.add(one.hit, self.cursor.offset, before[one.hit.index], self._feeds)
        return separators(part) + (not part.endswith((b"\n", b"\r"))) if found else held

    def _consume(self, part: "Union[bytes, memoryview]") -> None:
        """Step over what was taken in."""
        self._span.add(part)
        if part[:1] != b"\0" or part != bytes(len(part)):  # NUL bytes are no text: what they follow counts
            self._goes_on = returns(bytes(part[-TAIL:]).rstrip(b"\0") or bytes(part))
        if self._known.reach > 1:
            self._above = (self._above + part)[-BEFORE:]
        cursor = self.cursor
        if cursor.lines is None and not self._content.packed and cursor.offset < COUNTED <= cursor.offset + len(part):
            cursor.lines = self._records.count(cursor.offset)
        if cursor.lines is not None or self._records.recent.begun:
            feeds = bytes(part).count(b"\n")
            self._feeds += feeds
            if cursor.lines is not None:
                cursor.lines += feeds
        cursor.offset += len(part)
