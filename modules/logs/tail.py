"""What is new in a set of logs since the last look: every line that rotation has left, once.

Only logs about which something has changed are worked on; the cursors of the others stay as they are, unread.
"""

import os
import time
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from runbook.modules.logs.beginning import Beginning
from runbook.modules.logs.content import Slow, opened
from runbook.modules.logs.cursor import Cursor
from runbook.modules.logs.events import Known
from runbook.modules.logs.follow import Follow, Work
from runbook.modules.logs.ground import Ground, unmoved
from runbook.modules.logs.listing import Listing, irregular, listed
from runbook.modules.logs.patterns import Pattern
from runbook.modules.logs.quiet import quiet
from runbook.modules.logs.reading import Reading
from runbook.modules.logs.room import Line, Room
from runbook.modules.logs.rotation import Folder, Place, bases, places
from runbook.modules.logs.strangers import followed

if TYPE_CHECKING:
    from runbook.modules.logs.match import Matcher

BUDGET = 10.0  # seconds of reading in one look; the next one goes on where it ended
LEAST = 2.0  # of them once patterns are ready
FEW = 64  # files that are asked for twice where one of them has changed
_STILL = {"cursors", "apart", "folders", "ground", "searched", "behind", "nothing"}  # kept where there is no more to do


def idle(kept: Mapping[str, Any], wanted: Sequence[str], now: float) -> bool:
    """Tell whether about a few logs nothing has changed, so that a look would keep what is kept and find nothing."""
    shelves = kept.get("cursors", {})
    if kept.get("behind") or not _STILL.issuperset(kept) or list(shelves) != list(dict.fromkeys(wanted)):
        return False
    if any(not isinstance(shelf, dict) or len(shelf) > FEW for shelf in shelves.values()):
        return False
    return unmoved(kept, shelves, now) and not any(map(_touched, shelves.values()))


class Tail:
    """The files behind some paths and patterns, as far as they were read."""

    def __init__(
        self, kept: Mapping[str, Any], patterns: Sequence[Pattern], now: float, room: Optional[Room] = None
    ) -> None:
        self._kept = kept
        self._patterns = patterns
        self._known = Known(patterns)
        self._matcher: Optional[Matcher] = None
        self._quiet = quiet(patterns)
        self._backlog = 0  # bytes that are new
        self._now = now
        self._room = room or Room(until=time.monotonic() + BUDGET)
        self._ground = Ground(kept, now)
        self._folders: Dict[str, Folder] = {}
        self._claimed: Set[Tuple[int, int]] = set()
        self._shelves: Dict[str, Dict[str, str]] = {}
        self._apart: Dict[str, List[str]] = {}
        self._behind = 0
        self._nothing: List[str] = []  # patterns that match no file
        self._passed_over: Dict[str, List[str]] = {}  # by file, the patterns that were too slow for a line each
        self._told: List[str] = []

    def new(self, wanted: Sequence[str], begin: Beginning, listing: Listing = listed) -> List[Line]:
        """Return the matching lines that are new.

        Args:
            wanted: paths, and patterns of paths, or whatever `listing` understands.
            begin: where to begin in files that are there when a pattern is looked at for the first time.
            listing: says which logs are meant.

        Raises:
            Unclear: something at these paths can't be read.
        """
        lines: List[Line] = []
        for pattern in dict.fromkeys(wanted):
            lines += self._pattern(pattern, begin, listing)
        return lines

    def keep(self) -> Dict[str, Any]:
        """Return what the next look has to be given, as JSON; what did not change is the same object."""
        every = len(self._nothing) == len(self._shelves)
        kept: Dict[str, Any] = {
            "cursors": self._shelves,
            **({"apart": self._apart} if self._apart else {}),
            **self._ground.keep(),
            "behind": self._behind,  # bytes that are left for the next look
            **({"nothing": f"no file at {', '.join(self._nothing)}"} if every and self._nothing else {}),
            **self._trouble(),
        }
        return {name: self._kept[name] if self._kept.get(name) == value else value for name, value in kept.items()}

    def _trouble(self) -> Dict[str, Any]:
        told = list(self._told)
        for path, slow in self._passed_over.items():
            lines = "1 line was" if len(slow) == 1 else f"{len(slow)} lines were"
            patterns = ", ".join(f"`{pattern}`" for pattern in sorted(set(slow))[:3])
            told.append(f"{path}: {lines} passed over that could not be matched in time by {patterns}")
        passed = {"passed_over": sum(map(len, self._passed_over.values()))} if self._passed_over else {}
        return {**passed, **({"trouble": "; ".join(told)} if told else {})}

    def _pattern(self, pattern: str, begin: Beginning, listing: Listing) -> List[Line]:
        before = self._kept.get("cursors", {}).get(pattern)
        if before is None:
            return self._first(pattern, begin, listing)
        shelf, apart = _shelf(before, self._kept.get("apart", {}).get(pattern, []))
        firm = self._ground.firm(pattern)
        active = _touched(shelf)
        if firm and not active:
            self._shelves[pattern] = shelf
            if apart:
                self._apart[pattern] = apart
            self._nothing += [] if shelf else [pattern]
            self._ground.stand(pattern)
            return []
        folders: Set[str] = set()
        logs = set(shelf) if firm else set(listing(pattern, folders))
        lost = [Cursor.load(text) for text in apart]
        active = {cursor.log for cursor in _loaded(shelf, active).values()}
        self._refuse(active if firm else {*active, *(path for path in logs if path not in shelf)})
        if not firm:
            active |= {cursor.log for cursor in lost}
            active |= self._newcomers(logs, shelf, folders)
            active |= {base for log in active for base in _bases(log) if base in logs}
            logs |= active
        about = _loaded(shelf, (path for path, text in shelf.items() if path in active or '"log":' in text))
        mine = {path: cursor for path, cursor in about.items() if cursor.log in active}
        rest = {path: text for path, text in shelf.items() if path not in mine}
        cursors = [*mine.values(), *(cursor for cursor in lost if cursor.log in active)]
        self._claimed.update(_identities(rest))
        there = list(self._places(sorted(active), set() if firm else logs, cursors))
        kept, work = self._follow(there, cursors)
        lines = self._read_all(kept, work)
        left = [text for text, cursor in zip(apart, lost) if cursor.log not in active]
        self._put(pattern, kept, rest, left, None if firm else folders)
        return lines

    def _first(self, pattern: str, begin: Beginning, listing: Listing) -> List[Line]:
        folders: Set[str] = set()
        logs = listing(pattern, folders)
        self._refuse(logs)
        there = list(self._places(logs, set(logs), [], search=True))
        kept, work = begin.split(there, self._now)
        lines = self._read_all(kept, work)
        self._put(pattern, kept, {}, [], folders)
        return lines

    def _refuse(self, logs: Iterable[str]) -> None:
        """Tell of what a pattern matches and nobody can read, at every look for as long as it lies there."""
        for path in sorted(filter(irregular, logs)):
            self._told.append(f"{path} is no file, so it is not read")
            self._ground.doubt(os.path.dirname(path))

    def _newcomers(self, logs: Set[str], shelf: Mapping[str, str], folders: Set[str]) -> Set[str]:
        """Return the logs that are new, or beside which a name is new that rotation may have given."""
        found: Set[str] = set()
        links = _loaded(shelf, (path for path, text in shelf.items() if '"path":' in text))
        aliases = {cursor.path: cursor.log for cursor in links.values()}
        for path in logs:
            if path not in shelf:
                aliases.setdefault(os.path.realpath(path), path)
                base = next((base for base in _bases(path) if base in logs or base in shelf), None)
                if base is not None or os.path.isfile(path) or not os.path.lexists(path):
                    found.add(base or path)
        for folder in {*folders, *map(os.path.dirname, (*shelf, *aliases))}:
            if not self._ground.same(folder):
                for name in self._folder(folder).names:
                    path = os.path.join(folder, name)
                    if path not in shelf:
                        known = [base for base in _bases(path) if base in shelf or base in logs or base in aliases]
                        found.update(aliases.get(base, base) for base in known)
        return found

    def _places(
        self, active: Sequence[str], logs: Set[str], known: List[Cursor], *, search: bool = False
    ) -> Iterator[Place]:
        sets: Dict[str, List[Cursor]] = {}
        for cursor in known:
            sets.setdefault(cursor.log, []).append(cursor)
        for log in active:
            if any(base in logs for base in _bases(log)):
                continue  # a rotated file that the pattern matches as well
            own = sets.get(log, [])
            folder = self._folder(os.path.dirname(own[0].path if own else os.path.realpath(log)))
            for place in places(log, own, folder, search=search or not self._ground.same(folder.path)):
                identity = place.found.st_dev, place.found.st_ino
                if identity not in self._claimed:
                    self._claimed.add(identity)
                    yield place

    def _folder(self, path: str) -> Folder:
        if path not in self._folders:
            self._ground.mark(path)  # before it is listed
            self._folders[path] = Folder(path)
        return self._folders[path]

    def _follow(self, there: List[Place], known: List[Cursor]) -> Tuple[List[Cursor], Work]:
        follow = Follow(there, known, self._now, self._room.until)
        for place, own in follow.awaited:
            self._await(place, own)
        self._told += follow.trouble
        return follow.idle, follow.work

    def _await(self, place: Place, own: Optional[Cursor]) -> None:
        """Leave a file to the next look, for it is being rotated at this moment."""
        self._ground.doubt(os.path.dirname(os.path.realpath(place.path)))
        self._behind += max(1, place.found.st_size - (own.offset if own else 0))

    def _read_all(self, kept: List[Cursor], work: Work) -> List[Line]:
        lines: List[Line] = []
        self._backlog = sum(max(0, place.found.st_size - cursor.offset) for place, cursor in work)
        for place, cursor in sorted(work, key=lambda item: (item[0].found.st_mtime_ns, item[0].live)):
            read = self._read(place, cursor)
            kept.append(read.cursor if read else cursor)
            if read is None or read.torn:  # it changed since we looked at it: the next look sees what became of it
                self._await(place, kept[-1])
            if read is None:
                continue
            lines += read.lines
            if place.live:
                kept[:] = [followed(c, read.cursor) if c.copy and c.log == place.log else c for c in kept]
            if read.passed_over:
                self._passed_over.setdefault(place.path, []).extend(read.passed_over)
            if read.trouble:
                self._told.append(read.trouble)
            if not self._room.left:
                left = read.cursor.size - read.cursor.offset
                self._behind += int(not read.cursor.tried) if read.cursor.packed else max(0, left)
        return lines

    def _read(self, place: Place, cursor: Cursor) -> Optional[Reading]:
        with opened(place.path, self._room.until) as content:
            if content is None:
                return None
            shorter = not content.packed and os.fstat(content.descriptor).st_size < cursor.offset
            try:
                read = Reading(
                    place, content, cursor, self._finder, self._known, quiet=self._quiet, room=self._room, now=self._now
                )
                if not place.holds(content) or shorter or not read.continues:
                    return None
                return read.run()
            except Slow:
                return None

    def _finder(self) -> "Matcher":
        """Return what finds the lines; it is made when a block may hold some."""
        if self._matcher is None:
            from runbook.modules.logs.match import matcher

            due = self._room.left
            self._matcher = matcher(self._patterns, self._backlog)
            if due:  # making it may take long
                self._room.until = max(self._room.until, time.monotonic() + LEAST)
        return self._matcher

    def _put(
        self, pattern: str, kept: List[Cursor], rest: Dict[str, str], left: List[str], folders: Optional[Set[str]]
    ) -> None:
        shelf, apart = dict(rest), list(left)
        for cursor in kept:
            path = _path(cursor)
            if cursor.missing is not None or cursor.cut or path in shelf:
                apart.append(cursor.store())
            else:
                shelf[path] = cursor.store(path)
        self._shelves[pattern] = shelf
        if apart:
            self._apart[pattern] = apart
        self._nothing += [] if shelf else [pattern]
        if folders is not None:
            own = {os.path.dirname(cursor.path) for cursor in kept}
            folders = {*folders, *own, *map(os.path.dirname, shelf)}
        self._ground.stand(pattern, folders)


def _path(cursor: Cursor) -> str:
    """Return where to ask whether a file is still there: the log's own name, even where that is a link."""
    return cursor.log if cursor.path in (cursor.log, os.path.realpath(cursor.log)) else cursor.path


def _touched(shelf: Mapping[str, str]) -> Set[str]:
    """Return the files about which something has changed. All that an idle file costs is spent here."""
    found: Set[str] = set()
    question = os.stat
    for path, text in shelf.items():
        try:
            told = question(path)
        except OSError:
            found.add(path)
            continue
        if not text.startswith(f"{told.st_dev} {told.st_ino} {told.st_size} {told.st_mtime_ns} "):
            found.add(path)
    return found


def _bases(path: str) -> Iterator[str]:
    folder, name = os.path.split(path)
    return (os.path.join(folder, base) for base in bases(name))


def _loaded(shelf: Mapping[str, str], paths: Iterable[str]) -> Dict[str, Cursor]:
    return {path: Cursor.load(shelf[path], path) for path in paths}


def _shelf(before: Any, apart: List[str]) -> Tuple[Dict[str, str], List[str]]:
    """Return the cursors by where their files lie, and those apart; an older version kept all of them as a list."""
    if isinstance(before, dict):
        return before, apart
    cursors = [Cursor.load(kept) for kept in before]
    here = {_path(cursor): cursor for cursor in cursors if cursor.missing is None and not cursor.cut}
    others = [cursor.store() for cursor in cursors if not any(cursor is one for one in here.values())]
    return {path: cursor.store(path) for path, cursor in here.items()}, [*apart, *others]


def _identities(shelf: Mapping[str, str]) -> Iterator[Tuple[int, int]]:
    for text in shelf.values():
        device, inode, _ = text.lstrip("?").split(" ", 2)
        yield int(device), int(inode)
