"""Forgetting what is old (`--retain`), but for what is open and what later passes count.

Events are append-only by a trigger, which each transaction of a pruning lifts for itself alone: it is there again
with the commit, and never was away where the transaction fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbook.engine.journal.batch import Batch
    from runbook.engine.journal.store import Journal

ATTEMPTS: Final = 500  # of each operation (and member of its pool) that breakers and levels may be told from
_AT_ONCE: Final = 10_000  # events of one transaction: other runs wait for it
_COUNTED: Final = ("recovery.begun", "recovery.ended", "step.begun")  # what limits without a window count for ever


@frozen
class Pruned:
    """How many rows were forgotten."""

    events: int = 0
    incidents: int = 0
    runs: int = 0


def prune(journal: Journal, before: float, alive: Callable[[str], bool] = lambda _: False) -> Pruned:
    """Forget what happened before a time.

    Kept for all that: incidents that are open, with their events, approvals and intents; recoveries and their steps,
    which a limit without a window counts; the last attempts of operations; cursors, pools and resets.

    Args:
        journal: where.
        before: in seconds since the epoch.
        alive: tells whether a run that has no end yet is at work.
    """
    events = _events(journal, before)
    with journal.transaction() as batch:
        incidents = batch.write("DELETE FROM incidents WHERE closed < ?", (before,))
        gone = "incident <> '' AND incident NOT IN (SELECT id FROM incidents)"
        batch.write(f"DELETE FROM acks WHERE {gone}", ())  # noqa: S608 -- words of this function
        batch.write(f"DELETE FROM approvals WHERE {gone}", ())  # noqa: S608
        open_ones = "SELECT id FROM incidents WHERE closed IS NULL"
        batch.write(f"DELETE FROM intents WHERE ended < ? AND incident NOT IN ({open_ones})", (before,))  # noqa: S608
        batch.write("DELETE FROM maintenance WHERE coalesce(ended, until) < ?", (before,))
        batch.write("DELETE FROM leases WHERE released < ? OR until < ?", (before, before))
        batch.write("DELETE FROM holds WHERE seen < ?", (before,))
        batch.write("DELETE FROM crash_files WHERE crash IN (SELECT id FROM crashes WHERE max(last, kept) < ?)",
                    (before,))  # fmt: skip
        batch.write("DELETE FROM crashes WHERE max(last, kept) < ?", (before,))
        runs = _runs(journal, batch, before, alive)
    return Pruned(events, incidents, runs)


def _events(journal: Journal, before: float) -> int:
    """Delete events, in transactions that others need not wait long for."""
    kept = {
        seq
        for (seq,) in journal.ask(
            """
            SELECT seq FROM (
                SELECT seq, at, row_number() OVER (
                    PARTITION BY runbook, host, operation, json_extract(data, '$.member') ORDER BY seq DESC
                ) AS place FROM events WHERE kind = 'attempt.ended'
            ) WHERE place <= ? AND at < ?
            """,
            (ATTEMPTS, before),
        )
    }
    ((first, last),) = journal.ask("SELECT min(seq), max(seq) FROM events")
    total = 0
    while first is not None and first <= last:
        end = first + _AT_ONCE
        ((oldest, old),) = journal.ask(
            "SELECT min(at), sum(at < ?) FROM events WHERE seq >= ? AND seq < ?", (before, first, end)
        )
        if oldest is not None and oldest >= before:
            break
        if old:
            total += _chunk(journal, before, first, end, kept)
        first = end
    return total


def _chunk(journal: Journal, before: float, first: int, end: int, kept: set[int]) -> int:
    here = [seq for seq in kept if first <= seq < end]
    with journal.transaction() as batch:
        ((trigger,),) = journal.ask("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = 'events_remain'")
        batch.write("DROP TRIGGER events_remain", ())
        deleted = batch.write(
            f"""
            DELETE FROM events WHERE seq >= ? AND seq < ? AND at < ?
                AND incident NOT IN (SELECT id FROM incidents WHERE closed IS NULL)
                AND NOT (kind IN ({", ".join("?" * len(_COUNTED))}) AND incident <> '')
                AND seq NOT IN ({", ".join(map(str, here))})
            """,  # noqa: S608 -- numbers and question marks
            (first, end, before, *_COUNTED),
        )
        batch.write(trigger, ())
    return deleted


def _runs(journal: Journal, batch: Batch, before: float, alive: Callable[[str], bool]) -> int:
    """Delete the runs that ended before, and those that were killed before."""
    unended = journal.ask("SELECT id FROM runs WHERE ended IS NULL AND started < ?", (before,))
    killed = [run for (run,) in unended if not alive(run)]
    needed = "SELECT run FROM intents UNION SELECT run FROM leases WHERE released IS NULL"
    total = batch.write(f"DELETE FROM runs WHERE ended < ? AND id NOT IN ({needed})", (before,))  # noqa: S608
    for run in killed:
        total += batch.write(f"DELETE FROM runs WHERE id = ? AND id NOT IN ({needed})", (run,))  # noqa: S608
    return total
