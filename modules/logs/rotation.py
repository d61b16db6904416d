"""Which files hold what is new of a log: itself, and what rotation made of it.

A file is known again by its inode and by its first and last bytes that were read, wherever it was renamed to. Where
a log was copied and cut (copytruncate), the copy is known by its bytes.
"""

import bisect
import os
import re
import stat
from dataclasses import dataclass, replace
from typing import Dict, Iterable, Iterator, List, Optional, Tuple

from runbook.modules.declare import Unclear
from runbook.modules.logs.cursor import TAIL, Cursor

MISSED = 7 * 86400.0  # seconds for which a file that can't be found is remembered: its disk may come back
MISSED_MOST = 200

_NUMBERED = re.compile(r"(?P<base>.+?)(?:[.\-_]\d[\d.\-_:TZ]*|\.old|\.prev)")
_BEFORE_SUFFIX = re.compile(r"(?P<base>.+?)(?:\.\d{1,3}|[.\-_]\d{4}-?\d\d-?\d\d[\d.\-_:TZ]*)(?P<suffix>\.[A-Za-z]\w*)")


@dataclass(frozen=True)
class Place:
    """A file that may hold lines of a log."""

    log: str  # the log that it is, or was
    path: str
    found: os.stat_result

    @property
    def live(self) -> bool:
        """It is the log itself."""
        return self.path == self.log


def bases(name: str) -> Iterator[str]:
    """Yield the names of logs that a file could be a rotated one of."""
    numbered = _NUMBERED.fullmatch(name)
    if numbered is not None:
        yield numbered["base"]
    before = _BEFORE_SUFFIX.fullmatch(name)
    if before is not None:
        yield before["base"] + before["suffix"]


class Folder:
    """The names in a directory, read once."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.names: List[str] = []
        self.inodes: Dict[int, str] = {}
        try:
            self.changed = os.stat(path).st_mtime_ns
            with os.scandir(path) as entries:
                for entry in entries:
                    self.names.append(entry.name)
                    self.inodes[entry.inode()] = entry.name
        except OSError:
            self.changed = 0  # not there, or not ours to read: a known path may still be
        self.names.sort()

    def rotated(self, name: str) -> Iterator[str]:
        """Yield the paths of what rotation made of a log of this name."""
        stem = name.rpartition(".")[0] or name
        for place in range(bisect.bisect_left(self.names, stem), len(self.names)):
            if not self.names[place].startswith(stem):
                break
            if name in bases(self.names[place]):
                yield os.path.join(self.path, self.names[place])


def places(log: str, known: Iterable[Cursor], folder: Folder, *, search: bool) -> Iterator[Place]:
    """Yield the files that hold, or may hold, lines of a log.

    Args:
        log: the log's path.
        known: the cursors in files of its rotation set.
        folder: the directory in which it really lies.
        search: look for rotated files too, not only where they were.
    """
    wanted = {log: None, **{cursor.path: None for cursor in known}}
    found = {path: result for path in wanted for result in [regular(path)] if result is not None}
    inodes = {result.st_ino for result in found.values()}
    lost = [cursor for cursor in known if cursor.inode not in inodes]
    if search or lost:
        names = [folder.inodes[cursor.inode] for cursor in lost if cursor.inode in folder.inodes]
        for path in [*folder.rotated(os.path.basename(os.path.realpath(log))), *(os.path.join(folder.path, n) for n in names)]:
            if path not in found and os.path.realpath(log) != path:
                result = regular(path)
                if result is not None:
                    found[path] = result
    for path, result in found.items():
        yield Place(log, path, result)


def regular(path: str) -> Optional[os.stat_result]:
    """Return what is known of a regular file; None where there is none."""
    try:
        result = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Unclear(f"{path} can't be looked at: {error.strerror}") from error
    return result if stat.S_ISREG(result.st_mode) else None


def opened(path: str) -> int:
    """Open a file for reading; it does not wait, whatever the path has become meanwhile.

    Raises:
        FileNotFoundError: it is gone.
        Unclear: it can't be read.
    """
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unclear(f"{path} can't be read: {error.strerror}") from error


def adopted(cursor: Cursor, place: Place) -> Cursor:
    """Return the cursor as one in another file of the same content."""
    found = place.found
    return replace(cursor, log=place.log, path=place.path, device=found.st_dev, inode=found.st_ino, missing=None)


def fresh(place: Place) -> Cursor:
    """Return a cursor before the first line."""
    return Cursor(place.log, place.path, place.found.st_dev, place.found.st_ino)


def copied(whole: int, part: int) -> bool:
    """Tell whether the second open file is a copy of the first, perhaps not of all of it."""
    size = os.fstat(part).st_size
    if not size or size > os.fstat(whole).st_size:
        return False
    spots: List[Tuple[int, int]] = [(min(TAIL, size), 0), (min(TAIL, size), size // 2), (min(TAIL, size), max(0, size - TAIL))]
    return all(os.pread(whole, length, at)[: size - at] == os.pread(part, length, at) for length, at in spots)
