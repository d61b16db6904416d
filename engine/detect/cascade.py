"""The order of cause: from what was seen of signatures to incidents, each a root with its consequences under it.

What a signature is (a root, a cascade, a confirmation) and what it brings about is the catalogue's to say; this says
which sighting led to which other. Neither files nor clocks are asked, so that lines of a scan and events of a host
come to the same.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from runbook.engine.detect.lineage import depth, parents

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runbook.engine.model import Severity

    _Key = tuple[str, str, str]  # a signature, its kind, a device

ADVICE: Final = "advice"  # evidence of nothing


class Sign(Protocol):
    """What has to be known of a signature; the catalogue's entries are such."""

    @property
    def id(self) -> str:
        """Return its name, such as `cuda.oom`."""

    @property
    def role(self) -> str:
        """Return root, cascade, confirmation or advice."""

    @property
    def severity(self) -> Severity:
        """Return how bad it is."""

    @property
    def scope(self) -> str:
        """Return kernel, job, app, serve, hub or build."""

    @property
    def category(self) -> str:
        """Return network, resource, timeout and so on."""

    @property
    def causes(self) -> Sequence[str]:
        """Return the ids, or globs of ids, of what it typically brings about; `id:variant` for one kind alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A place where a signature was seen; in one source they are given in their order."""

    sign: Sign
    source: str  # the file, journal or host that it was seen in
    line: int  # its place there: a line's number, or a count of events
    time: float | None = None  # seconds since the epoch
    count: int = 1  # how often from here on to the next one that is given
    variant: str = ""  # tells one kind of the signature from another, such as the code of an Xid
    device: str = ""  # what it is about, such as a GPU's address: one device's trouble is not another's
    job: str = ""  # whose it is, where it says so: one job's trouble is not another's
    near: str = ""  # sources of one neighbourhood belong together where no times are known; empty: they surely do
    reach: float = 0.0  # its cause may lie so many seconds before it, as a timeout says of itself
    evidence: Any = None  # what the caller wants to find again

    @property
    def kind(self) -> tuple[str, str]:
        """Return what was seen, on whatever device."""
        return self.sign.id, self.variant

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what makes two sightings the same trouble."""
        return self.sign.id, self.variant, self.device


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
        return tuple(one for one in self.cascades if one.first.source == root.source and one.first.line < root.line)

    @property
    def later(self) -> tuple[Folded, ...]:
        """Return the others."""
        return tuple(one for one in self.cascades if one not in self.earlier)


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
        top = place
        while (parent := above[top]) is not None:
            top = parent
        groups[known[top].key][one.key].append(one)
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
