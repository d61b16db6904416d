"""The order of cause: from what was seen of signatures to incidents, each a root with its consequences under it.

What a signature is (a root, a cascade, a confirmation) and what it brings about is the catalogue's to say; this says
which sighting led to which other. Neither files nor clocks are asked, so that lines of a scan and events of a host
come to the same.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runbook.engine.detect.claims import depth
from runbook.engine.detect.lineage import parents, root
from runbook.engine.detect.sightings import ADVICE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runbook.engine.detect.sightings import Seen, Sign
    from runbook.engine.model import Severity

    _Key = tuple[str, str, str]  # a signature, its kind, a device


@dataclass(frozen=True, slots=True)
class Folded:
    """All sightings of a signature that belong to one incident."""

    sign: Sign
    seen: tuple[Seen, ...]  # in order, the earliest first

    @property
    def count(self) -> int:
        """Return how often it was seen."""
        return sum(one.count for one in self.seen)

    @property
    def sources(self) -> tuple[str, ...]:
        """Return where it was seen, each once, in order."""
        return tuple(dict.fromkeys(one.source for one in self.seen))

    @property
    def ranks(self) -> tuple[int, ...]:
        """Return the ranks that told of it, in order."""
        return tuple(sorted(frozenset().union(*(one.ranks for one in self.seen))))

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return the hosts that told of it, in order."""
        return tuple(sorted(frozenset().union(*(one.hosts for one in self.seen))))

    @property
    def first(self) -> Seen:
        """Return where it was seen first."""
        return self.seen[0]

    @property
    def last(self) -> Seen:
        """Return where it was seen last."""
        return self.seen[-1]


@dataclass(frozen=True, slots=True)
class Incident:
    """A root, and what it led to."""

    root: Folded
    cascades: tuple[Folded, ...] = ()  # in the order in which they began

    @property
    def worst(self) -> Severity:
        """Return the severity of the worst in it."""
        return max((one.sign.severity for one in (self.root, *self.cascades)), key=lambda severity: severity.rank)

    @property
    def earlier(self) -> tuple[Folded, ...]:
        """Return those of its consequences that were printed above the root, in the file that it was first seen in."""
        root = self.root.first
        return tuple(one for one in self.cascades if _above(one.first, root))

    @property
    def later(self) -> tuple[Folded, ...]:
        """Return the others."""
        root = self.root.first
        return tuple(one for one in self.cascades if not _above(one.first, root))


def _above(one: Seen, root: Seen) -> bool:
    return one.source == root.source and one.line < root.line


def incidents(seen: Iterable[Seen]) -> list[Incident]:
    """Return the incidents in order of cause: what did most harm first, of equals the earliest.

    Sightings of one root in several sources are one incident; the earliest is where it began.
    """
    known = [one for one in seen if one.sign.role != ADVICE]
    order = {source: place for place, source in enumerate(dict.fromkeys(one.source for one in known))}
    above = parents(known)
    groups: defaultdict[_Key, defaultdict[_Key, list[Seen]]]
    groups = defaultdict(lambda: defaultdict(list))
    for place, one in enumerate(known):
        groups[known[root(above, place)].key][one.key].append(one)
    found = [_incident(key, members, order) for key, members in groups.items()]
    return sorted(found, key=lambda one: _place(one, order))


def _incident(key: _Key, members: dict[_Key, list[Seen]], order: dict[str, int]) -> Incident:
    folded = {each: Folded(some[0].sign, _sorted(some, order)) for each, some in members.items()}
    root = folded.pop(key)
    began = _sorted([one.first for one in folded.values()], order)
    return Incident(root, tuple(folded[one.key] for one in began))


def _sorted(seen: Sequence[Seen], order: dict[str, int]) -> tuple[Seen, ...]:
    """Sort by time, in one source by line; what has no time stands before the first of its source that has one."""
    begins: dict[str, float] = {}
    for one in seen:
        if one.time is not None:
            begins[one.source] = min(one.time, begins.get(one.source, one.time))

    def place(one: Seen) -> tuple[float, int, int]:
        time = begins.get(one.source, float("inf")) if one.time is None else one.time
        return time, order[one.source], one.line

    return tuple(sorted(seen, key=place))


def _place(incident: Incident, order: dict[str, int]) -> tuple[float, ...]:
    first = incident.root.first
    return (
        -incident.worst.rank,
        0.0 if incident.cascades else 1.0,
        float("inf") if first.time is None else first.time,
        depth(first.sign),
        order[first.source],
        first.line,
    )
