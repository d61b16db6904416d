"""What is told of the lines that match in one file: how many, the first and the last of them, what stands around."""

import time
from collections import deque
from typing import Any, Deque, List, Mapping, NamedTuple, Optional, Tuple, Union

from runbook.modules.frozen import frozen
from runbook.modules.logs.judging import Judge, last_lines
from runbook.modules.logs.moment import written

FIRST = 20  # spots of a signature that are kept from the begin
LAST = 3  # and from the end
CONTEXT = 400  # characters of a line of context
FRUITLESS = 5000  # lines looked at in vain for a time, after which only a spot's own line is


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
    """Knows when lines were written; one that does not say inherits it from those before."""

    def __init__(self) -> None:
        self._now = time.time()
        self._fruitless = 0
        self.latest: Optional[float] = None

    def at(self, data: bytes, start: int, begin: int, stamp: str = "") -> Optional[float]:
        """Return when the line that begins at `start` was written; those before it are looked at back to `begin`."""
        moment = self._stated(data, start) if not stamp else written(stamp, self._now)
        while moment is None and start > begin and self._fruitless < FRUITLESS:
            self._fruitless += 1
            start = max(begin, data.rfind(b"\n", begin, start - 1) + 1)
            moment = self._stated(data, start)
        if moment is not None:
            self._fruitless = 0
            self.latest = moment
        return self.latest

    def _stated(self, data: bytes, start: int) -> Optional[float]:
        return written(data[start : start + 200].partition(b"\n")[0].decode("utf-8", "replace"), self._now)


def told(judge: Judge, sketch: Sketch, clock: Clock, context: int) -> Optional[Spot]:
    """Return the spot of a sketch; None where it is none after all."""
    around, start = sketch.around, sketch.start
    match = judge.match(around, start, sketch.number)
    if match is None:
        return None
    hit = judge.told(0, sketch.number, match)
    moment = sketch.moment
    if not sketch.sure:
        clock.latest = sketch.moment
        moment = clock.at(around, start, 0)
    first = start
    for _ in range(hit.lines - 1):
        first = around.rfind(b"\n", 0, max(0, first - 1)) + 1
    before = last_lines(around[:first], context).split(b"\n")[:-1] if context and first else []
    end = around.find(b"\n", start)
    after = around[end + 1 :].split(b"\n") if end >= 0 else []
    if after and not after[-1]:
        after.pop()
    return Spot(
        sketch.line_no,
        hit.line,
        moment,
        hit.groups,
        tuple(map(_shown, before)),
        tuple(map(_shown, after[:context])),
        hit.lines,
    )


def _shown(line: bytes) -> str:
    return line[: 4 * CONTEXT].decode("utf-8", "replace").rstrip("\r")[:CONTEXT]
