"""When directories were last changed, so that an undo leaves their times as they were.

What a step changes in a directory, the kernel dates by itself. So that an undo can tell our own change from one that
somebody made since, the step dates the directory anew, by a time that its undo knows.
"""

import contextlib
import os
import time
from typing import Any, Dict, List, Mapping

_MICROSECOND = 1000  # nanoseconds; finer than any file system keeps that a config lies on is of no use


def noted(*directories: int) -> List[Dict[str, Any]]:
    """Return what an undo is to know of directories that are about to be changed."""
    found = []
    for number, directory in enumerate(directories):
        seen = os.fstat(directory)
        left = (time.time_ns() // _MICROSECOND + number) * _MICROSECOND
        found.append({"inode": seen.st_ino, "changed": seen.st_mtime_ns, "left": left})
    return found


def date(notes: List[Dict[str, Any]], *directories: int) -> None:
    """Date the directories that were changed, as was noted."""
    for note, directory in zip(notes, directories):
        _set(directory, note["left"])


def untouched(undo: Mapping[str, Any], *directories: int) -> List[Mapping[str, Any]]:
    """Return the notes of those directories in which nobody changed anything since; to be asked before an undo."""
    notes = []
    for note, directory in zip(undo.get("folders", ()), directories):
        seen = os.fstat(directory)
        if (seen.st_ino, seen.st_mtime_ns) == (note["inode"], note["left"]):
            notes.append(note)
    return notes


def give_back(notes: List[Mapping[str, Any]], *directories: int) -> None:
    """Give directories the times that they had before the step."""
    times = {note["inode"]: note["changed"] for note in notes}
    for directory in directories:
        inode = os.fstat(directory).st_ino
        if inode in times:
            _set(directory, times[inode])


def _set(directory: int, changed: int) -> None:
    with contextlib.suppress(PermissionError):  # somebody else's directory keeps the kernel's date
        os.utime(f"/proc/self/fd/{directory}", ns=(os.fstat(directory).st_atime_ns, changed))
