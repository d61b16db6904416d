"""Where to go on in files that were looked at before, whatever they were renamed to, and what became of the others."""

import os
from typing import Dict, Iterable, List, Mapping, Optional, Tuple

from runbook.modules.frozen import replace
from runbook.modules.logs.content import Slow, opened
from runbook.modules.logs.cursor import Cursor
from runbook.modules.logs.rotation import Place, adopted
from runbook.modules.logs.strangers import Strangers

MISSED = 7 * 86400.0  # seconds for which a file that can't be found is remembered: its disk may come back
MISSED_MOST = 200
AWAITED = 600.0  # seconds for which the copy of a log that was cut is awaited

Work = List[Tuple[Place, Cursor]]


class Follow:
    """The files of some logs in one look: `idle` stay as they are, `work` is to be read."""

    def __init__(self, there: List[Place], known: List[Cursor], now: float, until: float) -> None:
        self.idle: List[Cursor] = []
        self.work: Work = []
        self.awaited: List[Tuple[Place, Optional[Cursor]]] = []  # being rotated at this moment
        self.trouble: List[str] = []
        self._now = now
        self._live: Dict[str, Cursor] = {}  # of the logs that are as they were, and perhaps longer
        self._strange: List[Tuple[Place, Optional[Cursor]]] = []
        self._cut: List[Cursor] = []  # what was read is no longer at its place: a copy may hold it
        self._free: Dict[int, List[Cursor]] = {}
        for cursor in known:
            self._free.setdefault(cursor.inode, []).append(cursor)
        for place in there:
            self._place(place)
        left = [cursor for cursors in self._free.values() for cursor in cursors]
        self._begin(
            Strangers(
                [*self._cut, *(cursor for cursor in left if cursor.cut)],
                [cursor for cursor in left if not cursor.cut],
                self._live,
                max((cursor.changed for cursor in known), default=0),
                doubtful=[cursor for _, cursor in self.awaited if cursor is not None],
                plain=_plain(there),
                now=now,
                until=until,
            )
        )

    def _place(self, place: Place) -> None:
        own = _known(place, self._free)
        blank = own is not None and not (own.offset or place.live or own.idle(place.found))
        if own is None or own.copy or blank:  # by its inode alone no file is known
            self._strange.append((place, own))
            return
        if own.idle(place.found):
            own = replace(own, log=place.log) if own.path == place.path else _renamed(own, place)
            self.idle.append(own)
        else:
            fits = _fits(own, place, self._now, self.trouble)
            if fits is False:
                self._cut.append(own)
                self._strange.append((place, None))
                return
            if fits is None:
                self.awaited.append((place, own))
                self.idle.append(own)
            else:
                own = adopted(own, place)
                self.work.append((place, own))
        if place.live:
            self._live[place.log] = own

    def _begin(self, strangers: Strangers) -> None:
        for place, own in sorted(self._strange, key=lambda item: (item[0].live, -item[0].found.st_mtime_ns)):
            begin = strangers.begin(place, own)
            if begin is None:
                self.awaited.append((place, own))
                self.idle += [own] if own else []
                continue
            if begin.trouble:
                self.trouble.append(begin.trouble)
            if begin.read:
                self.work.append((place, begin.cursor))
            else:
                self.idle.append(begin.cursor)
        self.idle += missing(strangers.left(), self._now)


def missing(lost: Iterable[Cursor], now: float) -> List[Cursor]:
    """Return the cursors without a file that are worth keeping."""
    since = [replace(cursor, missing=cursor.missing or now) for cursor in lost if cursor.offset]
    young = [c for c in since if now - (c.missing or 0) < (AWAITED if c.cut else MISSED)]
    return sorted(young, key=lambda cursor: cursor.missing or 0)[-MISSED_MOST:]


def _plain(there: List[Place]) -> Mapping[str, List[Place]]:
    found: Dict[str, List[Place]] = {}
    for place in there:
        if not place.packed:
            found.setdefault(place.log, []).append(place)
    return found


def _known(place: Place, free: Dict[int, List[Cursor]]) -> Optional[Cursor]:
    """Take the cursor that was in a file of this inode, on this device if there are several."""
    found = free.get(place.found.st_ino, [])
    best = min(found, key=lambda cursor: (cursor.device != place.found.st_dev, cursor.missing or 0), default=None)
    if best is not None:
        found.remove(best)
    return best


def _fits(cursor: Cursor, place: Place, now: float, trouble: List[str]) -> Optional[bool]:
    """Tell whether the cursor goes on in the file; None where another one has taken its place meanwhile."""
    with opened(place.path) as content:
        if content is None or not place.holds(content):
            return None
        try:
            return cursor.fits(content, os.fstat(content.descriptor), now)
        except Slow:
            trouble.append(f"{place.path} takes too long to unpack: what is not read of it is passed over")
            cursor.tried, cursor.size, cursor.changed = True, place.found.st_size, place.found.st_mtime_ns
            return None


def _renamed(cursor: Cursor, place: Place) -> Cursor:
    return replace(cursor, log=place.log, path=os.path.realpath(place.path))
