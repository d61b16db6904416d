"""Which of the lines that match are kept: of each signature and GPU the first and the last, with what stands around.

Most lines of a storm are followed by others, so that they need not be kept: a block is held until that is known.
"""

import re
from collections import deque
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import Deque, Dict, FrozenSet, Iterable, List, Match, NamedTuple, Optional, Sequence, Set, Tuple, Union

from runbook.modules.logs import subjects
from runbook.modules.logs.cleaning import Text
from runbook.modules.logs.clock import Clock
from runbook.modules.logs.engines.texts import lines_with
from runbook.modules.logs.hits import hit
from runbook.modules.logs.judging import Found, Judge, last_lines
from runbook.modules.logs.sightings import OTHERS, Part, Sighting, Spot

FIRST = 20  # spots of a signature that are kept from the begin
LAST = 3  # and from the end
FEWER = 5  # from the begin, of each GPU but the first that it is about
DEVICES = 512  # GPUs that are told apart in one file, over all signatures: the log may be that of many hosts
NAMED = 4096  # ranks, and hosts, that are kept of each
CONTEXT = 400  # characters of a line of context
HELD = 8 * 1024 * 1024  # bytes of blocks that are held
AROUND = 4096  # bytes before a spot that are looked through for a time
CROWDED = 500  # hits in a block, from which on it is searched as a whole for who wrote its lines
_BREAK = re.compile(r"[\r\n]")


@dataclass
class Block:
    """A block, cleaned, behind the last lines of the one before."""

    text: Text
    begin: int  # where the block itself begins
    line_no: Optional[int]  # of its first line
    before: bytes = b""  # the text of the block before it
    hits: int = 0  # in it
    spots: "List[Tuple[int, int, Optional[Match[str]], int, Seen]]" = field(default_factory=list)
    """(start, pattern, its match where that is known, how many of what)"""
    above: List[int] = field(default_factory=list)  # of each spot the line feeds before it

    def feeds(self, begin: int, end: int) -> int:
        """Return how many line feeds the file has in a part; a lone carriage return is none."""
        data = self.text.data
        return data.count(b"\n", begin, end) - (data.count(b"\r\n", begin, end) if self.returns else 0)

    def number(self) -> int:
        """Number the lines of its spots, which are in order; return how many line feeds there are in all."""
        at, feeds = self.begin, 0
        for start, *_ in self.spots:
            feeds += self.feeds(at, start)
            at = start
            self.above.append(feeds)
        return feeds + self.feeds(at, len(self.text.data))

    @cached_property
    def returns(self) -> bool:
        """There are carriage returns in it."""
        return b"\r" in self.text.data

    def with_ranks(self, starts: Sequence[int]) -> Iterable[int]:
        """Return those of some lines that may say of which rank they are."""
        return starts if self.hits < CROWDED else self._say_ranks.intersection(starts)

    def with_hosts(self, starts: Sequence[int]) -> Iterable[int]:
        """Return those that may say which host's kernel wrote them."""
        return starts if self.hits < CROWDED else self._say_hosts.intersection(starts)

    @cached_property
    def _say_ranks(self) -> FrozenSet[int]:
        return frozenset(lines_with(self.text.data, subjects.RANK))

    @cached_property
    def _say_hosts(self) -> FrozenSet[int]:
        return frozenset(lines_with(self.text.data, subjects.KERNEL))

    def stamp(self, start: int) -> str:
        """Return the time that was written beside a line."""
        return self.text.stamps[self.text.data.count(b"\n", self.begin, start)] if self.text.stamps else ""


class Sketch(NamedTuple):
    """A spot before it is told of, which it may never be: some bytes around it."""

    number: int  # of the pattern
    line_no: Optional[int]
    around: bytes
    start: int  # where in `around` its line begins
    moment: Optional[float]  # what is known of its time
    sure: bool  # that this is its time, and not only the latest known before


class Seen:
    """What was seen so far of one signature about one GPU, or about none."""

    def __init__(self, room: int) -> None:
        self.count = 0
        self.room = room  # spots that are kept from the begin
        self.first: List[Spot] = []
        self.last: Deque[Union[Sketch, Spot]] = deque(maxlen=LAST)
        self.ranks: Set[int] = set()
        self.hosts: Set[str] = set()

    def keeps(self, ordinal: int) -> bool:
        """Tell whether a spot is among the first, or among the last so far."""
        return ordinal <= self.room or ordinal > self.count - LAST

    def keep(self, spot: "Union[Sketch, Spot, None]", ordinal: int) -> None:
        """Keep a spot, by how many there are up to it."""
        if isinstance(spot, Spot) and ordinal <= self.room:
            self.first.append(spot)
        elif spot is not None:
            self.last.append(spot)

    def name(self, block: Block, starts: Sequence[int]) -> None:
        """Take in who wrote some lines of which nothing else is kept."""
        data = block.text.data
        if starts and len(self.ranks) < NAMED:
            ranks = (subjects.rank(data, start) for start in block.with_ranks(starts))
            self.ranks.update(rank for rank in ranks if rank is not None)
        if starts and len(self.hosts) < NAMED:
            hosts = (subjects.host(data, start) for start in block.with_hosts(starts))
            self.hosts.update(filter(None, hosts))


class Keeper:
    """Takes in what matches, block by block."""

    def __init__(self, judge: Judge, context: int) -> None:
        self.clock = Clock()  # of the spots
        self._judge, self._context = judge, context
        self._seen: Dict[str, Dict[str, Seen]] = {}  # by signature and GPU
        self._devices = 0
        self._blocks: Deque[Block] = deque()  # whose spots are still to be kept, as far as they will be
        self._size = 0  # of these

    def take(self, block: Block, name: str, device: str, spots: Sequence[Found]) -> bool:
        """Take in what one signature names in a block; tell whether enough of it is kept.

        Args:
            block: which is held next.
            name: the signature's.
            device: the GPU that they are about, as they say it; empty where they do not.
            spots: in order.
        """
        seen = self._of(name, device)
        first, last = max(0, seen.room - seen.count), max(0, len(spots) - LAST)
        kept = [*range(min(first, len(spots))), *range(max(first, last), len(spots))]
        block.spots += [(*spots[place], seen.count + place + 1, seen) for place in kept]
        seen.name(block, [start for start, _, _ in spots[first:]])
        seen.count += len(spots)
        return seen.count >= seen.room

    def _of(self, name: str, device: str) -> Seen:
        known = self._seen.setdefault(name, {})
        if device not in known:
            self._devices += bool(device)
            device = device if self._devices <= DEVICES else OTHERS
        if device not in known:
            known[device] = Seen(FEWER if known else FIRST)
        return known[device]

    def hold(self, block: Block) -> int:
        """Hold a block for a while: most of its spots will be followed by others, and need not be kept.

        Returns:
            The line feeds in its text.
        """
        block.spots.sort(key=itemgetter(0, 1))
        feeds = block.number()
        if not self._blocks and not block.spots:
            return feeds
        self._blocks.append(block)
        self._size += len(block.text.data)
        while (self._size > HELD or not self._blocks[0].spots) and len(self._blocks) > 1:
            settled = self._blocks.popleft()
            self._size -= len(settled.text.data)
            self._settle(settled)
        return feeds

    def sightings(self) -> "Dict[str, Sighting]":
        """Return what was seen, in the order of the patterns; nothing more can be taken in then."""
        while self._blocks:
            self._settle(self._blocks.popleft())
        found: Dict[str, Sighting] = {}
        if not self._seen:
            return found
        order = {pattern.name: -place for place, pattern in enumerate(reversed(self._judge.patterns))}
        for name in sorted(self._seen, key=order.__getitem__):
            parts = [self._part(device, seen) for device, seen in self._seen[name].items()]
            whole = tuple(part for part in parts if part.spots)
            if whole:
                found[name] = Sighting(name, sum(part.count for part in whole), whole)
        return found

    def _part(self, device: str, seen: Seen) -> Part:
        lasts = [self._told(last) if isinstance(last, Sketch) else last for last in seen.last]
        spots = (*seen.first, *(spot for spot in lasts if spot is not None))
        return Part(device, seen.count, spots, len(seen.first), frozenset(seen.ranks), frozenset(seen.hosts))

    def _settle(self, block: Block) -> None:
        """Keep the spots of a block that are among the first, or among the last so far."""
        data = block.text.data
        looked = 0
        for (start, number, match, ordinal, seen), above in zip(block.spots, block.above):
            if not seen.keeps(ordinal):
                continue
            line_no = None if block.line_no is None else block.line_no + above
            stamp = block.stamp(start)
            moment = self.clock.latest
            early = ordinal <= seen.room
            sure = early or bool(stamp)
            if sure:
                moment = self.clock.at(data, start, looked, stamp, b"" if looked else block.before)
                looked = start
                if moment is None:
                    moment = self._first_time(block, start)
            begin = self._begin(data, start, number)
            sketch = Sketch(number, line_no, self._around(data, begin, start), start - begin, moment, sure)
            whole = match if self._judge.patterns[number].lines == 1 else None
            seen.keep(self._told(sketch, whole) if early or len(sketch.around) > 4 * AROUND else sketch, ordinal)

    def _first_time(self, block: Block, start: int) -> Optional[float]:
        """Return the first time behind a spot before which there is none."""
        if not self.clock.look_ahead(block.text.data, start):
            for other in self._blocks:
                if self.clock.look_ahead(other.text.data, other.begin, other.text.stamps or ()):
                    break
        return self.clock.first

    def _told(self, sketch: Sketch, match: "Optional[Match[str]]" = None) -> Optional[Spot]:
        """Return the spot of a sketch; None where it is none after all."""
        around, start = sketch.around, sketch.start
        match = match or self._judge.match(around, start, sketch.number)
        if match is None:
            return None
        seen = hit(self._judge.patterns[sketch.number], 0, match)
        moment = sketch.moment
        if not sketch.sure:
            self.clock.latest = sketch.moment
            moment = self.clock.at(around, start, 0)
        first = start
        for _ in range(seen.lines - 1):
            first = around.rfind(b"\n", 0, max(0, first - 1)) + 1
        context = self._context
        before = last_lines(around[:first], context).split(b"\n")[:-1] if context and first else []
        end = around.find(b"\n", start)
        after = around[end + 1 :].split(b"\n") if end >= 0 else []
        if after and not after[-1]:
            after.pop()
        about = (tuple(map(_shown, before)), tuple(map(_shown, after[:context])))
        begin = max(0, seen.line.find(_BREAK.split(match[0], maxsplit=1)[0][:AROUND]))
        rank, host = subjects.rank(around, start), subjects.host(around, start)
        return Spot(sketch.line_no, seen.line, moment, seen.groups, *about, seen.lines, rank, begin, host)

    def _begin(self, data: bytes, start: int, number: int) -> int:
        """Return where the lines begin that a spot needs before its own."""
        begin = start
        for _ in range(self._context + self._judge.patterns[number].lines - 1):
            begin = data.rfind(b"\n", 0, max(0, begin - 1)) + 1
        return min(begin, data.find(b"\n", max(0, start - AROUND)) + 1)

    def _around(self, data: bytes, begin: int, start: int) -> bytes:
        """Return a spot's lines and those of context behind it, which may stand in the blocks that follow."""
        end = data.find(b"\n", start) + 1 or len(data)
        around, left = data[begin:end], self._context
        following = iter(self._blocks)
        while left:
            behind = data.find(b"\n", end) + 1 or len(data)
            if behind > end:
                around += data[end : min(behind, end + AROUND)]
                left -= 1
                end = behind
            else:
                block = next(following, None)
                if block is None:
                    break
                data, end = block.text.data, block.begin
        return around


def _shown(line: bytes) -> str:
    return line[: 4 * CONTEXT].decode("utf-8", "replace").rstrip("\r")[:CONTEXT]
