"""Which sighting led to which: for each the nearest that can have caused it.

A cause can lie before its consequence in the same source, or within two minutes before it in another one; or shortly
after it, as the first rank to fall is not always the first to be heard, and a kernel's lines are written elsewhere.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbook.engine.detect.cascade import Seen, Sign

    Bond = tuple[float, ...]  # how well a cause fits a consequence: the smallest fits best

SETTLE: Final = 10.0  # seconds in which what belongs together comes in, in whatever order
REACH: Final = 120.0  # seconds from a cause to its consequences
_LONG: Final = 3600.0  # seconds, in the same source, to what the catalogue says it brings about: timeouts take long
_LINES: Final = 1000  # the same without times, to what it is only likely to bring about
_LINES_AFTER: Final = 500  # lines of other ranks that may come between a consequence and its cause below it
_DEPTHS: Final = {"kernel": 0, "job": 1}  # by scope; all others stand above these
_LIKELY: Final = {("cascade", "root"), ("cascade", "confirmation"), ("confirmation", "root"), ("cascade", "cascade")}
_ROLES: Final = {"root": 0.0, "confirmation": 1.0, "cascade": 2.0}
_PER_LINE: Final = 0.01  # seconds: how lines compare with times


class _Index:
    """The sightings of one signature, by source and by time."""

    def __init__(self) -> None:
        self.by_source: defaultdict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        self.times: list[float] = []
        self.timed: list[int] = []
        self.untimed: dict[str, int] = {}  # by neighbourhood: the first one

    def around(self, one: Seen, seen: Sequence[Seen]) -> Iterator[int]:
        """Yield the nearest before and after, in its own source, and by time in all."""
        if (own := self.by_source.get(one.source)) is not None:
            at = bisect_left(own[0], one.line)
            yield from own[1][max(0, at - 1) : at + 1]
        if one.time is not None:
            at = bisect_left(self.times, one.time)
            yield from self.timed[max(0, at - 1) : at + 2]
        if (other := self.untimed.get(one.near)) is not None:
            yield other
        if one.time is None:
            yield from (place for place in self.timed[:1] if seen[place].near == one.near)


def parents(seen: Sequence[Seen]) -> list[int | None]:
    """Return for each sighting the place of what it follows from, at once or at length; None for a root."""
    indexes = _indexed(seen)
    signs = {one.key: one.sign for one in seen}
    causes: dict[tuple[str, str], list[tuple[tuple[str, str], bool]]] = {
        key: [(other, said) for other, cause in signs.items()
              if other != key and (said := _says(cause, sign, key[1])) is not None]
        for key, sign in signs.items()
    }  # fmt: skip
    above: list[int | None] = [None] * len(seen)
    last: dict[tuple[tuple[str, str], str], int] = {}
    for place, one in enumerate(seen):
        bonds = [
            (bond, candidate)
            for other, said in causes[one.key]
            for candidate in indexes[other].around(one, seen)
            if (bond := _bond(seen[candidate], one, said=said)) is not None
        ]
        before = last.get((one.key, one.source))
        candidates = [candidate for _, candidate in sorted(bonds)]
        if before is not None and above[before] is not None and _goes_on(seen[before], one):
            candidates.append(before)
        above[place] = next((top for each in candidates if (top := _top(above, each)) != place), None)
        last[one.key, one.source] = place
    return above


def _indexed(seen: Sequence[Seen]) -> dict[tuple[str, str], _Index]:
    found: defaultdict[tuple[str, str], _Index] = defaultdict(_Index)
    for place, one in sorted(enumerate(seen), key=lambda pair: pair[1].line):
        lines, places = found[one.key].by_source[one.source]
        lines.append(one.line)
        places.append(place)
        if one.time is None:
            found[one.key].untimed.setdefault(one.near, place)
    for time, place in sorted((one.time, place) for place, one in enumerate(seen) if one.time is not None):
        found[seen[place].key].times.append(time)
        found[seen[place].key].timed.append(place)
    return dict(found)


def depth(sign: Sign) -> int:
    """Return how deep in the machine a signature is at home; 0 is deepest."""
    return _DEPTHS.get(sign.scope, 2)


def _says(cause: Sign, consequence: Sign, variant: str) -> bool | None:
    """Tell whether one brings about the other: True where the catalogue says so, False where it is likely."""
    names = (consequence.id, f"{consequence.id}:{variant}") if variant else (consequence.id,)
    if any(fnmatchcase(name, each) for each in cause.causes for name in names):
        return True
    return False if (consequence.role, cause.role) in _LIKELY else None


def _bond(cause: Seen, one: Seen, *, said: bool) -> Bond | None:
    """Return how well a cause fits, None where it can't be."""
    same = cause.source == one.source
    lines = abs(cause.line - one.line) if same else 0
    seconds = None if cause.time is None or one.time is None else cause.time - one.time
    after = cause.line > one.line if same else seconds is not None and seconds > 0
    if after and not _may_follow(cause, one, seconds, lines, said=said):
        return None
    if not after and seconds is not None and -seconds > max(_LONG if same and said else REACH, one.reach):
        return None
    if not after and seconds is None and not (said or (same and lines <= _LINES)):
        return None
    away = lines * _PER_LINE if seconds is None else abs(seconds)
    far = lines > _LINES if seconds is None else away > max(REACH, one.reach)
    stranger = 0.0 if same else 1.0 if seconds is not None else 2.0
    fits = 2.0 if far else 0.0 if said else 1.0
    return (fits, _ROLES[cause.sign.role], float(after), float(stranger > 1), away, stranger, lines)


def _may_follow(cause: Seen, one: Seen, seconds: float | None, lines: int, *, said: bool) -> bool:
    """Tell whether a cause may come after what it brought about."""
    deeper = depth(cause.sign) < depth(one.sign)
    rises = _ROLES[cause.sign.role] < _ROLES[one.sign.role]
    if not (rises or (said and (deeper or one.sign.role != "root"))):
        return False
    if seconds is None:
        return lines <= _LINES_AFTER
    confirms = one.sign.role == "confirmation"
    return seconds <= (REACH if deeper or confirms else SETTLE)


def _goes_on(before: Seen, one: Seen) -> bool:
    """Tell whether it is the same trouble still: it came again and again since."""
    if before.time is None or one.time is None:
        return one.line - before.line <= _LINES * before.count
    return one.time - before.time <= REACH * before.count


def _top(above: Sequence[int | None], place: int) -> int:
    """Return the root that a sighting belongs to, as far as is known."""
    while (parent := above[place]) is not None:
        place = parent
    return place
