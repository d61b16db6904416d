"""Where to begin in files that lie where no cursor was: new logs, copies of old ones, old ones put back."""

import os
from dataclasses import replace
from typing import List, Mapping, Optional

from runbook.modules.frozen import frozen
from runbook.modules.logs.cursor import Cursor
from runbook.modules.logs.rotation import Place, adopted, at_end, copied, fresh, opened

SLACK = 600 * 10**9  # nanoseconds by which a file may be older than the newest that was seen, and still be news


@frozen
class Begin:
    """A cursor to begin at."""

    cursor: Cursor
    read: bool = True  # false: it is at the end, as far as this look goes


class Strangers:
    """The files of some logs that are not where a cursor was."""

    def __init__(self, cut: List[Cursor], lost: List[Cursor], live: Mapping[str, Cursor], newest: int) -> None:
        self.lost = lost  # cursors whose files were not found
        self.cut = cut  # cursors whose bytes are no longer where they were: a copy may hold them
        self._live = live  # cursors of the logs that are as they were
        self._newest = newest  # the last change that was seen of any file: what is older holds nothing new
        self._resumed: List[Cursor] = []

    def begin(self, place: Place, copy: Optional[Cursor]) -> Optional[Begin]:
        """Return where to begin, or None where it can't be told before the next look.

        Args:
            place: the file.
            copy: the cursor in it, where it was a copy of the log when it was last looked at.
        """
        with opened(place.path) as descriptor:
            if descriptor is None or not place.holds(descriptor):
                return None
            if place.live:
                remounted = [c for c in self.lost if c.log == place.log and c.device != place.found.st_dev]
                return self._resume(remounted, place, descriptor) or Begin(fresh(place))
            resumed = self._resume([*self.cut, *self.lost], place, descriptor)
            if resumed is not None:
                return resumed
            if any(_shorter(place, descriptor, cursor) for cursor in self.cut):
                return _end(place, descriptor)  # copied before its last lines were written, and these were read
            live = self._live.get(place.log)
            if live is not None or any(cursor.log == place.log for cursor in self.cut):
                within = _within(live, place.log, descriptor)
                if within is None:
                    return None
                if within:
                    return _copy(place, descriptor, live or fresh(place))  # a log that was cut is read anew
            if copy:
                return Begin(replace(adopted(copy, place), tried=False))
            new = place.found.st_mtime_ns >= self._newest - SLACK
            return Begin(fresh(place)) if new else _end(place, descriptor)

    def _resume(self, cursors: List[Cursor], place: Place, descriptor: int) -> Optional[Begin]:
        for cursor in cursors:
            if cursor.offset and _reaches(descriptor, cursor) and cursor.begins(descriptor):
                if any(cursor is resumed for resumed in self._resumed):
                    return _end(place, descriptor)  # a second copy
                self._resumed.append(cursor)
                self.lost = [other for other in self.lost if other is not cursor]
                return Begin(adopted(cursor, place))
        return None

    def left(self) -> List[Cursor]:
        """Return the cursors that found no file, to be kept for a while."""
        cut = [replace(c, cut=True) for c in self.cut if not any(c is resumed for resumed in self._resumed)]
        return [*self.lost, *cut]


def _reaches(descriptor: int, cursor: Cursor) -> bool:
    """Tell whether an open file holds as much as was read.

    Its size is asked for anew: a copy that was being made when it was found is whole by the time its log is cut.
    """
    return os.fstat(descriptor).st_size >= cursor.offset


def _shorter(place: Place, descriptor: int, cursor: Cursor) -> bool:
    """Tell whether a file is a copy of less than what was read of a log before it was cut."""
    return cursor.log == place.log and not _reaches(descriptor, cursor) and cursor.shares_head(descriptor)


def _end(place: Place, descriptor: int) -> Begin:
    return Begin(at_end(place, descriptor), read=False)


def _copy(place: Place, descriptor: int, live: Cursor) -> Begin:
    """Begin where the log itself was read to: it may be cut before the rest of it is read."""
    within = _reaches(descriptor, live)
    cursor = adopted(live, place) if within else at_end(place, descriptor)
    return Begin(replace(cursor, copy=True), read=False)


def followed(copy: Cursor, live: Cursor) -> Cursor:
    """Return where to begin in a copy when its log is cut, now that the log itself has been read further."""
    with opened(live.path) as whole, opened(copy.path) as part:
        if whole is None or part is None or not copied(whole, part) or not live.begins(whole):
            return copy  # cut already
        place = Place(copy.log, copy.path, os.fstat(part))
        return _copy(place, part, live).cursor if place.found.st_ino == copy.inode else copy


def _within(live: Optional[Cursor], log: str, descriptor: int) -> Optional[bool]:
    """Tell whether a log holds all of a file; None where the log is being rotated at this moment."""
    with opened(log) as whole:
        if whole is None:
            return None if live else False
        if copied(whole, descriptor):
            return True
        unchanged = live is None or (_reaches(whole, live) and live.begins(whole))
        return False if unchanged else None
