"""What is new in a set of logs since the last look: every line that rotation has left, once."""

import os
import time
from dataclasses import replace
from typing import Any, Dict, Iterator, List, Literal, Mapping, Optional, Sequence, Set, Tuple

from runbook.modules.declare import Unclear
from runbook.modules.globs import expand, wild
from runbook.modules.logs.cursor import Cursor, fingerprint
from runbook.modules.logs.match import Matcher
from runbook.modules.logs.reading import LONGEST, Line, Reading, Room
from runbook.modules.logs.rotation import (
    MISSED,
    MISSED_MOST,
    Folder,
    Place,
    adopted,
    bases,
    copied,
    fresh,
    opened,
    places,
    regular,
)

BUDGET = 10.0  # seconds of reading in one look; the next one goes on where it ended
STALE = 50_000_000  # nanoseconds in which a directory may change without its time doing so

From = Literal["end", "start"]


class Tail:
    """The files behind some paths and patterns, as far as they were read."""

    def __init__(self, kept: Mapping[str, Any], matcher: Matcher, now: float, room: Optional[Room] = None) -> None:
        self._kept = kept
        self._matcher = matcher
        self._now = now
        self._room = room or Room(until=time.monotonic() + BUDGET)
        self._folders: Dict[str, Folder] = {}
        self._claimed: Set[Tuple[int, int]] = set()
        self._cursors: Dict[str, List[Cursor]] = {}
        self._behind = 0

    def new(self, patterns: Sequence[str], first: From) -> List[Line]:
        """Return the matching lines that are new.

        Args:
            patterns: paths, and patterns of paths.
            first: where to begin in files that are there when a pattern is looked at for the first time.

        Raises:
            Unclear: something at these paths can't be read.
        """
        lines: List[Line] = []
        for pattern in dict.fromkeys(patterns):
            lines += self._pattern(pattern, first)
        return lines

    def keep(self) -> Dict[str, Any]:
        """Return what the next look has to be given, as JSON."""
        settled = time.time_ns() - STALE
        return {
            "cursors": {pattern: [cursor.store() for cursor in cursors] for pattern, cursors in self._cursors.items()},
            "folders": {path: folder.changed for path, folder in self._folders.items() if 0 < folder.changed < settled},
            "behind": self._behind,  # bytes that are left for the next look
        }

    def _pattern(self, pattern: str, first: From) -> List[Line]:
        before = self._kept.get("cursors", {}).get(pattern)
        known = [Cursor.load(cursor) for cursor in before or ()]
        logs = list(_logs(pattern))
        sight = first if before is None else None
        there = list(self._places([*logs, *sorted({cursor.log for cursor in known} - set(logs))], known, sight))
        cursors, work = self._settled(there, known, sight)
        lines: List[Line] = []
        for place, cursor in sorted(work, key=lambda item: (item[0].found.st_mtime_ns, item[0].live)):
            read = self._read(place, cursor)
            cursors.append(read.cursor if read else cursor)
            lines += read.lines if read else []
        self._cursors[pattern] = cursors
        return lines

    def _places(self, logs: List[str], known: List[Cursor], sight: Optional[From]) -> Iterator[Place]:
        listed = set(logs)
        for log in logs:
            folder = os.path.dirname(log)
            if any(os.path.join(folder, base) in listed for base in bases(os.path.basename(log))):
                continue  # a rotated file that the pattern matches as well
            real = self._folder(os.path.dirname(os.path.realpath(log)))
            search = sight is not None or real.changed != self._kept.get("folders", {}).get(real.path)
            own = [cursor for cursor in known if cursor.log == log]
            for place in places(log, own, real, search=search):
                identity = place.found.st_dev, place.found.st_ino
                if identity not in self._claimed:
                    self._claimed.add(identity)
                    yield place

    def _folder(self, path: str) -> Folder:
        if path not in self._folders:
            self._folders[path] = Folder(path)
        return self._folders[path]

    def _settled(
        self, there: List[Place], known: List[Cursor], sight: Optional[From]
    ) -> "Tuple[List[Cursor], List[Tuple[Place, Cursor]]]":
        """Say which cursors stay as they are, and which files are to be read from where."""
        idle: List[Cursor] = []
        work: List[Tuple[Place, Cursor]] = []
        strange: List[Place] = []
        cut: List[Cursor] = []  # what was read is no longer at its place: a copy may hold it
        free = list(known)
        for place in there:
            cursor = _known(place, free)
            if cursor is None:
                strange.append(place)
                continue
            free.remove(cursor)
            if cursor.idle(place.found):
                idle.append(replace(cursor, log=place.log, path=place.path))
            elif _fits(cursor, place, self._now):
                work.append((place, adopted(cursor, place)))
            else:
                cut.append(cursor)
                strange.append(place)
        newest = max((cursor.changed for cursor in known), default=0)
        for place in sorted(strange, key=lambda item: (item.live, -item.found.st_mtime_ns)):
            if sight is not None:
                work.append((place, fresh(place) if sight == "start" else _at_end(place)))
                continue
            chosen = self._recognized(place, free, cut, [*(c for _, c in work), *idle], newest)
            if chosen is not None:
                work.append((place, chosen))
        return [*idle, *self._missing(free)], work

    def _recognized(
        self, place: Place, free: List[Cursor], cut: List[Cursor], sound: List[Cursor], newest: int
    ) -> Optional[Cursor]:
        """Return where to begin in a file that no cursor belongs to; None = not at all, for now."""
        try:
            descriptor = opened(place.path)
        except FileNotFoundError:
            return None
        try:
            if place.live:
                moved = [cursor for cursor in free if cursor.log == place.log and cursor.device != place.found.st_dev]
                return _resumed(moved, place, descriptor, free) or fresh(place)
            resumed = _resumed([*cut, *free], place, descriptor, free)
            if resumed is not None:
                return resumed
            own = [cursor for cursor in [*cut, *sound] if cursor.log == place.log]
            size = place.found.st_size
            if any(cursor.head_length and size < cursor.offset and cursor.shares_head(descriptor) for cursor in cut):
                return _at_end(place)
            for cursor in own:
                if cursor.path == place.log and cursor not in cut and _is_copy(cursor.path, descriptor):
                    return None  # the log itself holds it all, until it is cut
            return fresh(place) if place.found.st_mtime_ns >= newest else _at_end(place)
        finally:
            os.close(descriptor)

    def _missing(self, lost: List[Cursor]) -> List[Cursor]:
        since = [replace(cursor, missing=cursor.missing or self._now) for cursor in lost if cursor.offset]
        young = [cursor for cursor in since if self._now - (cursor.missing or 0) < MISSED]
        return sorted(young, key=lambda cursor: cursor.missing or 0)[-MISSED_MOST:]

    def _read(self, place: Place, cursor: Cursor) -> Optional[Reading]:
        try:
            descriptor = opened(place.path)
        except FileNotFoundError:
            return None
        try:
            found = os.fstat(descriptor)
            same = (found.st_dev, found.st_ino) == (place.found.st_dev, place.found.st_ino)
            if not same or not _room_for(cursor, found, descriptor):
                return None
            read = Reading(descriptor, cursor, self._matcher, self._room, self._now).run()
            if read.torn:
                return None
            self._behind += max(0, found.st_size - read.cursor.offset) if not self._room.left else 0
            return read
        finally:
            os.close(descriptor)
