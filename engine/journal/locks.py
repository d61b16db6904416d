"""Who is alive: bytes of the file beside the journal, locked by the kernel for as long as their holders live.

The locks belong to an open file and not to a process (open file description locks), so that several runs of one
process keep each other out as well, and SQLite's own are not touched.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from typing import TYPE_CHECKING, Final, Self

from runbook.engine.errors import JournalUnusable

if TYPE_CHECKING:
    from types import TracebackType

_FLOCK: Final = "hhqqi4x"  # struct flock of 64-bit Linux: type, whence, start, length, pid


class Locks:
    """What one run holds beside the journal, and what it asks about others. The kernel gives it back, even at kill -9.

    Args:
        journal: the journal's file.
        asks_only: nothing is made, and nothing can be taken.

    Raises:
        JournalUnusable: the file can't be made.
    """

    def __init__(self, journal: str, *, asks_only: bool = False) -> None:
        self._where = journal
        self._file: int | None = None  # none: nobody ever held anything
        self._hidden = False  # there is a file, and whoever only asks may not read it
        how = os.O_RDONLY if asks_only else os.O_RDWR | os.O_CREAT
        try:
            self._file = os.open(f"{journal}.lock", how | os.O_CLOEXEC, 0o600)
        except OSError as error:
            self._hidden = not isinstance(error, FileNotFoundError)
            if not asks_only:
                reason = f"its lock can't be made: {(error.strerror or '').lower()}"
                mend = "Make its directory writable for this user"
                raise JournalUnusable(reason, where=journal, mend=mend) from error

    def take(self, name: str) -> bool:
        """Hold a name until `close`; tell whether nobody else holds it."""
        try:
            self._control(fcntl.F_OFD_SETLK, name)
        except (BlockingIOError, PermissionError):  # EAGAIN, or EACCES where a system says so
            return False
        return True

    def give(self, name: str) -> None:
        """Give a name back."""
        self._control(fcntl.F_OFD_SETLK, name, fcntl.F_UNLCK)

    def held(self, name: str) -> bool:
        """Tell whether somebody else who lives holds a name; where nobody may ask, somebody does."""
        if self._file is None:
            return self._hidden
        answer = self._control(fcntl.F_OFD_GETLK, name)
        kind: int = struct.unpack(_FLOCK, answer)[0]
        return kind != fcntl.F_UNLCK

    def close(self) -> None:
        """Give everything back."""
        if self._file is not None:
            os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _control(self, command: int, name: str, kind: int = fcntl.F_WRLCK) -> bytes:
        place = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:6], "big")
        wanted = struct.pack(_FLOCK, kind, os.SEEK_SET, place, 1, 0)
        if self._file is None:
            raise JournalUnusable("nothing can be held by who only asks", where=self._where)
        try:
            return fcntl.fcntl(self._file, command, wanted)
        except OSError as error:
            if isinstance(error, BlockingIOError | PermissionError):
                raise
            raise JournalUnusable(f"its lock failed: {error.strerror}", where=self._where) from error
