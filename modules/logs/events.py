"""Several hits that are one record: those of one traceback, those of the kernel's report of an out-of-memory kill.

Tracebacks are known by their form. Other events are known by their patterns: hits of one event that stand close
together.
"""

from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from runbook.modules.logs.hits import Hit
from runbook.modules.logs.patterns import Pattern

if TYPE_CHECKING:
    from runbook.modules.logs.tracebacks import Traceback

LINES = 120  # between hits of one event
SECONDS = 10.0  # or so much time


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


def joined(hits: Sequence[Hit], found: "Sequence[Traceback]") -> Iterator[Joined]:
    """Yield the hits of a block, those of one traceback as one, in the order of their ends."""
    inside: Dict[int, List[Hit]] = {}
    alone: List[Joined] = []
    owners = {line: place for place, each in enumerate(found) for line in each.own} if hits else {}
    for hit in hits:
        lines = range(hit.index - hit.lines + 1, hit.index + 1)
        place = min((owners[line] for line in lines if line in owners), default=None) if owners else None
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

    @property
    def begun(self) -> bool:
        """Something was found of an event that may go on: the lines behind it count."""
        return bool(self._begun)

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
