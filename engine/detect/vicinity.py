"""Where the cause of a sighting may lie: the nearest of each kind in its source, at its time, of its job, beside it.

Each is looked up among what lies near alone, so that a thousand hosts take a thousand times as long as one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from runbook.engine.detect.sightings import Seen

    Kind = int  # the number of what is told of alike, but for devices
    Device = str | None  # None stands for all that have a name
    Row = tuple[list[float], list[int]]  # where sightings lie, in order, and which they are
    Rows = dict[Kind, Row]
    First = dict[Kind, int]


class Vicinity:
    """The sightings, by what they are near to."""

    def __init__(self, seen: Sequence[Seen], kinds: Sequence[Kind], span: float) -> None:
        """Take them in.

        Args:
            seen: the sightings.
            kinds: of each its kind.
            span: seconds before and after a sighting in which others are near to it, if it does not say otherwise.
        """
        self._seen, self._kinds, self._span = seen, kinds, span
        self._in_source: defaultdict[tuple[str, Device], Rows] = defaultdict(dict)
        self._at_time: defaultdict[tuple[int, Device], Rows] = defaultdict(dict)
        self._at_any: defaultdict[Device, Rows] = defaultdict(dict)
        self._of_job: defaultdict[tuple[str, Device], First] = defaultdict(dict)
        self._beside: defaultdict[tuple[str, bool, Device], First] = defaultdict(dict)
        for place in sorted(range(len(seen)), key=lambda place: seen[place].line):
            self._put(place)
        timed = [(one.time, place) for place, one in enumerate(seen) if one.time is not None]
        for time, place in sorted(timed):
            self._put_timed(place, time)

    def _put(self, place: int) -> None:
        one, kind = self._seen[place], self._kinds[place]
        for device in _filed(one):
            lines, places = self._in_source[one.source, device].setdefault(kind, ([], []))
            lines.append(one.line)
            places.append(place)
            if one.job:
                self._of_job[one.job, device].setdefault(kind, place)
            if one.time is None:
                self._beside[one.near, False, device].setdefault(kind, place)

    def _put_timed(self, place: int, time: float) -> None:
        one, kind = self._seen[place], self._kinds[place]
        slot = self._slot(time)
        for device in _filed(one):
            near = [self._at_time[each, device] for each in (slot - 1, slot, slot + 1)]
            for rows in (*near, self._at_any[device]):
                times, places = rows.setdefault(kind, ([], []))
                times.append(time)
                places.append(place)
            self._beside[one.near, True, device].setdefault(kind, place)

    def _slot(self, time: float) -> int:
        return int(time // self._span)

    def around(self, place: int, wanted: Collection[Kind]) -> Iterator[int]:
        """Yield those of some kinds that are near to one: of each the nearest before and after, some of them twice.

        Of the sightings of a device, those of another are passed over; so are those of what is the same trouble.
        """
        one = self._seen[place]
        for device in (one.device, "") if one.device else ("", None):
            sought = _Sought(wanted, self._kinds[place] if device == one.device else None)
            yield from sought.nearest(self._in_source.get((one.source, device)), one.line, 1)
            yield from sought.first(self._beside.get((one.near, False, device)))
            if one.job:
                yield from sought.first(self._of_job.get((one.job, device)))
            if one.time is None:
                yield from sought.first(self._beside.get((one.near, True, device)))
            else:
                far = one.reach > self._span
                times = self._at_any.get(device) if far else self._at_time.get((self._slot(one.time), device))
                yield from sought.nearest(times, one.time, 2)


def _filed(one: Seen) -> tuple[Device, ...]:
    return (one.device, None) if one.device else ("",)


class _Sought:
    """Some kinds, but for one."""

    def __init__(self, wanted: Collection[Kind], but: Kind | None) -> None:
        self._wanted, self._but = wanted, but

    def nearest(self, rows: Rows | None, at: float, after: int) -> Iterator[int]:
        """Yield of each kind the one that lies before a place, and so many behind it."""
        if not rows:
            return
        for kind in self._among(rows):
            where, places = rows[kind]
            begin = bisect_left(where, at)
            yield from places[max(0, begin - 1) : begin + after]

    def first(self, firsts: First | None) -> Iterator[int]:
        """Yield the one of each kind."""
        return (firsts[kind] for kind in self._among(firsts)) if firsts else iter(())

    def _among(self, known: Mapping[Kind, object]) -> Iterator[Kind]:
        few, many = (known, self._wanted) if len(known) < len(self._wanted) else (self._wanted, known)
        return (kind for kind in few if kind in many and kind != self._but)
