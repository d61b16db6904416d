"""Several lines that are one event: a traceback, the kernel's report of an out-of-memory kill.

A traceback is known by its form, behind whatever stands before each of its lines (a time, a rank, a pod's name), and
among lines of others. Other events are known by their patterns: hits of one event that stand close together.
"""

import re
from typing import Any, Dict, FrozenSet, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from runbook.modules.logs.match import Hit
from runbook.modules.logs.patterns import Pattern

HEADER = "Traceback (most recent call last)"
LINES = 120  # between hits of one event
SECONDS = 10.0  # or so much time
LONGEST = 2000  # lines of a traceback
MOST = 200  # tracebacks of a block; hits in those behind them stay for themselves
STRANGE = 400  # lines of others among those of one that bears a prefix
STRANGE_BARE = 20  # of one that bears none
BEHIND = 30  # lines of a message behind which the next traceback of a chain is looked for

_GROUP = re.compile(r"[ |]*\+ Exception Group $")
_TIMES = re.compile(
    r"\d{4}[-/]\d\d[-/]\d\d|\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?|\b\d\d-\d\d\b|\b\d{10}(?:\.\d+)?|\b\d+\.\d{6}\b"
)
_FINAL = re.compile(r"(?!(?:INFO|DEBUG|WARNING|WARN|ERROR|CRITICAL|FATAL|NOTE|TRACE)\b)[A-Za-z_][\w.]*(?::|\s*$)")
_CHAIN = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)


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


class Joined(NamedTuple):
    """Hits that are one record."""

    hit: Hit  # that names it
    first: int  # line
    last: int  # line


class Known:
    """What the patterns say of their hits."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self.patterns = {pattern.name: pattern for pattern in reversed(patterns)}
        self.reach = max((pattern.lines for pattern in patterns), default=1)
        self._order = {name: place for place, name in enumerate(pattern.name for pattern in reversed(patterns))}

    def event(self, hit: Hit) -> str:
        """Return the event that a hit belongs to."""
        pattern = self.patterns.get(hit.name)
        return pattern.event if pattern is not None else ""

    def role(self, hit: Hit) -> Optional[str]:
        """Return the role of a hit's signature."""
        pattern = self.patterns.get(hit.name)
        return pattern.role if pattern is not None else None

    def foremost(self, first: Hit, second: Hit) -> Hit:
        """Return the hit of the pattern that stands first in the order."""
        return second if self._order.get(second.name, -1) > self._order.get(first.name, -1) else first


def merged(named: Hit, other: Hit) -> Hit:
    """Return a hit with what another one found as well."""
    found = {name: value for name, value in named.groups.items() if value is not None}
    return named._replace(groups={**named.groups, **other.groups, **found})


def joined(hits: Sequence[Hit], found: Sequence[Traceback]) -> Iterator[Joined]:
    """Yield the hits of a block, those of one traceback as one, in the order of their ends."""
    inside: Dict[int, List[Hit]] = {}
    alone: List[Joined] = []
    for hit in hits:
        lines = range(hit.index - hit.lines + 1, hit.index + 1)
        place = next((n for n, each in enumerate(found) if not each.own.isdisjoint(lines)), None)
        if place is None:
            alone.append(Joined(hit, hit.index, hit.index))
        else:
            inside.setdefault(place, []).append(hit)
    for place, members in inside.items():
        each = found[place]
        named = next((hit for hit in members if hit.index == each.final), members[0])
        for other in members:
            named = merged(named, other)
        alone.append(Joined(named, each.first, each.last))
    return iter(sorted(alone, key=lambda one: (one.last, one.hit.index)))


class _Begun(NamedTuple):
    line: int
    moment: Optional[float]
    names: List[str]  # of the patterns that were found of it
    record: Optional[int]  # None: an earlier look told of it
    at: float  # when it was found


class Recent:
    """The events of a log that may go on, for a while and across looks."""

    def __init__(self, kept: Optional[Mapping[str, Any]], now: float) -> None:
        self.touched = False  # something was found of one
        self._begun: Dict[str, _Begun] = {}
        for event, (behind, moment, names, at) in (kept or {}).items():
            if now - at <= 2 * SECONDS:
                self._begun[event] = _Begun(-int(behind), moment, list(names), None, at)

    def take(self, event: str, name: str, line: int, moment: Optional[float]) -> Tuple[bool, Optional[int]]:
        """Tell whether a hit belongs to an event that has begun, and which record that is; None = an earlier look's.

        A second hit of one pattern begins another event: two processes can be killed within one second.
        """
        known = self._begun.get(event)
        if known is None or name in known.names or not _near(known, line, moment):
            return False, None
        moment = known.moment if moment is None else moment
        self._begun[event] = known._replace(line=line, moment=moment, names=[*known.names, name])
        self.touched = True
        return True, known.record

    def begin(self, event: str, name: str, line: int, moment: Optional[float], record: int, now: float) -> None:
        """Take in the first hit of an event."""
        self._begun[event] = _Begun(line, moment, [name], record, now)
        self.touched = True

    def keep(self, line: int) -> Optional[Dict[str, Any]]:
        """Return what the next look has to know, which begins behind a line."""
        near = {event: known for event, known in self._begun.items() if line - known.line <= LINES}
        return {
            event: [line - known.line, known.moment, known.names, known.at] for event, known in near.items()
        } or None


def _near(known: _Begun, line: int, moment: Optional[float]) -> bool:
    if moment is not None and known.moment is not None:
        return abs(moment - known.moment) <= SECONDS
    return line - known.line <= LINES


def tracebacks(lines: Sequence[str]) -> List[Traceback]:
    """Return the tracebacks among some lines, in order; those of a chain are one."""
    found: List[Traceback] = []
    taken: Set[int] = set()
    for place, line in enumerate(lines):
        if HEADER in line and place not in taken:
            found.append(_Walk(lines, place, taken).run())
            if len(found) == MOST:
                break
    return found


class _Walk:
    """The way through one traceback, past the lines of others."""

    def __init__(self, lines: Sequence[str], first: int, taken: Set[int]) -> None:
        self._lines = lines
        self._first = first
        self._taken = taken  # lines of this one and of those before it
        self._own: Set[int] = set()
        line = lines[first]
        prefix = line[: line.find(HEADER)]
        self._group = _GROUP.search(prefix)
        prefix = prefix[: self._group.start()] if self._group else prefix
        self._indent = len(prefix) - len(prefix.rstrip()) if not prefix.strip() else 0
        self._width = len(prefix)
        self._key = _key(prefix)
        self._bare: Optional[bool] = None if prefix.strip() else True  # its lines bear no prefix
        self._at = first

    def run(self) -> Traceback:
        """Go to its end."""
        self._take(self._first)
        final = None
        while True:
            found, ended = self._body()
            if found is not None:
                self._take(found)
                final = found
            chained, ended = (False, ended) if found is None or self._group else self._chain()
            if not chained:
                return Traceback(self._first, max(self._own), final, ended, frozenset(self._own))

    def _take(self, line: int) -> None:
        self._own.add(line)
        self._taken.add(line)

    def _body(self) -> Tuple[Optional[int], bool]:
        """Go through its frames; return where the exception is named, and whether the end was seen."""
        for place, rest in self._next():
            if rest[:1] in (" ", "\t") or (self._group and not rest):
                self._take(place)
            elif HEADER in rest or self._group:
                return None, True  # another one begins
            elif _FINAL.match(rest):
                return place, True
        return None, self._at < len(self._lines)

    def _chain(self) -> Tuple[bool, bool]:
        """Tell whether another traceback of the chain follows, and else whether the end was seen."""
        back, marked, ended = self._at, False, False
        passed: List[int] = []
        for place, rest in self._next():
            text = rest.strip()
            passed.append(place)
            if text in _CHAIN:
                marked = True
            elif marked and HEADER in rest:
                for own in passed:
                    self._take(own)
                return True, False
            elif HEADER in rest or len(passed) > BEHIND:
                ended = True
                break
            elif text:
                ended = not marked
        self._at = back
        return False, ended

    def _next(self) -> Iterator[Tuple[int, str]]:
        """Yield the lines that are its own, without their prefix."""
        strange = 0
        while self._at < min(len(self._lines), self._first + LONGEST):
            place, line = self._at, self._lines[self._at]
            self._at += 1
            if place in self._taken:
                continue
            rest = self._rest(line)
            if rest is None:
                strange += 1
            else:
                yield place, rest
                strange = strange + 1 if self._bare and place not in self._taken else 0
            if strange > (STRANGE_BARE if self._bare else STRANGE):
                return

    def _rest(self, line: str) -> Optional[str]:
        if self._bare is None:  # whether the others bear it too is told by the first that is indented
            if line[:2] == "  ":
                self._bare = True
            elif _key(line[: self._width]) == self._key and line[self._width : self._width + 2] == "  ":
                self._bare = False
        if self._bare:
            return line[self._indent :] if line[: self._indent].isspace() or not self._indent else None
        if _key(line[: self._width].rstrip()) != self._key:
            return None
        return line[self._width :]


def _key(prefix: str) -> str:
    """Return a line's prefix without its times."""
    return _TIMES.sub("#", prefix.rstrip())
