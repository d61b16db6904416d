"""The database file: connections to it for writing and for reading, and the bringing of its tables to this version."""

from __future__ import annotations

import os
import sqlite3
import time

from runbook.engine.errors import JournalUnusable
from runbook.engine.journal import faults, schema


def empty(place: str) -> sqlite3.Connection:
    """Return an empty journal in memory, for questions about one that is not there."""
    return _migrated(_connect(":memory:", 0), place)


def to_write(place: str, patience: float) -> sqlite3.Connection:
    """Open the file for writing, with its tables made or migrated."""
    connection = _connect(place, patience)
    try:
        _refuse_foreign(connection, place)
        if _version(connection) < len(schema.MIGRATIONS):
            _write_ahead(connection, patience)
            _migrated(connection, place)
        connection.execute("PRAGMA synchronous = FULL")
        _refuse_read_only(place)
    except BaseException:
        connection.close()
        raise
    return connection


def to_read(place: str, patience: float) -> sqlite3.Connection:
    """Open the file for reading; nothing is made, migrated or written."""
    address = f"file://{_escaped(place)}?mode=ro"
    connection = _connect(address, patience)
    try:
        try:
            _refuse_foreign(connection, place)
        except sqlite3.OperationalError as error:
            if faults.busy(error):
                raise
            # Where nothing can be written, or the disk is full, there is no shared memory to read a log with.
            connection.close()
            connection = _copied(place, patience) if _logged(place) else _connect(f"{address}&immutable=1", patience)
            _refuse_foreign(connection, place)
        version = _version(connection)
        _refuse_older(version, place)
    except BaseException:
        connection.close()
        raise
    if version == 0:  # made by a run that was killed at once
        connection.close()
        return empty(place)
    return connection


def _logged(place: str) -> bool:
    """Tell whether a run that was killed left something in the log; without it, the file alone is it all."""
    try:
        return os.stat(f"{place}-wal").st_size > 0
    except OSError:
        return False


def _escaped(place: str) -> str:
    """Return a path as SQLite takes it in an address."""
    return place.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _copied(place: str, patience: float) -> sqlite3.Connection:
    """Open a copy of the file and its log; nobody writes to them, or there would be shared memory."""
    import shutil
    import tempfile  # costs a tenth of a start-up, and is not needed on most

    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 -- any disk but the full one
    with tempfile.TemporaryDirectory(prefix="runbook-", dir=memory) as folder:
        copy = f"{folder}/journal.db"
        shutil.copyfile(place, copy)
        shutil.copyfile(f"{place}-wal", f"{copy}-wal")
        connection = _connect(copy, patience)
        try:
            _version(connection)  # opens all its files, so that their names may go
            connection.execute("PRAGMA query_only = ON")
        except BaseException:
            connection.close()
            raise
        return connection


def _connect(database: str, patience: float) -> sqlite3.Connection:
    return sqlite3.connect(
        database, uri=database.startswith("file:"), timeout=patience, isolation_level=None, check_same_thread=False
    )


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _named(connection: sqlite3.Connection) -> bool:
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    return application == schema.APPLICATION


def _refuse_foreign(connection: sqlite3.Connection, place: str) -> None:
    """Raise where the file is not ours, or newer than we are."""
    strange = not _named(connection) and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if strange and not _named(connection):  # else it was made between the two questions
        raise JournalUnusable(
            "the file is a database of another program, not a journal",
            where=place,
            mend=faults.ELSEWHERE[:1].upper() + faults.ELSEWHERE[1:],
        )
    if (version := _version(connection)) > len(schema.MIGRATIONS):
        raise JournalUnusable(
            f"the journal was written by a newer runbook (schema {version}, this one knows {len(schema.MIGRATIONS)})",
            where=place,
            mend=f"Upgrade runbook on this machine, or {faults.ELSEWHERE}",
        )


def _refuse_older(version: int, place: str) -> None:
    if 0 < version < len(schema.MIGRATIONS):
        raise JournalUnusable(
            "the journal was written by an older runbook",
            where=place,
            mend="Run `runbook apply` once: it brings the journal up to this version",
        )


def _refuse_read_only(place: str) -> None:
    if not os.access(place, os.W_OK):
        raise JournalUnusable(
            "the journal is read-only",
            where=place,
            mend=f"Make it writable for this user, or {faults.ELSEWHERE}",
        )


def _write_ahead(connection: sqlite3.Connection, patience: float) -> None:
    """Switch to the write-ahead log; SQLite does not wait by itself when two processes do so at once."""
    until = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not faults.busy(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _migrated(connection: sqlite3.Connection, place: str) -> sqlite3.Connection:
    """Bring the tables up to this version, in one transaction; another process may have done so meanwhile."""
    connection.execute("BEGIN EXCLUSIVE")
    try:
        _refuse_foreign(connection, place)
        for script in schema.MIGRATIONS[_version(connection) :]:
            for statement in schema.statements(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION}")
        connection.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS)}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return connection
