"""The journal's tables: one script for each version of the schema, applied in order, never changed once released.

`events` is the truth and append-only. `incidents`, `holds`, `cursors` and `pools` are what the next pass goes on from;
`intents` says what was sent to a host and what became of it, `leases` who recovers what, `watches` who watches;
`approvals`, `acks`, `maintenance` and `resets` are people's words, and `crashes` what scans found in logs.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

APPLICATION: Final = 0x52424B4A  # RBKJ, in the file's header: tells a journal from another program's database

MIGRATIONS: Final = (
    """
    CREATE TABLE runs (
        id TEXT PRIMARY KEY, runbook TEXT NOT NULL, file TEXT NOT NULL, digest TEXT NOT NULL, command TEXT NOT NULL,
        started REAL NOT NULL, started_by TEXT NOT NULL, ended REAL, exit_code INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX runs_by_time ON runs (started);

    CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, kind TEXT NOT NULL,
        run TEXT NOT NULL, runbook TEXT NOT NULL, host TEXT NOT NULL, detector TEXT NOT NULL, subject TEXT NOT NULL,
        incident TEXT NOT NULL, operation TEXT NOT NULL, step TEXT NOT NULL,
        module TEXT, status TEXT, duration REAL, since REAL,
        data TEXT NOT NULL
    ) STRICT;
    CREATE INDEX events_by_kind ON events (kind, at);
    CREATE INDEX events_by_host ON events (runbook, host, kind, at);
    CREATE INDEX events_by_run ON events (run, kind);
    CREATE INDEX events_by_incident ON events (incident, seq) WHERE incident <> '';
    CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT raise(ABORT, 'events are append-only'); END;
    CREATE TRIGGER events_remain BEFORE DELETE ON events BEGIN SELECT raise(ABORT, 'events are append-only'); END;

    CREATE TABLE incidents (
        id TEXT PRIMARY KEY, runbook TEXT NOT NULL, detector TEXT NOT NULL, host TEXT NOT NULL, subject TEXT NOT NULL,
        state TEXT NOT NULL, severity TEXT NOT NULL, opened REAL NOT NULL, updated REAL NOT NULL, closed REAL,
        data TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX incidents_open ON incidents (runbook, host) WHERE closed IS NULL;
    CREATE INDEX incidents_by_time ON incidents (opened);

    CREATE TABLE holds (
        runbook TEXT NOT NULL, host TEXT NOT NULL, detector TEXT NOT NULL, subject TEXT NOT NULL,
        since REAL NOT NULL, seen REAL NOT NULL, data TEXT NOT NULL,
        PRIMARY KEY (runbook, host, detector, subject)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE cursors (
        runbook TEXT NOT NULL, host TEXT NOT NULL, detector TEXT NOT NULL, state TEXT NOT NULL,
        PRIMARY KEY (runbook, host, detector)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE intents (
        id TEXT PRIMARY KEY, run TEXT NOT NULL, runbook TEXT NOT NULL, host TEXT NOT NULL, subject TEXT NOT NULL,
        incident TEXT NOT NULL, operation TEXT NOT NULL, module TEXT NOT NULL, title TEXT NOT NULL,
        params TEXT NOT NULL, at REAL NOT NULL, epoch INTEGER NOT NULL,
        ended REAL, outcome TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX intents_open ON intents (runbook, host) WHERE ended IS NULL;
    """,
    """
    CREATE TABLE crashes (
        id INTEGER PRIMARY KEY, signature TEXT NOT NULL, variant TEXT NOT NULL, host TEXT NOT NULL,
        severity TEXT NOT NULL, title TEXT NOT NULL, first REAL NOT NULL, last REAL NOT NULL, timed INTEGER NOT NULL,
        line TEXT NOT NULL, kept REAL NOT NULL
    ) STRICT;
    CREATE INDEX crashes_by_signature ON crashes (signature, variant, first);

    CREATE TABLE crash_files (
        crash INTEGER NOT NULL REFERENCES crashes (id), path TEXT NOT NULL, file TEXT NOT NULL, mark TEXT NOT NULL,
        line_no INTEGER, count INTEGER NOT NULL,
        PRIMARY KEY (crash, path)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX crash_files_by_mark ON crash_files (mark);
    """,
    """
    CREATE INDEX incidents_ended ON incidents (runbook, host, closed) WHERE closed IS NOT NULL;

    CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO about VALUES ('journal', lower(hex(randomblob(8))));

    CREATE TABLE leases (
        host TEXT NOT NULL, subject TEXT NOT NULL,
        run TEXT NOT NULL, runbook TEXT NOT NULL, detector TEXT NOT NULL, incident TEXT NOT NULL, holder TEXT NOT NULL,
        epoch INTEGER NOT NULL, taken REAL NOT NULL, until REAL NOT NULL, released REAL,
        PRIMARY KEY (host, subject)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX leases_held ON leases (until) WHERE released IS NULL;

    CREATE TABLE approvals (
        id INTEGER PRIMARY KEY, incident TEXT NOT NULL, digest TEXT NOT NULL, granted INTEGER NOT NULL,
        at REAL NOT NULL, until REAL NOT NULL, said_by TEXT NOT NULL, reason TEXT NOT NULL
    ) STRICT;
    CREATE INDEX approvals_by_incident ON approvals (incident, id);

    CREATE TABLE acks (
        incident TEXT PRIMARY KEY, at REAL NOT NULL, until REAL, said_by TEXT NOT NULL, reason TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE maintenance (
        id TEXT PRIMARY KEY, hosts TEXT NOT NULL, since REAL NOT NULL, until REAL,
        said_by TEXT NOT NULL, reason TEXT NOT NULL, ended REAL, ended_by TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX maintenance_on ON maintenance (since) WHERE ended IS NULL;

    CREATE TABLE resets (
        component TEXT NOT NULL, host TEXT NOT NULL, at REAL NOT NULL, said_by TEXT NOT NULL,
        PRIMARY KEY (component, host)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE pools (
        runbook TEXT NOT NULL, host TEXT NOT NULL, pool TEXT NOT NULL, member TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (runbook, host, pool)
    ) STRICT, WITHOUT ROWID;

    CREATE INDEX events_measured
        ON events (kind, runbook, operation, module, duration, status, at, host, detector, since)
        WHERE kind IN ('step.ended', 'attempt.ended', 'incident.opened', 'recovery.begun');
    CREATE INDEX events_attempted ON events (runbook, host, operation, at, status, duration)
        WHERE kind = 'attempt.ended';
    CREATE INDEX incidents_measured ON incidents (runbook, detector, state, opened, closed, host);
    CREATE INDEX runs_by_runbook ON runs (runbook, started);
    """,
    """
    ALTER TABLE intents ADD COLUMN carrier TEXT NOT NULL DEFAULT '';
    ALTER TABLE intents ADD COLUMN user TEXT NOT NULL DEFAULT '';
    """,
    """
    CREATE TABLE watches (
        run TEXT PRIMARY KEY, runbook TEXT NOT NULL, shard TEXT NOT NULL, holder TEXT NOT NULL, epoch INTEGER NOT NULL,
        since REAL NOT NULL, beat REAL NOT NULL, until REAL NOT NULL, every REAL NOT NULL,
        ended REAL, successor TEXT NOT NULL DEFAULT '', told TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX watches_held ON watches (runbook, shard) WHERE epoch > 0 AND ended IS NULL;

    DROP TRIGGER events_remain;
    CREATE TRIGGER events_remain BEFORE DELETE ON events
        WHEN NOT EXISTS (SELECT 1 FROM about WHERE name = 'pruning')
        BEGIN SELECT raise(ABORT, 'events are append-only'); END;
    """,
    # An incident's row is written at each step of its recovery. In the leaf of a table it lies as a whole; in that of
    # an index, which WITHOUT ROWID makes of it, a kilobyte has room, and the rest moved to a new page each time.
    """
    CREATE TABLE incidents_kept (
        id TEXT NOT NULL UNIQUE, runbook TEXT NOT NULL, detector TEXT NOT NULL, host TEXT NOT NULL,
        subject TEXT NOT NULL, state TEXT NOT NULL, severity TEXT NOT NULL, opened REAL NOT NULL, updated REAL NOT NULL,
        closed REAL, data TEXT NOT NULL
    ) STRICT;
    INSERT INTO incidents_kept (id, runbook, detector, host, subject, state, severity, opened, updated, closed, data)
        SELECT id, runbook, detector, host, subject, state, severity, opened, updated, closed, data FROM incidents
        ORDER BY opened;
    DROP TABLE incidents;
    ALTER TABLE incidents_kept RENAME TO incidents;
    CREATE INDEX incidents_open ON incidents (runbook, host) WHERE closed IS NULL;
    CREATE INDEX incidents_by_time ON incidents (opened);
    CREATE INDEX incidents_ended ON incidents (runbook, host, closed) WHERE closed IS NOT NULL;
    CREATE INDEX incidents_measured ON incidents (runbook, detector, state, opened, closed, host);
    """,
    # The last word about each look of a watch that goes on for weeks, however often that came and went.
    """
    CREATE INDEX events_looked ON events (run, host, detector)
        WHERE kind IN ('look.unknown', 'look.seen', 'host.unreachable', 'host.reached');
    """,
)


def statements(script: str) -> Iterator[str]:
    """Split a script into its statements; a trigger is one."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
