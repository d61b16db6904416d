"""One log read from its begin to its end, in bounded memory: what matches, how often, where first and last."""

from collections import defaultdict
from itertools import chain, groupby
from typing import BinaryIO, Callable, Dict, Iterator, List, Mapping, Match, Optional, Sequence, Set, Tuple, Union

from runbook.modules.frozen import frozen
from runbook.modules.logs import subjects
from runbook.modules.logs.cleaning import Text
from runbook.modules.logs.clock import Clock
from runbook.modules.logs.hits import TooSlow
from runbook.modules.logs.judging import Found, Judge, last_lines
from runbook.modules.logs.keeping import DEVICES, Block, Keeper
from runbook.modules.logs.match import judge
from runbook.modules.logs.opening import Blocks, Unreadable, opened
from runbook.modules.logs.patterns import Pattern
from runbook.modules.logs.sightings import OTHERS, Sighting, Spot
from runbook.modules.logs.unwrapping import Unwrapped, unwrapped

__all__ = ["FileScan", "Sighting", "Spot", "scan"]

BLOCK_TIME = 1.0  # seconds of processor time to judge a block; one that takes longer is judged line by line
LINE_TIME = 0.25  # for a pattern in a line of such a block; one that takes longer is passed over
PATIENCE = 4  # lines that a pattern may be too slow for before it is left out of the rest of the file
SHOWN = 400  # bytes, or characters, of a line that is told as it is found
LEAD = 40  # characters before the match in one that is longer

Each = Callable[[Optional[int], str, str], None]


@frozen
class FileScan:
    """What was seen in one file."""

    path: str
    lines: int  # that were read
    bytes: int  # the same, unpacked
    found: Mapping[str, Sighting]  # by signature, in order of precedence
    trouble: str = ""  # why not all of it was read or matched
    note: str = ""  # what else is to be known of it, which is nobody's fault
    stopped: bool = False  # somebody did not wait for the end (KeyboardInterrupt): this is what was seen until then


def scan(
    source: Union[str, BinaryIO],
    patterns: Sequence[Pattern],
    *,
    since: Optional[float] = None,
    last_lines: Optional[int] = None,
    context: int = 2,
    each: Optional[Each] = None,
    backlog: int = 1 << 30,
) -> FileScan:
    """Read a log and return what matches.

    What docker, Kubernetes and `journalctl -o json` write around lines is taken off, and is the lines' time. A
    KeyboardInterrupt ends the reading, not the telling.

    Args:
        source: a path (plain, gzip, bzip2, xz, zstandard), or an open binary stream.
        patterns: in order of precedence: the first that matches names a line.
        since: pass over lines written before, in seconds since the epoch.
        last_lines: read only so many lines from the end.
        context: lines to keep before and behind each spot.
        each: called with (line number, name, the line's begin) for every pattern of every line that matches, in order.
        backlog: bytes that are to be read in all: for a few of them no engine is made.
    """
    path = source if isinstance(source, str) else "-"
    try:
        with opened(source, last_lines) as (blocks, lines):
            return _Scan(path, blocks, judge(patterns, backlog), since, context, each).run(lines)
    except Unreadable as error:
        return FileScan(path, 0, 0, {}, str(error))


class _Scan:
    def __init__(
        self, path: str, blocks: Blocks, judge: Judge, since: Optional[float], context: int, each: Optional[Each]
    ) -> None:
        self._path, self._blocks, self._judge = path, blocks, judge
        self._since, self._each = since, each
        self._names = judge.names
        self._keeper = Keeper(judge, context)
        self._reading = Clock()  # of the lines as they are read, where only late ones are wanted
        self._slow: Dict[int, int] = {}  # lines that a pattern was too slow for
        self._left_out: Set[int] = set()  # those that were too slow for too many
        self._counted: Set[int] = set()  # patterns of which enough spots are kept, whomever they are about
        self._devices = judge.devices
        self._feeds = 0  # line feeds that were read
        self._ended = True  # the last line has one
        self._last = b""  # the text of the last block
        self._cut = 0  # lines that were too long
        self._carried = context + judge.reach - 1  # lines that are carried over to the next block

    def run(self, lines: Iterator[bytes]) -> FileScan:
        """Read on to the end."""
        blocks = unwrapped(lines)
        stopped = False
        try:
            if self._since is not None:
                blocks = self._ahead(blocks)
            for raw, text in blocks:
                self._read(raw, text)
        except KeyboardInterrupt:
            stopped = True
        found = self._keeper.sightings()
        if not stopped:
            self._judge.keep()
        others = sum(part.count for one in found.values() for part in one.parts if part.device == OTHERS)
        count = self._feeds + (not self._ended)
        stopped = stopped or self._blocks.stopped
        return FileScan(self._path, count, self._blocks.bytes, found, self._trouble(), self._note(others), stopped)

    def _ahead(self, blocks: Iterator[Unwrapped]) -> Iterator[Unwrapped]:
        """Read on to the file's first time, which is that of all lines before."""
        begun = []
        for raw, text in blocks:
            begun.append((raw, text))
            data, stamps = (raw, None) if text is None else (text.data, text.stamps)
            if self._reading.look_ahead(data, 0, stamps or ()):
                break
        self._keeper.clock.first = self._reading.first
        return chain(begun, blocks)

    def _read(self, raw: bytes, known: Optional[Text]) -> None:
        """Take in a block."""
        head = last_lines(self._last, self._carried) if self._carried and self._last else b""
        text, marks = self._judge.candidates(raw if known is None else known, head)
        line_no = None if self._blocks.first is None else self._blocks.first + self._feeds
        block = Block(text, len(head), line_no, self._last)
        try:
            if marks:
                self._take(block, marks)
        finally:  # what was found before an interrupt is told, too
            feeds = self._keeper.hold(block)
        self._feeds += feeds if known is None and not block.returns else raw.count(b"\n")
        self._ended = raw.endswith(b"\n")
        self._last = text.data
        self._cut += text.cut
        if self._since is not None:
            last = max(block.begin, text.data.rfind(b"\n", 0, len(text.data) - 1) + 1)
            self._reading.at(text.data, last, block.begin, block.stamp(last))

    def _take(self, block: Block, marks: List[Tuple[int, int]]) -> None:
        """Judge the candidates of a block."""
        data = block.text.data
        if self._left_out:
            marks = [mark for mark in marks if self._judge.owner(mark[1]) not in self._left_out]
        found = self._found(data, marks)
        if self._since is not None:
            found = self._late_enough(block, found)
        if self._each is not None:
            self._tell(block, found)
        block.hits = len(found)
        named: Dict[Tuple[str, str], List[Found]] = defaultdict(list)
        names, device = self._names, ""
        before = -1
        for item in found:
            start, number, match = item
            if start != before:  # the first pattern that matches names a line
                before = start
                if self._devices:
                    device = subjects.device(match, data, start) if match and number in self._devices else ""
                named[names[number], device].append(item)
        for (name, device), spots in named.items():
            if self._keeper.take(block, name, device, spots):
                self._counted.update(number for _, number, _ in spots if number not in self._devices)

    def _found(self, data: bytes, marks: List[Tuple[int, int]]) -> List[Found]:
        every = self._each is not None
        try:
            return self._judge.found(data, marks, BLOCK_TIME, every=every, counted=self._counted)
        except TooSlow:
            return self._one_by_one(data, marks)

    def _one_by_one(self, data: bytes, marks: List[Tuple[int, int]]) -> List[Found]:
        """Judge each pattern in each line by itself; it is passed over where that takes too long."""

        def place(mark: Tuple[int, int]) -> Tuple[int, int]:
            return data.rfind(b"\n", 0, mark[0]) + 1, self._judge.owner(mark[1])

        found: Dict[Tuple[int, str], Found] = {}
        for (start, number), group in groupby(sorted(marks, key=place), key=place):
            if number in self._left_out or (start, self._names[number]) in found:
                continue
            try:
                for item in self._judge.found(data, sorted(group), LINE_TIME):
                    found[start, self._names[number]] = item
            except TooSlow:
                self._slow[number] = self._slow.get(number, 0) + 1
                if self._slow[number] == PATIENCE:
                    self._left_out.add(number)
        return list(found.values())

    def _late_enough(self, block: Block, found: Sequence[Found]) -> List[Found]:
        assert self._since is not None
        late: List[Found] = []
        data, looked, moment = block.text.data, block.begin, self._reading.now
        for item in found:
            start = item[0]
            if start >= looked:
                moment = self._reading.at(data, start, looked, block.stamp(start))
                looked = start + 1
            if moment is None or moment >= self._since:
                late.append(item)
        return late

    def _tell(self, block: Block, found: Sequence[Found]) -> None:
        assert self._each is not None
        number, counted, data = block.line_no, block.begin, block.text.data
        for start, pattern, match in found:
            if number is not None:
                number += block.feeds(counted, start)
            counted = start
            end = data.find(b"\n", start, start + SHOWN)
            if end >= 0:
                line = data[start:end].decode("utf-8", "replace")
            else:
                line = _shown(match or self._judge.match(data, start, pattern), data[start : start + SHOWN])
            self._each(number, self._names[pattern], line)

    def _note(self, others: int) -> str:
        notes = []
        if self._cut:
            lines, their = ("1 line is", "its") if self._cut == 1 else (f"{self._cut} lines are", "their")
            notes.append(f"{lines} longer than 64 KiB: matched in {their} first 64 KiB")
        if others:
            lines = "1 line is" if others == 1 else f"{others} lines are"
            notes.append(f"{lines} about other GPUs than the first {DEVICES}, and not counted for each")
        return "; ".join(notes)

    def _trouble(self) -> str:
        parts = [self._blocks.trouble] if self._blocks.trouble else []
        for number, lines in self._slow.items():
            name = self._judge.patterns[number].name
            times = "1 line was" if lines == 1 else f"{lines} lines were"
            rest = ", and then left out" if lines >= PATIENCE else ""
            parts.append(f"{times} not matched with `{name}`, which took longer than {LINE_TIME} s{rest}")
        return "; ".join(parts)


def _shown(match: "Optional[Match[str]]", begin: bytes) -> str:
    """Return so much of a long line that what matches can be seen."""
    if match is None or match.end() <= SHOWN or "\n" in match.string:
        return begin.decode("utf-8", "replace")
    return match.string[max(0, match.start() - LEAD) :][:SHOWN]
