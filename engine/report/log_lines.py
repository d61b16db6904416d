"""Where a log is written: a stream, or a file that others may rotate away. What can't be written is counted."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from typing import TextIO

_HEADROOM: Final = 200  # characters of an error that are told


class LogLines:
    """Writes lines, each whole, and goes on when the disk is full.

    Args:
        stream: where they go without a file.
        path: a file, which is opened anew when another one, or none, has its name: logrotate needs say nothing. A link
            or a FIFO is refused, and where one takes the file's place the lines go on where they went.

    Raises:
        UserError: the file can't be opened, or is no regular file.
    """

    def __init__(self, stream: TextIO, path: str | None = None) -> None:
        self._stream = stream
        self._path = path
        self._lost = 0
        self._gone = False  # whoever read the stream went away
        self._refused = ""  # why the file is not opened anew, as it was told last
        self._file = -1 if path is None else self._open(path)

    def write(self, line: str) -> None:
        """Write a line, without its newline."""
        if self._gone:
            return
        lost = f"{self._lost} lines of this log were lost: they could not be written\n" if self._lost else ""
        try:
            self._put(f"{lost}{line}\n")
        except BrokenPipeError:
            self._gone = True
        except OSError:
            self._lost += 1
        else:
            self._lost = 0

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _put(self, text: str) -> None:
        if self._path is None:
            self._stream.write(text)
            self._stream.flush()
            return
        left = (self._follow(self._path) + text).encode("utf-8", "backslashreplace")
        while left:
            left = left[os.write(self._file, left) :]

    def _follow(self, path: str) -> str:
        """Open the file anew, where it was moved or removed; return what is to be said of that."""
        try:
            named, held = Path(path).lstat(), os.fstat(self._file)
            same = (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)
        except FileNotFoundError:
            same = False
        why = ""
        if not same:
            try:
                fresh = self._open(path)
            except UserError as error:  # the old one takes it until the new one can be opened
                why = f"{path} is another file now, which is not written in: {error.what}\n"
            else:
                os.close(self._file)
                self._file = fresh
        said, self._refused = why if why != self._refused else "", why
        return said

    @staticmethod
    def _open(path: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY
        mend = "Make its directory, and let this user write there"
        try:
            opened = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o640)
            if stat.S_ISREG(os.fstat(opened).st_mode):
                return opened
            os.close(opened)
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.ENXIO, errno.EISDIR}:
                why = (error.strerror or str(error)).lower()[:_HEADROOM]
                raise UserError(f"the log can't be written: {why}", where=path, mend=mend) from error
        mend = "Name a file: no link, FIFO, directory or device"
        raise UserError("the log can't be written: it is no regular file", where=path, mend=mend)
