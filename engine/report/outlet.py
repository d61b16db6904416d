"""Where a report is written: when nobody reads it any more, the recovery goes on all the same."""

from __future__ import annotations

import contextlib
import os
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
        except OSError:
            self._gone = True
            self._discard()

    def _discard(self) -> None:
        """Let what is left in the stream's buffer go nowhere: Python flushes it once more when it ends."""
        with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123 -- a device
            os.dup2(nowhere.fileno(), self._stream.fileno())
