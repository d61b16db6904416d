"""Which sighting led to which: for each the nearest that can have caused it.

A cause can lie before its consequence in the same source, or within two minutes before it in another one; or shortly
after it, as the first rank to fall is not always the first to be heard, and a kernel's lines are written elsewhere.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, NamedTuple

from runbook.engine.model import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runbook.engine.detect.cascade import Seen, Sign

    Key = tuple[str, str, str]  # a signature, its kind, a device
    Bond = tuple[float, ...]  # how well a cause fits a consequence: the smallest fits best

SETTLE: Final = 10.0  # seconds in which what belongs together comes in, in whatever order
LATE: Final = 60.0  # the same for a cause that the catalogue knows: it may be told of once a minute
REACH: Final = 120.0  # seconds from a cause to its consequences
_LONG: Final = 3600.0  # seconds, in the same source, to what the catalogue says it brings about: timeouts take long
_LINES: Final = 1000  # the same without times, to what it is only likely to bring about
_LINES_AFTER: Final = 500  # lines of other ranks that may come between a consequence and its cause below it
_DEPTHS: Final = {"kernel": 0, "job": 1}  # by scope; all others stand above these
_LIKELY: Final = {("cascade", "root"), ("cascade", "confirmation"), ("confirmation", "root"), ("cascade", "cascade")}
_ROLES: Final = {"root": 0.0, "confirmation": 1.0, "cascade": 2.0}
_TIMEOUT: Final = "timeout"
_PER_LINE: Final = 0.01  # seconds: how lines compare with times


class _Claim(NamedTuple):
    """Why one signature may be the cause of another."""

    said: bool  # the catalogue says so; else it is only likely, by their roles
    turns: bool  # it may be seen after what it brought about


class _Index:
    """The sightings of one signature, by source and by time."""

    def __init__(self) -> None:
        self.by_source: defaultdict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        self.times: list[float] = []
        self.timed: list[int] = []
        self.untimed: dict[str, int] = {}  # by neighbourhood: the first one
        self.of_job: dict[str, int] = {}  # the same

    def around(self, one: Seen, seen: Sequence[Seen]) -> Iterator[int]:
        """Yield the nearest before and after, in its own source, and by time in all; of the same job the first."""
        if (own := self.by_source.get(one.source)) is not None:
            at = bisect_left(own[0], one.line)
            yield from own[1][max(0, at - 1) : at + 1]
        if one.job in self.of_job:
            yield self.of_job[one.job]
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
    claims = {key: list(_claims(key, signs)) for key in signs}
    above: list[int | None] = [None] * len(seen)
    last: dict[tuple[Key, str], int] = {}
    for place, one in enumerate(seen):
        bonds = [
            (bond, candidate)
            for other, claim in claims[one.key]
            for candidate in indexes[other].around(one, seen)
            if (bond := _bond(seen[candidate], one, claim)) is not None
        ]
        before = last.get((one.key, one.source))
        candidates = [candidate for _, candidate in sorted(bonds)]
        if before is not None and above[before] is not None and _goes_on(seen[before], one):
            candidates.append(before)
        above[place] = next((top for each in candidates if (top := _top(above, each)) != place), None)
        last[one.key, one.source] = place
    return above


def _indexed(seen: Sequence[Seen]) -> dict[Key, _Index]:
    found: defaultdict[Key, _Index] = defaultdict(_Index)
    for place, one in sorted(enumerate(seen), key=lambda pair: pair[1].line):
        lines, places = found[one.key].by_source[one.source]
        lines.append(one.line)
        places.append(place)
        if one.time is None:
            found[one.key].untimed.setdefault(one.near, place)
        if one.job:
            found[one.key].of_job.setdefault(one.job, place)
    for time, place in sorted((one.time, place) for place, one in enumerate(seen) if one.time is not None):
        found[seen[place].key].times.append(time)
        found[seen[place].key].timed.append(place)
    return dict(found)


def depth(sign: Sign) -> int:
    """Return how deep in the machine a signature is at home; 0 is deepest."""
    return _DEPTHS.get(sign.scope, 2)


def _claims(key: Key, signs: Mapping[Key, Sign]) -> Iterator[tuple[Key, _Claim]]:
    """Yield what can have brought about a signature, and on what grounds."""
    sign = signs[key]
    for other, cause in signs.items():
        if other == key or (cause.role, sign.role) == ("cascade", "root"):
            continue  # what can begin by itself does not follow from what can't
        if key[2] and other[2] and key[2] != other[2]:
            continue  # another device; what is of none, such as a switch, may bring down several
        if _says(cause, key):
            both = _says(sign, other)
            if both and _TIMEOUT == cause.category != sign.category:
                continue  # it waited for what had gone wrong before
            turns = (
                sign.role != "root"
                or depth(cause) < depth(sign)
                or _TIMEOUT == sign.category != cause.category
                or (not both and (cause.id == sign.id or cause.severity.rank >= sign.severity.rank))
            )
            yield other, _Claim(said=True, turns=turns)
        elif (sign.role, cause.role) in _LIKELY and not (sign.role == cause.role and _says(sign, other)):
            yield other, _Claim(said=False, turns=_ROLES[cause.role] < _ROLES[sign.role])
        elif _hangs(sign) and _kills(cause) and depth(cause) <= depth(sign) and not _says(sign, other):
            yield other, _Claim(said=False, turns=True)


def _hangs(sign: Sign) -> bool:
    """Tell whether it says of a run that it waits: for what fell, as a rule."""
    return sign.category == _TIMEOUT and sign.severity.rank >= Severity.HIGH.rank


def _kills(sign: Sign) -> bool:
    return sign.role == "root" and sign.category != _TIMEOUT and sign.severity.rank >= Severity.HIGH.rank


def _says(cause: Sign, consequence: Key) -> bool:
    name, variant, _ = consequence
    names = (name, f"{name}:{variant}") if variant else (name,)
    return any(fnmatchcase(each, glob) for glob in cause.causes for each in names)


def _bond(cause: Seen, one: Seen, claim: _Claim) -> Bond | None:
    """Return how well a cause fits, None where it can't be."""
    if cause.job and one.job and cause.job != one.job:
        return None
    same = cause.source == one.source
    ours = claim.said and bool(one.job) and cause.job == one.job  # one job's: how long it takes does not matter
    lines = abs(cause.line - one.line) if same else 0
    seconds = None if cause.time is None or one.time is None else cause.time - one.time
    after = cause.line > one.line if same else seconds is not None and seconds > 0
    if after and not (claim.turns and _is_soon(cause, one, claim, seconds, lines)):
        return None
    if not (after or ours or _reaches(one, claim, seconds, lines, same=same)):
        return None
    away = lines * _PER_LINE if seconds is None else abs(seconds)
    far = not ours and (lines > _LINES if seconds is None else away > max(REACH, one.reach))
    stranger = 0.0 if same else 1.0 if seconds is not None or ours else 2.0
    fits = 2.0 if far else 0.0 if claim.said else 1.0
    return (fits, _ROLES[cause.sign.role], float(after), float(stranger > 1), away, stranger, lines)


def _reaches(one: Seen, claim: _Claim, seconds: float | None, lines: int, *, same: bool) -> bool:
    """Tell whether a cause that comes before what it brought about is near enough."""
    if seconds is not None:
        return -seconds <= max(_LONG if same and claim.said else REACH, one.reach)
    if not same and one.near and one.sign.role == "root":
        return False  # one directory is not enough to say that what can begin by itself did not
    return claim.said or (same and lines <= _LINES)


def _is_soon(cause: Seen, one: Seen, claim: _Claim, seconds: float | None, lines: int) -> bool:
    """Tell whether a cause that comes after what it brought about does so soon enough."""
    if seconds is None:
        return lines <= _LINES_AFTER
    elsewhere = depth(cause.sign) < depth(one.sign) or one.sign.role == "confirmation"
    return seconds <= (REACH if elsewhere else LATE if claim.said else SETTLE)


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
