"""Leases: who recovers which subject of a host. Taken in the transaction of the first intent, kept until the end.

A lease is lost with its run: the kernel says whether that lives (`locks`), and `watches` whether another one took over.
A run that ended in good order (it has an exit code) and left a verification to the next keeps its lease until `until`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runbook.engine.model import Lease

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runbook.engine.journal.batch import Batch
    from runbook.engine.journal.store import Journal

    Ask = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]
    Alive = Callable[[str], bool]  # a run's id

LASTS: Final = 900.0  # seconds a lease holds without being renewed, here and on the host
_COLUMNS: Final = "host, subject, run, holder, runbook, detector, incident, epoch, taken, until"


def others(journal: Journal, run: str, runbook: str, alive: Alive, now: float) -> dict[tuple[str, str], Lease]:
    """Return the leases that other runs hold, by host and subject.

    What an earlier run of the same runbook left is not among them: whoever resumes its incidents takes that over.
    """
    rows = journal.ask(
        "SELECT host, subject, run, holder, leases.runbook, detector, incident, epoch, taken, until,"  # as _COLUMNS
        " runs.exit_code IS NOT NULL FROM leases LEFT JOIN runs ON runs.id = run"
        " WHERE released IS NULL AND until > ? AND run <> ?",
        (now, run),
    )
    found = {}
    for row in rows:
        lease, orderly = Lease(*row[:-1]), bool(row[-1])
        if alive(lease.run) or (orderly and lease.runbook != runbook):
            found[lease.host, lease.subject] = lease
    return found


def elsewhere(journal: Journal, run: str, runbook: str, now: float) -> frozenset[str]:
    """Return the hosts that other runbooks have under recovery; those that a killed run left count until it is over."""
    rows = journal.ask(
        "SELECT DISTINCT host FROM leases WHERE released IS NULL AND until > ? AND run <> ? AND runbook <> ?",
        (now, run, runbook),
    )
    return frozenset(host for (host,) in rows)


def lapsed(journal: Journal, run: str, now: float) -> Lease | None:
    """Return a lease that a run neither gave back nor renewed in time: its process hangs, or was stopped."""
    rows = journal.ask(
        f"SELECT {_COLUMNS} FROM leases WHERE run = ? AND released IS NULL AND until < ?",  # noqa: S608 -- ours
        (run, now),
    )
    return Lease(*rows[0]) if rows else None


def is_ours(journal: Journal, lease: Lease) -> bool:
    """Tell whether a lease that we took is ours still."""
    rows = journal.ask(
        "SELECT 1 FROM leases WHERE host = ? AND subject = ? AND run = ? AND epoch = ? AND released IS NULL",
        (lease.host, lease.subject, lease.run, lease.epoch),
    )
    return bool(rows)


def successor(journal: Journal, lease: Lease) -> str:
    """Return in words who has, or had, a lease after us."""
    asked = "SELECT holder, detector, runbook, epoch FROM leases WHERE host = ? AND subject = ?"
    for holder, detector, runbook, epoch in journal.ask(asked, (lease.host, lease.subject)):
        if epoch > lease.epoch:
            return f"{holder} took over its recovery: `{detector}` of {runbook}"
    return "its lease was given back"


def take(journal: Journal, batch: Batch, wanted: Lease) -> Lease:
    """Take a lease that nobody holds, as `others` told in this transaction, and return it with its epoch.

    Epochs begin at the time, so that those of a journal that was restored from a backup are not below what hosts saw.
    """
    batch.write(
        f"INSERT INTO leases ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"  # noqa: S608
        " SET run = excluded.run, holder = excluded.holder, runbook = excluded.runbook, detector = excluded.detector,"
        " incident = excluded.incident, epoch = max(epoch + 1, excluded.epoch), taken = excluded.taken,"
        " until = excluded.until, released = NULL",
        (
            *(wanted.host, wanted.subject, wanted.run, wanted.holder, wanted.runbook, wanted.detector),
            *(wanted.incident, int(wanted.taken), wanted.taken, wanted.until),
        ),
    )
    (row,) = journal.ask(
        f"SELECT {_COLUMNS} FROM leases WHERE host = ? AND subject = ?",  # noqa: S608 -- columns of this file
        (wanted.host, wanted.subject),
    )
    return Lease(*row)


def renew(batch: Batch, run: str, until: float) -> None:
    """Let a run's leases hold on."""
    batch.write("UPDATE leases SET until = ? WHERE run = ? AND released IS NULL", (until, run))


def release(batch: Batch, lease: Lease, now: float) -> None:
    """Give a lease back, unless somebody else has taken it since."""
    batch.write(
        "UPDATE leases SET released = ? WHERE host = ? AND subject = ? AND run = ? AND epoch = ? AND released IS NULL",
        (now, lease.host, lease.subject, lease.run, lease.epoch),
    )
