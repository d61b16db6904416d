"""Where a report is written: when it can't be read any more, the recovery goes on all the same."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO


class Outlet:
    """A stream that may be closed at its other end (`| head`), or lie on a full disk."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._gone = False

    def write(self, text: str) -> None:
        """Write a text at once, as long as that works."""
        if self._gone:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError as error:
            self._gone = True
            self._discard()
            if not isinstance(error, BrokenPipeError):  # a reader that went away knows that it did
                _tell("stdout is closed" if error.errno == errno.EBADF else error.strerror or str(error))

    def _discard(self) -> None:
        """Let what is left in the stream's buffer go nowhere: Python flushes it once more when it ends."""
        with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123 -- a device
            os.dup2(nowhere.fileno(), self._stream.fileno())


def _tell(why: str) -> None:
    """Say once that the report is lost; the exit code and the journal still tell what the run came to."""
    with contextlib.suppress(OSError, ValueError):
        said = f"error: the output can't be written: {why}\n  the run goes on without it\n"
        sys.stderr.write(said)
