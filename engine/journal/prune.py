"""Forgetting what is old (`--retain`), but for what is open and what later passes count.

It goes in slices, each a transaction of a tenth of a second or so, between which others write: a watch forgets while it
heals. Events are append-only by a trigger, which a slice lifts for itself: what lifts it is gone with the commit, and
never was there where the transaction fails.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from runbook.engine.journal.batch import Batch
    from runbook.engine.journal.store import Journal

    Alive = Callable[[str], bool]  # a run's id

ATTEMPTS: Final = 500  # of each operation (and member of its pool) that breakers and levels may be told from
SLICE: Final = 0.03  # seconds that a slice is meant to take
_FIRST, _FEWEST, _AT_ONCE = 100, 500, 10_000  # events of a slice: the first one's, and what they may come to
_ROWS: Final = 1000  # of other tables
LASTED: Final = 7 * 86400.0  # seconds that a recovery may have lasted from whose end a cooldown counts
_COUNTED: Final = ("recovery.begun", "recovery.ended", "step.begun")  # what limits count, some of them for ever
_SEEN: Final = ("look.unknown", "look.seen", "host.unreachable", "host.reached")  # the last word holds until another


@frozen
class Pruned:
    """How many rows were forgotten."""

    events: int = 0
    incidents: int = 0
    runs: int = 0

    def __add__(self, other: Pruned) -> Pruned:
        return Pruned(self.events + other.events, self.incidents + other.incidents, self.runs + other.runs)


def nobody(_run: str) -> bool:
    """Say that a run without an end does not live."""
    return False


def prune(journal: Journal, before: float, alive: Alive = nobody) -> Pruned:
    """Forget what happened before a time.

    Kept for all that: incidents that are open, with their events, approvals and intents; recoveries and their steps,
    for as long as a limit or a cooldown of their runbook's last run counts them; the last attempts of operations;
    cursors, pools and resets; and of runs that go on, how they began and what they could not see last.

    Args:
        journal: where.
        before: in seconds since the epoch.
        alive: tells whether a run that has no end yet is at work.
    """
    return sum(slices(journal, before, alive), Pruned())


def slices(journal: Journal, before: float, alive: Alive = nobody) -> Iterator[Pruned]:
    """Forget as `prune` does, a slice at a time."""
    yield from _events(journal, before, alive)
    for gone in _walk(journal, "incidents", "closed < ?", before):
        yield Pruned(incidents=gone)
    open_ones = "SELECT id FROM incidents WHERE closed IS NULL"
    for _ in _walk(journal, "intents", f"ended < ? AND incident NOT IN ({open_ones})", before):
        yield Pruned()
    with journal.transaction(durable=False) as batch:
        _small(batch, before)
    yield Pruned()
    killed = [run for run, at in journal.ask("SELECT id, started FROM runs WHERE ended IS NULL")
              if at < before and not alive(run)]  # fmt: skip
    needed = "SELECT run FROM intents UNION SELECT run FROM leases WHERE released IS NULL"
    among = ", ".join("?" * len(killed))
    over = f"(ended < ? OR id IN ({among})) AND id NOT IN ({needed})"
    for gone in _walk(journal, "runs", over, before, *killed):
        yield Pruned(runs=gone)


def _small(batch: Batch, before: float) -> None:
    gone = "incident <> '' AND incident NOT IN (SELECT id FROM incidents)"
    batch.write(f"DELETE FROM acks WHERE {gone}", ())  # noqa: S608 -- words of this function
    batch.write(f"DELETE FROM approvals WHERE {gone}", ())  # noqa: S608
    batch.write("DELETE FROM maintenance WHERE coalesce(ended, until) < ?", (before,))
    batch.write("DELETE FROM leases WHERE released < ? OR until < ?", (before, before))
    batch.write("DELETE FROM watches WHERE ended < ? OR until < ?", (before, before))
    batch.write("DELETE FROM holds WHERE seen < ?", (before,))
    old = "SELECT id FROM crashes WHERE max(last, kept) < ?"
    batch.write(f"DELETE FROM crash_files WHERE crash IN ({old})", (before,))  # noqa: S608
    batch.write("DELETE FROM crashes WHERE max(last, kept) < ?", (before,))


def _walk(journal: Journal, table: str, condition: str, *values: object) -> Iterator[int]:
    """Delete rows of a table, some at a time, in the order of their ids; yield how many went."""
    last = ""
    while True:
        ((end,),) = journal.ask(
            f"SELECT max(id) FROM (SELECT id FROM {table} WHERE id > ? ORDER BY id LIMIT ?)",  # noqa: S608 -- ours
            (last, _ROWS),
        )
        if end is None:
            return
        with journal.transaction(durable=False) as batch:
            gone = batch.write(f"DELETE FROM {table} WHERE id > ? AND id <= ? AND {condition}", (last, end, *values))  # noqa: S608
        yield gone
        last = end


def _events(journal: Journal, before: float, alive: Alive) -> Iterator[Pruned]:
    """Delete events, as many at once as take no longer than a slice may."""
    kept = _last_words(journal, alive)
    attempts = _Attempts(journal)
    horizons = _horizons(journal, before)
    ((first, last),) = journal.ask("SELECT min(seq), max(seq) FROM events")
    size = _FIRST
    while first is not None and first <= last:
        end = first + size
        began = time.monotonic()
        ((oldest, old),) = journal.ask(
            "SELECT min(at), sum(at < ?) FROM events WHERE seq >= ? AND seq < ?", (before, first, end)
        )
        if oldest is not None and oldest >= before:
            return
        if old:
            yield Pruned(_chunk(journal, before, first, end, kept, attempts, horizons))
        spent = time.monotonic() - began
        size = max(_FEWEST, min(_AT_ONCE, int(size * min(1.5, SLICE / max(spent, 0.001)))))
        first = end


def _horizons(journal: Journal, before: float) -> dict[str, float]:
    """Return by runbook since when its recoveries count; of one that has not said so, they count for ever."""
    rows = journal.ask(
        """
        SELECT last.runbook, json_extract(data, '$.counted'), json_type(data, '$.counted')
        FROM (SELECT id, runbook, max(started) FROM runs GROUP BY runbook) AS last
        JOIN events ON events.run = last.id AND kind = 'run.begun'
        """
    )
    return {runbook: before - window - LASTED for runbook, window, kind in rows if kind in ("real", "integer")}


def _chunk(
    journal: Journal,
    before: float,
    first: int,
    end: int,
    kept: set[int],
    attempts: _Attempts,
    horizons: Mapping[str, float],
) -> int:
    among = (first, end, before)
    counted = ", ".join("?" * len(_COUNTED))
    known = "".join(" WHEN ? THEN ?" for _ in horizons)
    since = f"CASE runbook{known} ELSE 0 END" if known else "0"
    with journal.transaction(durable=False) as batch:
        spared = [seq for seq in kept if first <= seq < end] + attempts.spared(*among)
        batch.write("INSERT INTO about VALUES ('pruning', '')", ())  # what the trigger `events_remain` lets pass
        deleted = batch.write(
            f"""
            DELETE FROM events WHERE seq >= ? AND seq < ? AND at < ?
                AND (incident = '' OR incident NOT IN (SELECT id FROM incidents WHERE closed IS NULL))
                AND NOT (kind IN ({counted}) AND incident <> '' AND at >= {since})
                AND NOT (kind = 'run.begun' AND EXISTS (SELECT 1 FROM runs WHERE id = run AND ended IS NULL))
                AND seq NOT IN ({", ".join(map(str, spared))})
            """,  # noqa: S608 -- numbers and question marks
            (*among, *_COUNTED, *(value for each in horizons.items() for value in each)),
        )
        batch.write("DELETE FROM about WHERE name = 'pruning'", ())
    return deleted


class _Attempts:
    """Which attempts of operations are among their last: asked for each operation once."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._since: dict[tuple[Any, ...], float] = {}  # when the last ones of an operation began, by its member, too

    def spared(self, first: int, end: int, before: float) -> list[int]:
        """Return those of some events that are to be kept."""
        rows = self._journal.ask(
            "SELECT seq, at, runbook, host, operation, json_extract(data, '$.member') FROM events"
            " WHERE seq >= ? AND seq < ? AND at < ? AND kind = 'attempt.ended'",
            (first, end, before),
        )
        return [seq for seq, at, *about in rows if at >= self._last(tuple(about))]

    def _last(self, about: tuple[Any, ...]) -> float:
        if about not in self._since:
            *operation, member = about
            of_member = "" if member is None else "AND json_extract(data, '$.member') = ?"
            rows = self._journal.ask(
                f"""
                SELECT at FROM events INDEXED BY events_attempted
                WHERE kind = 'attempt.ended' AND runbook = ? AND host = ? AND operation = ? {of_member}
                ORDER BY at DESC LIMIT 1 OFFSET ?
                """,  # noqa: S608 -- words of this function
                (*operation, *([] if member is None else [member]), ATTEMPTS - 1),
            )
            self._since[about] = rows[0][0] if rows else 0.0
        return self._since[about]


def _last_words(journal: Journal, alive: Alive) -> set[int]:
    """Return the events that say what runs which go on could not see last: they hold, however old they are."""
    going = [run for (run,) in journal.ask("SELECT id FROM runs WHERE ended IS NULL") if alive(run)]
    kinds = ", ".join("?" * len(_SEEN))
    return {
        seq
        for run in going
        for (seq,) in journal.ask(
            f"SELECT max(seq) FROM events WHERE run = ? AND kind IN ({kinds}) GROUP BY host, detector",  # noqa: S608
            (run, *_SEEN),
        )
    }


class Forgetting:
    """What a watch forgets, a slice a call, so that it never halts for it.

    Args:
        open_journal: opens the journal to write; closed when a round is through.
        retain: seconds.
        alive: tells, of a journal, whether a run that has no end yet is at work.
        clock: seconds since the epoch.

    Example:
        >>> forget = Forgetting(open_journal, 90 * 86400.0, lambda journal: nobody)
        >>> while forget():  # True: there is more
        ...     pass
    """

    def __init__(
        self,
        open_journal: Callable[[], Journal],
        retain: float,
        alive: Callable[[Journal], Alive],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._open = open_journal
        self._retain = retain
        self._alive = alive
        self._clock = clock
        self._journal: Journal | None = None
        self._left: Iterator[Pruned] = iter(())

    def __call__(self) -> bool:
        """Forget a slice; tell whether there is more.

        Raises:
            JournalUnusable: it can't be opened or written.
        """
        if self._journal is None:
            self._journal = self._open()
            self._left = slices(self._journal, self._clock() - self._retain, self._alive(self._journal))
        try:
            more = next(self._left, None) is not None
        except BaseException:
            self.close()
            raise
        if not more:
            self.close()
        return more

    def close(self) -> None:
        """Give the journal back; the next call begins anew."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None
