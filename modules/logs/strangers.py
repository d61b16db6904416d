"""Where to begin in files that lie where no cursor was: new logs, copies, packed ones, old ones put back."""

import os
from typing import List, Mapping, Optional, Sequence

from runbook.modules.frozen import frozen, replace
from runbook.modules.logs.content import Content, Slow, opened
from runbook.modules.logs.cursor import HEAD, SETTLED, Cursor, fingerprint
from runbook.modules.logs.rotation import Place, adopted, at_end, copied, fresh
from runbook.modules.logs.zstd import Lacking

SLACK = 600 * 10**9  # nanoseconds by which a file may be older than the newest that was seen, and still be news
UNFINISHED = 60.0  # seconds without a change after which nobody is packing a file any more


@frozen
class Begin:
    """A cursor to begin at."""

    cursor: Cursor
    read: bool = True  # false: it is at the end, as far as this look goes
    trouble: str = ""  # why something in it can't be read


class Strangers:
    """The files of some logs that are not where a cursor was."""

    def __init__(
        self,
        cut: List[Cursor],
        lost: List[Cursor],
        live: Mapping[str, Cursor],
        newest: int,
        *,
        doubtful: Sequence[Cursor],
        plain: Mapping[str, Sequence[Place]],
        now: float,
        until: float,
    ) -> None:
        self.lost = lost  # cursors whose files were not found
        self.cut = cut  # cursors whose bytes are no longer where they were: a copy may hold them
        self._live = live  # cursors of the logs that are as they were
        self._newest = newest  # the last change that was seen of any file: what is older holds nothing new
        self._doubtful = doubtful  # cursors whose files went away as they were looked at: any of these may be a copy
        self._plain = plain  # the files of each log that are not packed: one may be in the course of it
        self._now = now
        self._until = until
        self._resumed: List[Cursor] = []

    def begin(self, place: Place, copy: Optional[Cursor]) -> Optional[Begin]:
        """Return where to begin, or None where it can't be told before the next look.

        Args:
            place: the file.
            copy: the cursor in it, where it was a copy of the log when it was last looked at, or nothing was read of
                it. By now the inode may be another file's.
        """
        with opened(place.path, self._until) as content:
            if content is None or not place.holds(content):
                return None
            if content.packed:
                try:
                    return self._packed(place, content, copy)
                except Slow:
                    why = f"{place.path} takes too long to unpack: it is passed over"
                except Lacking as error:
                    why = f"{place.path}: {error}; it is passed over"
                return replace(_end(place, content), trouble=why)
            if place.live:
                remounted = [c for c in self.lost if c.log == place.log and c.device != place.found.st_dev]
                return self._resume(remounted, place, content) or Begin(fresh(place))
            resumed = self._resume([*self.cut, *self.lost], place, content)
            if resumed is not None:
                return resumed
            if any(cursor.offset and cursor.shares_head(content) for cursor in self._doubtful):
                return None
            if self._shorter(place, content):
                return _end(place, content)  # copied before its last lines were written, and these were read
            live = self._live.get(place.log)
            within = _within(live, place, content)
            if within is None:
                return None
            if within:
                return _copy(place, content, live or fresh(place))  # a log that is new, or was cut, is read in whole
            return self._other(place, content, copy)

    def _packed(self, place: Place, content: Content, copy: Optional[Cursor]) -> Optional[Begin]:
        """Begin in a packed file: the copy of one that is still there, or what is left of one that is not."""
        resumed = self._resume([*self.cut, *self.lost], place, content)
        if resumed is not None:
            return resumed
        for path in dict.fromkeys([*(other.path for other in self._plain.get(place.log, ())), _without(place.path)]):
            with opened(path) as whole:
                if whole is not None and copied(whole, content):
                    return Begin(replace(at_end(place, content), copy=True), read=False)
                if whole is None and any(other.path == path for other in self._plain.get(place.log, ())):
                    return None  # it is being rotated at this moment
        if self._shorter(place, content):
            written = self._now - place.found.st_mtime < UNFINISHED and not content.whole
            return None if written else _end(place, content)
        return self._other(place, content, copy)

    def _other(self, place: Place, content: Content, copy: Optional[Cursor]) -> Begin:
        if copy is not None and content.reaches(copy.offset) and copy.begins(content):
            cursor = replace(adopted(copy, place, content), tried=False)
        elif place.found.st_mtime_ns >= self._newest - SLACK:
            cursor = replace(fresh(place), packed=content.packed)
        else:
            return _end(place, content)
        if not cursor.offset:  # when it is opened again, its place and its inode may be another file's
            first = content.pread(HEAD, 0)
            cursor = replace(cursor, head=fingerprint(first), head_length=len(first))
        return Begin(cursor)

    def _resume(self, cursors: List[Cursor], place: Place, content: Content) -> Optional[Begin]:
        for cursor in cursors:
            if cursor.offset and not (content.packed and not cursor.shares_head(content)):
                if not content.reaches(cursor.offset) or not cursor.begins(content):
                    continue
                if any(cursor is resumed for resumed in self._resumed):
                    return _end(place, content)  # a second copy
                self._resumed.append(cursor)
                self.lost = [other for other in self.lost if other is not cursor]
                return Begin(adopted(cursor, place, content))
        return None

    def _shorter(self, place: Place, content: Content) -> bool:
        """Tell whether a file is a copy of less than what was read of a log before it was cut."""
        return any(
            cursor.log == place.log and cursor.shares_head(content) and not content.reaches(cursor.offset)
            for cursor in self.cut
        )

    def left(self) -> List[Cursor]:
        """Return the cursors that found no file, to be kept for a while."""
        cut = [replace(c, cut=True) for c in self.cut if not any(c is resumed for resumed in self._resumed)]
        return [*self.lost, *cut]


def _without(path: str) -> str:
    """Return the name of what was packed."""
    return path.rpartition(".")[0]


def _end(place: Place, content: Content) -> Begin:
    return Begin(at_end(place, content), read=False)


def _copy(place: Place, content: Content, live: Cursor) -> Begin:
    """Begin where the log itself was read to: it may be cut before the rest of it is read."""
    within = content.reaches(live.offset)
    cursor = adopted(live, place, content) if within else at_end(place, content)
    return Begin(replace(cursor, copy=True), read=False)


def followed(copy: Cursor, live: Cursor) -> Cursor:
    """Return where to begin in a copy when its log is cut, now that the log itself has been read further."""
    if copy.packed:
        return copy  # its log's own cursor says where to go on
    with opened(live.path) as whole, opened(copy.path) as part:
        if whole is None or part is None or not copied(whole, part) or not live.begins(whole):
            return copy  # cut already
        place = Place(copy.log, copy.path, os.fstat(part.descriptor))
        return _copy(place, part, live).cursor if place.found.st_ino == copy.inode else copy


def _within(live: Optional[Cursor], place: Place, content: Content) -> Optional[bool]:
    """Tell whether a log holds all of a file; None where the log is being rotated at this moment."""
    with opened(place.log) as whole:
        if whole is None:
            return None if live else False
        if copied(whole, content) and (live is not None or not _older(content, whole)):
            return True
        unchanged = live is None or (whole.reaches(live.offset) and live.begins(whole))
        return False if unchanged else None


def _older(content: Content, whole: Content) -> bool:
    """Tell whether a file was left alone before a log was last written: then a server died of the same words twice."""
    was, written = (os.fstat(one.descriptor).st_mtime_ns for one in (content, whole))
    return was < written - SETTLED * 10**9
