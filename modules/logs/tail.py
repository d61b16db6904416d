"""What is new in a set of logs since the last look: every line that rotation has left, once."""

import os
import stat
import time
from dataclasses import replace
from typing import Any, Dict, Iterator, List, Literal, Mapping, Optional, Sequence, Set, Tuple

from runbook.modules.declare import Unclear
from runbook.modules.globs import expand, wild
from runbook.modules.logs.cursor import Cursor
from runbook.modules.logs.match import Matcher
from runbook.modules.logs.reading import Line, Reading, Room
from runbook.modules.logs.rotation import (
    Folder,
    Place,
    adopted,
    at_end,
    bases,
    fresh,
    opened,
    places,
)
from runbook.modules.logs.strangers import Strangers, followed

BUDGET = 10.0  # seconds of reading in one look; the next one goes on where it ended
MISSED = 7 * 86400.0  # seconds for which a file that can't be found is remembered: its disk may come back
MISSED_MOST = 200
AWAITED = 600.0  # seconds for which the copy of a log that was cut is awaited

From = Literal["end", "start"]


class Tail:
    """The files behind some paths and patterns, as far as they were read."""

    def __init__(self, kept: Mapping[str, Any], matcher: Matcher, now: float, room: Optional[Room] = None) -> None:
        self._kept = kept
        self._matcher = matcher
        self._now = now
        self._room = room or Room(until=time.monotonic() + BUDGET)
        self._folders: Dict[str, Folder] = {}
        self._unsettled: Set[str] = set()  # directories to search again at the next look
        self._claimed: Set[Tuple[int, int]] = set()
        self._cursors: Dict[str, List[Cursor]] = {}
        self._behind = 0
        self._nothing: List[str] = []  # patterns that match no file
        self._asked = 0
        self._passed_over: Dict[str, List[str]] = {}  # by file, the patterns that were too slow for a line each

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
        settled = [path for path, folder in self._folders.items() if folder.settled and path not in self._unsettled]
        return {
            "cursors": {pattern: [cursor.store() for cursor in cursors] for pattern, cursors in self._cursors.items()},
            "folders": {path: self._folders[path].changed for path in settled},
            "behind": self._behind,  # bytes that are left for the next look
            **({"nothing": f"no file at {', '.join(self._nothing)}"} if len(self._nothing) == self._asked else {}),
            **self._trouble(),
        }

    def _trouble(self) -> Dict[str, Any]:
        if not self._passed_over:
            return {}
        told = []
        for path, slow in self._passed_over.items():
            lines = "1 line was" if len(slow) == 1 else f"{len(slow)} lines were"
            patterns = ", ".join(f"`{pattern}`" for pattern in sorted(set(slow))[:3])
            told.append(f"{path}: {lines} passed over that could not be matched in time by {patterns}")
        return {"passed_over": sum(map(len, self._passed_over.values())), "trouble": "; ".join(told)}

    def _pattern(self, pattern: str, first: From) -> List[Line]:
        before = self._kept.get("cursors", {}).get(pattern)
        known = [Cursor.load(cursor) for cursor in before or ()]
        logs = _logs(pattern)
        gone = sorted({cursor.log for cursor in known} - set(logs))
        there = list(self._places([*logs, *gone], known, first=before is None))
        self._asked += 1
        if not there:
            self._nothing.append(pattern)
        kept, work = self._first(there, first) if before is None else self._settled(there, known)
        lines: List[Line] = []
        for place, cursor in sorted(work, key=lambda item: (item[0].found.st_mtime_ns, item[0].live)):
            read = self._read(place, cursor)
            kept.append(read.cursor if read else cursor)
            if read is None:  # it changed since we looked at it: the next look sees what became of it
                self._await(place, cursor)
                continue
            lines += read.lines
            if place.live:
                kept = [followed(c, read.cursor) if c.copy and c.log == place.log else c for c in kept]
            if read.passed_over:
                self._passed_over.setdefault(place.path, []).extend(read.passed_over)
            if not self._room.left:
                self._behind += max(0, read.cursor.size - read.cursor.offset)
        self._cursors[pattern] = kept
        return lines

    def _places(self, logs: List[str], known: List[Cursor], *, first: bool) -> Iterator[Place]:
        listed = set(logs)
        sets: Dict[str, List[Cursor]] = {}
        for cursor in known:
            sets.setdefault(cursor.log, []).append(cursor)
        for log in logs:
            if any(os.path.join(os.path.dirname(log), base) in listed for base in bases(os.path.basename(log))):
                continue  # a rotated file that the pattern matches as well
            own = sets.get(log, [])
            folder = self._folder(os.path.dirname(own[0].path if own else os.path.realpath(log)))
            search = first or folder.changed != self._kept.get("folders", {}).get(folder.path)
            for place in places(log, own, folder, search=search):
                identity = place.found.st_dev, place.found.st_ino
                if identity not in self._claimed:
                    self._claimed.add(identity)
                    yield place

    def _folder(self, path: str) -> Folder:
        if path not in self._folders:
            self._folders[path] = Folder(path)
        return self._folders[path]

    def _first(self, there: List[Place], first: From) -> "Tuple[List[Cursor], List[Tuple[Place, Cursor]]]":
        if first == "start":
            return [], [(place, fresh(place)) for place in there]
        kept = []
        for place in there:
            with opened(place.path) as descriptor:
                if descriptor is not None:
                    kept.append(at_end(place, descriptor))
        return kept, []

    def _settled(self, there: List[Place], known: List[Cursor]) -> "Tuple[List[Cursor], List[Tuple[Place, Cursor]]]":
        """Return the cursors that stay as they are, and the files to be read with the cursor to begin at."""
        idle: List[Cursor] = []
        live: Dict[str, Cursor] = {}  # of the logs that are as they were, and perhaps longer
        work: List[Tuple[Place, Cursor]] = []
        strange: List[Tuple[Place, Optional[Cursor]]] = []
        cut: List[Cursor] = []  # what was read is no longer at its place: a copy may hold it
        free: Dict[int, List[Cursor]] = {}
        for cursor in known:
            free.setdefault(cursor.inode, []).append(cursor)
        for place in there:
            own = _known(place, free)
            if own is None or own.copy:
                strange.append((place, own))
                continue
            if own.idle(place.found):
                own = replace(own, log=place.log) if own.path == place.path else _renamed(own, place)
                idle.append(own)
            else:
                fits = _fits(own, place, self._now)
                if fits is None:
                    self._await(place, own)
                    idle.append(own)
                    continue
                if not fits:
                    cut.append(own)
                    strange.append((place, None))
                    continue
                own = adopted(own, place)
                work.append((place, own))
            if place.live:
                live[place.log] = own
        cut += [cursor for cursors in free.values() for cursor in cursors if cursor.cut]
        lost = [cursor for cursors in free.values() for cursor in cursors if not cursor.cut]
        newest = max((cursor.changed for cursor in known), default=0)
        strangers = Strangers(cut, lost, live, newest)
        for place, own in sorted(strange, key=lambda item: (item[0].live, -item[0].found.st_mtime_ns)):
            begin = strangers.begin(place, own)
            if begin is None:
                self._await(place, own)
                idle += [own] if own else []
            elif begin.read:
                work.append((place, begin.cursor))
            else:
                idle.append(begin.cursor)
        return [*idle, *self._missing(strangers.left())], work

    def _await(self, place: Place, own: Optional[Cursor]) -> None:
        """Leave a file to the next look, for it is being rotated at this moment."""
        self._unsettled.add(os.path.dirname(os.path.realpath(place.path)))
        self._behind += max(1, place.found.st_size - (own.offset if own else 0))

    def _missing(self, lost: List[Cursor]) -> List[Cursor]:
        since = [replace(cursor, missing=cursor.missing or self._now) for cursor in lost if cursor.offset]
        young = [c for c in since if self._now - (c.missing or 0) < (AWAITED if c.cut else MISSED)]
        return sorted(young, key=lambda cursor: cursor.missing or 0)[-MISSED_MOST:]

    def _read(self, place: Place, cursor: Cursor) -> Optional[Reading]:
        with opened(place.path) as descriptor:
            if descriptor is None:
                return None
            shorter = os.fstat(descriptor).st_size < cursor.offset
            read = Reading(place, descriptor, cursor, self._matcher, room=self._room, now=self._now)
            if not place.holds(descriptor) or shorter or not read.continues:
                return None
            return None if read.run().torn else read


def _logs(pattern: str) -> List[str]:
    """Return the logs that a pattern means; one that is not there yet is meant too."""
    pattern = os.path.normpath(os.path.expanduser(pattern))
    if wild(pattern) and not os.path.lexists(pattern):
        return [path for path in expand(pattern) if os.path.isfile(path)]
    refusal = _refusal(pattern)
    if refusal:
        raise Unclear(refusal)
    return [pattern]


def _refusal(path: str) -> str:
    try:
        mode = os.stat(path).st_mode  # asked for once: a log may come and go between two questions
    except (OSError, ValueError):
        return ""
    if stat.S_ISREG(mode):
        return ""
    return f"{path} is a directory: write {path}/*" if stat.S_ISDIR(mode) else f"{path} is no file, so it is not read"


def _known(place: Place, free: Dict[int, List[Cursor]]) -> Optional[Cursor]:
    """Take the cursor that was in a file of this inode, on this device if there are several."""
    found = free.get(place.found.st_ino, [])
    best = min(found, key=lambda cursor: (cursor.device != place.found.st_dev, cursor.missing or 0), default=None)
    if best is not None:
        found.remove(best)
    return best


def _fits(cursor: Cursor, place: Place, now: float) -> Optional[bool]:
    """Tell whether the cursor goes on in the file; None where another one has taken its place meanwhile."""
    with opened(place.path) as descriptor:
        if descriptor is None or not place.holds(descriptor):
            return None
        return cursor.fits(descriptor, os.fstat(descriptor), now)


def _renamed(cursor: Cursor, place: Place) -> Cursor:
    return replace(cursor, log=place.log, path=os.path.realpath(place.path))
