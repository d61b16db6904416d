"""SQLite's and the system's errors in the words of the person who has to mend them."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runbook.engine.errors import JournalUnusable

if TYPE_CHECKING:
    from collections.abc import Iterator

ELSEWHERE = "name another place with --journal PATH or RUNBOOK_JOURNAL=PATH"
_LOW = 64 * 1024  # bytes: SQLite calls a full disk an I/O error where it could not extend its shared memory


@contextmanager
def told(path: str) -> Iterator[None]:
    """Let every sqlite3.Error and OSError out as JournalUnusable."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise explain(error, path) from error


def explain(error: sqlite3.Error | OSError, path: str) -> JournalUnusable:
    """Say what is wrong with the journal at `path`, and how to mend it."""
    what, mend = _system(error, path) if isinstance(error, OSError) else _database(error, path)
    return JournalUnusable(what, where=path, mend=mend[:1].upper() + mend[1:])


def busy(error: sqlite3.Error) -> bool:
    """Tell whether another process held the journal for longer than we wait."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _system(error: OSError, path: str) -> tuple[str, str]:
    reason = (error.strerror or str(error)).lower()
    return (
        f"the journal can't be opened or made: {reason}",
        f"make {os.path.dirname(path)} writable for this user, or {ELSEWHERE}",
    )


def _database(error: sqlite3.Error, path: str) -> tuple[str, str]:
    code = _code(error)
    folder = os.path.dirname(path)
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _full(path)):
        return (
            "the disk under the journal is full",
            f"free some space there (df {folder}), or {ELSEWHERE}",
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "another process holds the journal", f"see which one with `fuser {path}` and run again when it has ended"
    if code == sqlite3.SQLITE_NOTADB:
        return "the journal is not a journal: another file has its name", f"move it away, or {ELSEWHERE}"
    if code == sqlite3.SQLITE_CORRUPT:
        return (
            "the journal is damaged",
            f"move it away (mv {path} {path}.damaged) so that the next run begins a new one, or {ELSEWHERE}",
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return (
            "the journal can't be opened" if code == sqlite3.SQLITE_CANTOPEN else "the journal is read-only",
            f"make {os.path.basename(path)} and its directory {folder} writable for this user, or {ELSEWHERE}",
        )
    return (
        f"the journal failed: {error}",
        f"look at the disk it lies on (dmesg, df {folder}), or {ELSEWHERE}",
    )


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _full(path: str) -> bool:
    try:
        room = os.statvfs(os.path.dirname(path))
    except OSError:
        return False
    return room.f_bavail * room.f_frsize < _LOW
