"""Where a log is written: a stream, or a file that others may rotate away. What can't be written is counted."""

from __future__ import annotations

import contextlib
import os
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
        path: a file, which is opened anew when another one, or none, has its name: logrotate needs say nothing.

    Raises:
        UserError: the file can't be opened.
    """

    def __init__(self, stream: TextIO, path: str | None = None) -> None:
        self._stream = stream
        self._path = path
        self._lost = 0
        self._gone = False  # whoever read the stream went away
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
        self._follow(self._path)
        left = text.encode("utf-8", "backslashreplace")
        while left:
            left = left[os.write(self._file, left) :]

    def _follow(self, path: str) -> None:
        """Open the file anew, where it was moved or removed."""
        try:
            named, held = Path(path).stat(), os.fstat(self._file)
            same = (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)
        except FileNotFoundError:
            same = False
        if not same:
            with contextlib.suppress(UserError):  # the old one takes it until the new one can be opened
                fresh = self._open(path)
                os.close(self._file)
                self._file = fresh

    @staticmethod
    def _open(path: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY
        try:
            return os.open(path, flags, 0o640)
        except OSError as error:
            why = (error.strerror or str(error)).lower()[:_HEADROOM]
            mend = "Make its directory, and let this user write there"
            raise UserError(f"the log can't be written: {why}", where=path, mend=mend) from error
