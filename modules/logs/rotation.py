"""Which files hold what is new of a log: itself, and what rotation made of it.

A file is known again by its inode and by its first and last bytes that were read, wherever it was renamed to. Where
a log was copied and cut (copytruncate), the copy is known by its bytes.
"""

import bisect
import os
import re
import stat
from functools import cached_property
from typing import Dict, Iterator, List, Optional, Sequence

from runbook.modules.declare import Unclear
from runbook.modules.frozen import frozen, replace
from runbook.modules.logs.content import Content, packed
from runbook.modules.logs.cursor import HEAD, TAIL, Cursor, fingerprint

LONGEST = 64 * 1024  # bytes of a line that are given to the patterns; the rest of it is passed over

COMPARED = 1024 * 1024  # bytes of a packed file that are compared with one that it may be a copy of

_NUMBERED = r"(?P<base>.+?)(?:[.\-_]\d[\d.\-_:TZ]*|\.old|\.prev)"
_BEFORE_SUFFIX = r"(?P<base>.+?)(?:\.\d{1,3}|[.\-_]\d{4}-?\d\d-?\d\d[\d.\-_:TZ]*)(?P<suffix>\.[A-Za-z]\w*)"


@frozen
class Place:
    """A file that may hold lines of a log."""

    log: str  # the log that it is, or was
    path: str
    found: os.stat_result

    @property
    def live(self) -> bool:
        """It is the log itself."""
        return self.path == self.log

    @property
    def packed(self) -> bool:
        """It is packed, by its name."""
        return packed(self.path)

    def holds(self, content: Content) -> bool:
        """Tell whether an open file is the one that was found here, and not one that took its place since."""
        found = os.fstat(content.descriptor)
        return (found.st_dev, found.st_ino) == (self.found.st_dev, self.found.st_ino)


def bases(name: str) -> Iterator[str]:
    """Yield the names of logs that a file could be a rotated one of."""
    if packed(name):
        name = name.rpartition(".")[0]
        yield name
    if not name[-1:].isdigit() and not name.endswith((".old", ".prev")) and not any(map(str.isdigit, name)):
        return  # most names, and these questions are dear
    numbered = re.fullmatch(_NUMBERED, name)
    if numbered is not None:
        yield numbered["base"]
    before = re.fullmatch(_BEFORE_SUFFIX, name)
    if before is not None:
        yield before["base"] + before["suffix"]


class Folder:
    """The names in a directory, read once and only when asked for."""

    def __init__(self, path: str) -> None:
        self.path = path

    @cached_property
    def inodes(self) -> Dict[int, str]:
        """The names by inode."""
        try:
            with os.scandir(self.path) as entries:
                return {entry.inode(): entry.name for entry in entries}
        except OSError:
            return {}  # not there, or not ours to read: a known path may still be

    @cached_property
    def names(self) -> List[str]:
        """The names, sorted."""
        return sorted(self.inodes.values())

    def rotated(self, name: str) -> Iterator[str]:
        """Yield the paths of what rotation made of a log of this name."""
        stem = name.rpartition(".")[0] or name
        for place in range(bisect.bisect_left(self.names, stem), len(self.names)):
            if not self.names[place].startswith(stem):
                break
            if name in bases(self.names[place]):
                yield os.path.join(self.path, self.names[place])


def places(log: str, known: Sequence[Cursor], folder: Folder, *, search: bool) -> Iterator[Place]:
    """Yield the files that hold, or may hold, lines of a log; the log itself comes first.

    Args:
        log: the log's path.
        known: the cursors in files of its rotation set.
        folder: the directory in which it really lies.
        search: look for rotated files too, not only where they were.
    """
    found = {path: regular(path) for path in (log, *(cursor.path for cursor in known))}
    inodes = {result.st_ino for result in found.values() if result is not None}
    lost = [cursor for cursor in known if cursor.inode not in inodes]
    if search or lost:
        moved = [folder.inodes[cursor.inode] for cursor in lost if cursor.inode in folder.inodes]
        rotated = folder.rotated(os.path.basename(os.path.realpath(log)))
        for path in (*rotated, *(os.path.join(folder.path, name) for name in moved)):
            if path not in found:
                found[path] = regular(path)
    for path, result in found.items():
        if result is not None:
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


def adopted(cursor: Cursor, place: Place, content: Optional[Content] = None) -> Cursor:
    """Return the cursor as one in another file of the same content."""
    path, device, inode = os.path.realpath(place.path), place.found.st_dev, place.found.st_ino
    same = (device, inode) == (cursor.device, cursor.inode)
    return replace(
        cursor,
        log=place.log,
        path=path,
        device=device,
        inode=inode,
        size=cursor.size if same else 0,  # another file has another past
        missing=None,
        cut=False,
        copy=False,
        packed=cursor.packed if content is None else content.packed,
    )


def fresh(place: Place) -> Cursor:
    """Return a cursor before the first line; lines are counted from the beginning where that can't be made up for."""
    wrapped = packed(place.path)
    path, lines = os.path.realpath(place.path), 0 if wrapped else None
    return Cursor(place.log, path, place.found.st_dev, place.found.st_ino, lines=lines, packed=wrapped)


def at_end(place: Place, content: Content) -> Cursor:
    """Return a cursor behind the last whole line; the unfinished one behind it counts when it is finished.

    Of a packed file the end is not looked for: it is done with as it is.
    """
    found = os.fstat(content.descriptor)
    begin = max(0, found.st_size - LONGEST)
    end = b"" if content.packed else content.pread(LONGEST, begin)
    offset = 0 if content.packed else begin + max(end.rfind(b"\n"), end.rfind(b"\r")) + 1
    return placed(place, content, offset, size=found.st_size if content.packed else begin + len(end))


def placed(place: Place, content: Content, offset: int, size: int) -> Cursor:
    """Return a cursor at the beginning of a line."""
    found = os.fstat(content.descriptor)
    head = content.pread(min(HEAD, offset), 0)
    tail = content.pread(min(TAIL, offset), max(0, offset - TAIL))
    return replace(
        fresh(place),
        device=found.st_dev,
        inode=found.st_ino,
        offset=offset,
        lines=None if offset else 0,
        head=fingerprint(head),
        head_length=len(head),
        tail=fingerprint(tail),
        size=size,
        changed=found.st_mtime_ns,
        tried=True,
        packed=content.packed,
    )


def copied(whole: Content, part: Content) -> bool:
    """Tell whether the second open file is a copy of the first, perhaps not yet of all of it, or of anything."""
    if part.packed:
        return _unpacks(whole, part)
    size = os.fstat(part.descriptor).st_size
    if size > os.fstat(whole.descriptor).st_size:
        return False
    spots = (0, size // 2, max(0, size - TAIL))
    return all(whole.pread(min(TAIL, size - at), at) == part.pread(min(TAIL, size - at), at) for at in spots)


def _unpacks(whole: Content, part: Content) -> bool:
    """Tell whether the second open file is, as far as is looked at, a packed copy of the first."""
    if whole.packed:
        return False
    for at in range(0, COMPARED, LONGEST):
        block = part.pread(LONGEST, at)
        if whole.pread(len(block), at) != block:
            return False
        if len(block) < LONGEST:
            break
    return True
