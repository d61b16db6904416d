"""Which lines are one traceback: known by its form, behind whatever stands before its lines, and among those of others.

Each line is looked at once, whoever wrote it: what can be forged costs no more than what is real. A traceback is
bounded, so that one without an end takes in nothing of what comes after it.
"""

import re
import time
from typing import Dict, FrozenSet, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from runbook.modules.logs.unended import Prefixes, Unended, timeless

HEADER = "Traceback (most recent call last)"
FRONT = 256  # characters that may stand before a header
AFTER = 256  # and from its begin on: a message that quotes a whole traceback is no header
STRANGE = 400  # lines of others among those of one
UNLIKE = 20  # lines that bear its prefix, or none as it does, and do not look like one of its own
BEHIND = 30  # lines of a message behind which the next traceback of a chain is looked for
MOST = 256  # that are open at the same time; the oldest ends where there are more
_OFTEN = 64  # lines between two questions whether one has been waiting too long
_SELDOM = 1024  # and whether there is time

_FINAL = re.compile(r"(?!(?:INFO|DEBUG|WARNING|WARN|ERROR|CRITICAL|FATAL|NOTE|TRACE)\b)[A-Za-z_][\w.]*(?::|\s*$)")
_CHAIN = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
_NEXT = (HEADER, f"+ Exception Group {HEADER}")


class Traceback(NamedTuple):
    """Where one stands among lines."""

    first: int
    last: int
    final: Optional[int]  # the line that names the exception; None where it has not come
    ended: bool  # a line follows that is no part of it
    own: FrozenSet[int]  # the lines that are its own: those of others may stand between them

    @property
    def within(self) -> bool:
        """It breaks off before an exception is named."""
        return not self.ended and (self.final is None or self.final < self.last)

    def moved(self, by: int) -> "Traceback":
        """Return it among lines that are counted from elsewhere."""
        final = None if self.final is None else self.final + by
        return Traceback(self.first + by, self.last + by, final, self.ended, frozenset(line + by for line in self.own))


class TooMuch(Exception):
    """It took too long to see which lines belong together."""


class Tracebacks:
    """Those among lines that come one after the other."""

    def __init__(self) -> None:
        self._count = 0
        self._done: List[Unended] = []
        self._open: Dict[int, Unended] = {}  # by first line
        self._plain = Prefixes()
        self._timed = Prefixes()  # without their times
        self._bare: Optional[Unended] = None  # its lines bear no prefix: there can be no second one
        self._undecided: Dict[int, Unended] = {}  # by first line; whether its other lines bear its prefix will be seen

    @property
    def idle(self) -> bool:
        """There is none."""
        return not self._open and not self._done

    @property
    def within(self) -> bool:
        """One of them breaks off before an exception is named."""
        return any(one.within for one in self._open.values())

    def waiting(self, *, over: bool) -> Optional[int]:
        """Return the first line that is to wait for what may belong to it; with `over`, only for what must."""
        line = min(
            (one.first for one in self._open.values() if not one.ended and (one.within or not over)), default=None
        )
        if line is not None:
            for one in sorted([*self._done, *self._open.values()], key=lambda one: -one.first):
                if one.first < line <= one.last:  # it falls into another one
                    line = one.first
        return line

    def found(self, before: Optional[int] = None) -> List[Traceback]:
        """Return those that begin before a line, or all of them, in order."""
        found = [one for one in (*self._done, *self._open.values()) if before is None or one.first < before]
        return [_told(one) for one in sorted(found, key=lambda one: one.first)]

    def drop(self, before: int) -> None:
        """Forget those that begin before a line."""
        for one in [each for each in self._open.values() if each.first < before]:
            self._end(one)
        self._done = [one for one in self._done if one.first >= before]

    def feed(self, lines: Iterable[str], seconds: float = 60.0, until: Optional[float] = None) -> None:
        """Take in the lines that come next.

        Args:
            lines: the lines.
            seconds: processor time that it may take.
            until: when to end at the latest, on the monotonic clock.

        Raises:
            TooMuch: it took longer; what was found so far is of no use.
        """
        latest = time.process_time() + seconds
        for line in lines:
            header = HEADER in line
            if self._open:
                if self._count % _OFTEN == 0:
                    self._expire()
                    if self._count % _SELDOM == 0 and (
                        time.process_time() > latest or (until is not None and time.monotonic() > until)
                    ):
                        raise TooMuch
                if header or not self._strange(line):
                    self._line(line, _header(line) if header else -1)
            elif header:
                self._line(line, _header(line))
            self._count += 1

    def _strange(self, line: str) -> bool:
        """Tell whether a line is that of others, as most are, at the least cost."""
        if self._bare is not None or self._timed.lengths or (self._undecided and line[:2] == "  "):
            return False
        return not any(True for _ in self._plain.of(line))

    def _line(self, line: str, at: int) -> None:
        for one, rest in self._candidates(line):
            if self._goes_on(one, line, rest, header=at >= 0):
                return
        if at >= 0:
            self._begin(Unended(self._count, line, at))

    def _candidates(self, line: str) -> Iterator[Tuple[Unended, str]]:
        """Yield the tracebacks that a line may belong to, and what it says behind their prefix."""
        one, rest = self._prefixed(line)
        if one is not None:
            if one.bare is None and rest[:2] == "  ":
                one.bare = False
                del self._undecided[one.first]
            yield one, rest
        bare = self._bare
        if line[:2] == "  " and self._undecided and (bare is None or bare.chained is not None):
            last = self._undecided[next(reversed(self._undecided))]
            if self._count - last.first <= UNLIKE:
                self._strip(last)
                bare = last
        if bare is not None and not line[: bare.indent].strip():
            yield bare, line[bare.indent :]

    def _goes_on(self, one: Unended, line: str, rest: str, *, header: bool) -> bool:
        """Tell whether a line is one of a traceback's own."""
        if one.full:
            self._end(one)
            return False
        if one.chained is not None:
            return self._chain(one, one.chained, line, rest, header=header)
        if rest[:1] in (" ", "\t") or (one.group and not rest):
            one.take(self._count, len(line))
            return True
        if header or one.group:
            self._end(one)
        elif _FINAL.match(rest):
            one.take(self._count, len(line))
            one.final, one.chained = self._count, []
            return True
        else:
            one.unlike += 1
            if one.unlike > UNLIKE:
                self._end(one)
        return False

    def _chain(self, one: Unended, passed: List[Tuple[int, int]], line: str, rest: str, *, header: bool) -> bool:
        """Go on behind the line that names an exception, where another traceback of the chain may follow."""
        text = rest.strip()
        passed.append((self._count, len(line)))
        if text in _CHAIN:
            one.marked, one.ended = True, False
        elif one.marked and text.startswith(_NEXT):
            for own, length in passed:
                one.take(own, length)
            one.chained, one.marked = None, False
            return True
        elif header or len(passed) > BEHIND:
            self._end(one)
        elif text:
            one.ended = not one.marked
        return False

    def _prefixed(self, line: str) -> Tuple[Optional[Unended], str]:
        """Return the traceback whose prefix a line bears, and what stands behind it."""
        for length, one in self._plain.of(line):
            if not line[length : length + one.gap].strip():
                return one, line[length + one.gap :]
        if self._timed.lengths:
            text, moved = timeless(line[: FRONT + 64])
            for length, one in self._timed.of(text):
                at = length + sum(more for place, more in moved if place <= length)
                if not line[at : at + one.gap].strip():
                    return one, line[at + one.gap :]
        return None, ""

    def _begin(self, one: Unended) -> None:
        self._open[one.first] = one
        if one.bare:
            self._strip(one)
        else:
            self._undecided[one.first] = one
            same = (self._timed if one.timed else self._plain).put(one)
            if same is not None:
                self._end(same)
        if len(self._open) > MOST:
            self._end(next(iter(self._open.values())))

    def _strip(self, one: Unended) -> None:
        """Look for its lines among those that bear no prefix."""
        if self._bare is not None:
            self._end(self._bare)
        self._forget(one)
        self._bare, one.bare = one, True

    def _end(self, one: Unended) -> None:
        one.ended = True
        del self._open[one.first]
        self._done.append(one)
        self._forget(one)

    def _forget(self, one: Unended) -> None:
        if one is self._bare:
            self._bare = None
        self._undecided.pop(one.first, None)
        self._plain.drop(one)
        self._timed.drop(one)

    def _expire(self) -> None:
        for one in [each for each in self._open.values() if self._count - each.last > STRANGE]:
            self._end(one)


def tracebacks(lines: Sequence[str]) -> List[Traceback]:
    """Return the tracebacks among some lines, in order; those of a chain are one."""
    found = Tracebacks()
    found.feed(lines)
    return found.found()


def _told(one: Unended) -> Traceback:
    return Traceback(one.first, one.last, one.final, one.ended, frozenset(one.own))


def _header(line: str) -> int:
    """Return where a traceback's header stands in a line; -1 where it is none."""
    at = line.find(HEADER, 0, FRONT + len(HEADER))
    return at if at >= 0 and len(line) - at <= AFTER else -1
