"""What is told of the lines that match in one file: how many, the first and the last of them, what stands around."""

import re
import time
from collections import deque
from typing import Any, Deque, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from runbook.modules.frozen import frozen
from runbook.modules.logs.hits import hit
from runbook.modules.logs.judging import Judge, last_lines
from runbook.modules.logs.moment import written

FIRST = 20  # spots of a signature that are kept from the begin
LAST = 3  # and from the end
CONTEXT = 400  # characters of a line of context
FRUITLESS = 5000  # lines looked at in vain for a time, after which only a spot's own line is
AHEAD = 1024 * 1024  # bytes that are looked through for the first time of a file
TRIED = 100  # what looks like a time, and is none, before that is given up
WIDTH = 200  # bytes of a line in which its time stands

_CLOCK = re.compile(rb"\d\d:\d\d:\d\d|\b[12]\d{9}")  # stands wherever a time does


@frozen
class Spot:
    """One line that matches, and what stands around it."""

    line_no: Optional[int]  # from 1; None where the begin of a very long file was not read
    line: str
    time: Optional[float]  # when it was written, or the latest before it that says so
    groups: Mapping[str, Any]
    before: Tuple[str, ...] = ()
    after: Tuple[str, ...] = ()
    lines: int = 1  # over how many lines the match reaches; line_no is the last of them


@frozen
class Sighting:
    """One signature in one file."""

    name: str
    count: int
    first: Spot
    last: Spot
    spots: Tuple[Spot, ...]  # the first 20, and the last 3


class Sketch(NamedTuple):
    """A spot before it is told of, which it may never be: some bytes around it."""

    number: int  # of the pattern
    line_no: Optional[int]
    around: bytes
    start: int  # where in `around` its line begins
    moment: Optional[float]  # what is known of its time
    sure: bool  # that this is its time, and not only the latest known before


class Seen:
    """What was seen of one signature so far."""

    def __init__(self) -> None:
        self.count = 0
        self.first: List[Spot] = []
        self.last: Deque[Union[Sketch, Spot]] = deque(maxlen=LAST)

    def keep(self, spot: "Union[Sketch, Spot, None]", ordinal: int) -> None:
        """Keep a spot, by how many there are up to it."""
        if isinstance(spot, Spot) and ordinal <= FIRST:
            self.first.append(spot)
        elif spot is not None:
            self.last.append(spot)


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


def told(judge: Judge, sketch: Sketch, clock: Clock, context: int) -> Optional[Spot]:
    """Return the spot of a sketch; None where it is none after all."""
    around, start = sketch.around, sketch.start
    match = judge.match(around, start, sketch.number)
    if match is None:
        return None
    seen = hit(judge.patterns[sketch.number], 0, match)
    moment = sketch.moment
    if not sketch.sure:
        clock.latest = sketch.moment
        moment = clock.at(around, start, 0)
    first = start
    for _ in range(seen.lines - 1):
        first = around.rfind(b"\n", 0, max(0, first - 1)) + 1
    before = last_lines(around[:first], context).split(b"\n")[:-1] if context and first else []
    end = around.find(b"\n", start)
    after = around[end + 1 :].split(b"\n") if end >= 0 else []
    if after and not after[-1]:
        after.pop()
    return Spot(
        sketch.line_no,
        seen.line,
        moment,
        seen.groups,
        tuple(map(_shown, before)),
        tuple(map(_shown, after[:context])),
        seen.lines,
    )


def _shown(line: bytes) -> str:
    return line[: 4 * CONTEXT].decode("utf-8", "replace").rstrip("\r")[:CONTEXT]
