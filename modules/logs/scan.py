"""One log read from its begin to its end, in bounded memory: what matches, how often, where first and last."""

import time
from collections import deque
from typing import Any, BinaryIO, Callable, Deque, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from runbook.modules.frozen import frozen
from runbook.modules.logs.judging import Hit, TooSlow
from runbook.modules.logs.match import matcher
from runbook.modules.logs.moment import written
from runbook.modules.logs.opening import Blocks, Unreadable, opened
from runbook.modules.logs.patterns import Pattern

FIRST = 20  # spots of a signature that are kept from the begin
LAST = 3  # and from the end
CONTEXT = 400  # characters of a line of context


@frozen
class Spot:
    """One line that matches, and what stands around it."""

    line_no: Optional[int]  # from 1; None where the begin of the file was not read
    line: str
    time: Optional[float]  # when it was written, or the line before it that says so
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


@frozen
class FileScan:
    """What was seen in one file."""

    path: str
    lines: int  # that were read
    bytes: int
    found: Mapping[str, Sighting]
    trouble: str = ""  # why not all of it was read or matched


def scan(
    source: Union[str, BinaryIO],
    patterns: Sequence[Pattern],
    *,
    since: Optional[float] = None,
    last_lines: Optional[int] = None,
    context: int = 2,
    each: Optional[Callable[[Optional[int], str], None]] = None,
) -> FileScan:
    """Read a log and return what matches.

    Args:
        source: a path (plain, gzip, bzip2, xz, zstandard), or an open binary stream.
        patterns: in order of precedence: the first that matches names a line.
        since: pass over lines written before, in seconds since the epoch.
        last_lines: read only so many lines from the end.
        context: lines to keep before and behind each spot.
        each: called with (line number, name) for every pattern of every line that matches, in order.
    """
    path = source if isinstance(source, str) else "-"
    try:
        with opened(source, last_lines) as blocks:
            return _Scan(path, blocks, patterns, since, context, each).run()
    except Unreadable as error:
        return FileScan(path, 0, 0, {}, str(error))


class _Seen:
    def __init__(self) -> None:
        self.count = 0
        self.first: List[Spot] = []
        self.last: Deque[Spot] = deque(maxlen=LAST)

    def sighting(self, name: str) -> Sighting:
        spots = (*self.first, *self.last)
        return Sighting(name, self.count, spots[0], spots[-1], spots)


class _Scan:
    def __init__(
        self,
        path: str,
        blocks: Blocks,
        patterns: Sequence[Pattern],
        since: Optional[float],
        context: int,
        each: Optional[Callable[[Optional[int], str], None]],
    ) -> None:
        self._path, self._blocks, self._since, self._context, self._each = path, blocks, since, context, each
        self._matcher = matcher(patterns, 1 << 30)
        self._names = {pattern.name: number for number, pattern in enumerate(patterns)}
        self._seen: Dict[str, _Seen] = {}
        self._now = time.time()

    def run(self) -> FileScan:
        lines = [line for block in self._blocks for line in block.splitlines(keepends=True)]
        moment: Optional[float] = None
        texts = [line.decode("utf-8", "replace").rstrip("\r\n")[:CONTEXT] for line in lines]
        trouble = self._blocks.trouble
        for index, line in enumerate(lines):
            moment = written(texts[index], self._now) or moment
            if self._since is not None and moment is not None and moment < self._since:
                continue
            try:
                hits = list(
                    self._matcher.hits(line, 0.25, before=b"".join(lines[max(0, index - 20) : index]), every=True)
                )
            except TooSlow as slow:
                trouble = trouble or f"line {index + 1} could not be matched in time by `{slow}`"
                continue
            for number, hit in enumerate(hits):
                if self._each is not None:
                    self._each(index + 1, hit.name)
                if not number:
                    self._keep(index, hit, moment, texts)
        found = {
            name: seen.sighting(name) for name, seen in sorted(self._seen.items(), key=lambda i: self._names[i[0]])
        }
        return FileScan(self._path, len(lines), sum(map(len, lines)), found, trouble)

    def _keep(self, index: int, hit: Hit, moment: Optional[float], texts: List[str]) -> None:
        first = index - hit.lines + 1
        spot = Spot(
            index + 1,
            hit.line,
            moment,
            hit.groups,
            tuple(texts[max(0, first - self._context) : first]),
            tuple(texts[index + 1 : index + 1 + self._context]),
            hit.lines,
        )
        seen = self._seen.setdefault(hit.name, _Seen())
        seen.count += 1
        (seen.first if len(seen.first) < FIRST else seen.last).append(spot)
