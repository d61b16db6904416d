"""The journal: open it, write to it in batches that are durable or absent, read what the next pass goes on from."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from runbook.engine.errors import JournalUnusable
from runbook.engine.journal import codec, database, faults, location, words
from runbook.engine.journal.facts import HoldRow, IncidentRow, IntentRow, Recovery, RunStart, StepBegun

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from runbook.engine.journal.batch import Batch
    from runbook.engine.model import Key, Outcome
    from runbook.engine.people import People

PATIENCE = 10.0  # seconds to wait for another process's transaction; ours last milliseconds
_INTENTS = (
    "SELECT id, run, host, subject, incident, operation, module, title, params, at, epoch, carrier, user"
    " FROM intents WHERE ended IS NULL"
)
LONGEST = 30 * 86400.0  # a recovery that began longer ago than this has not ended lately


def open_journal(
    path: str | None = None, *, read_only: bool = False, redact: codec.Redact = codec.as_is, patience: float = PATIENCE
) -> Journal:
    """Open the journal, and make or migrate it where that is needed.

    Args:
        path: as given on the command line; else $RUNBOOK_JOURNAL, /var/lib/runbook, or the user's state directory.
        read_only: for a question; a journal that is not there is an empty one, and none is made.
        redact: takes the secrets out of a text; every text that is written goes through it.
        patience: how long to wait for another process's transaction, in seconds.

    Raises:
        JournalUnusable: it can't be opened, made or migrated.
    """
    place = location.choose(path)
    with faults.told(place):
        location.refuse_unfit(place)
        if read_only and not os.path.exists(place):
            return Journal(place, database.empty(place), redact, exists=False)
        if read_only:
            return Journal(place, database.to_read(place, patience), redact)
        location.prepare(place)
        return Journal(place, database.to_write(place, patience), redact)


def who() -> str:
    """Return who started this run, as `user@machine`."""
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _intent(row: Sequence[Any]) -> IntentRow:
    return IntentRow(*(*row[:8], codec.load(row[8]), *row[9:]))


class Journal:
    """One open journal. May be used by several threads; a transaction belongs to one at a time."""

    def __init__(
        self, place: str, connection: sqlite3.Connection, redact: codec.Redact, *, exists: bool = True
    ) -> None:
        self.path = place
        self.exists = exists  # False: nothing was ever journalled there, and this was opened to read
        self._connection = connection
        self._redact = redact
        self._lock = threading.RLock()
        self._joined: Batch | None = None  # the transaction of `together`
        self._durable = True  # commits are waited for, as `database.to_write` set it
        self._id = ""
        self._file = location.mark(place)

    def stands(self) -> None:
        """See that it is still the file at its place.

        Raises:
            JournalUnusable: it was deleted or replaced under us: what is written goes where nobody finds it.
        """
        if self._file is not None and location.mark(self.path) != self._file:
            mend = "Whoever removed it ended what it knew; another one is begun"
            raise JournalUnusable("its file was deleted or replaced", where=self.path, mend=mend)

    @property
    def id(self) -> str:
        """Its name among all journals, by which hosts know it: two machines have theirs at the same path."""
        if not self._id:
            ((self._id,),) = self.ask("SELECT value FROM about WHERE name = 'journal'")
        return self._id

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it; what was committed stays."""
        with self._lock, faults.told(self.path):
            self._connection.close()

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[Batch]:
        """Write everything of the block in one commit, durable at its end; nothing of it where the block raises.

        Args:
            durable: wait until it lies on the disk; else a power cut may take it, and a killed process does not.
        """
        from runbook.engine.journal.batch import Batch  # which answers have no need of

        with self._lock:
            if self._joined is not None:
                yield self._joined
                return
            if self._connection.in_transaction:
                raise RuntimeError("a transaction of the journal is open already")
            with faults.told(self.path):
                if durable is not self._durable:
                    self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                    self._durable = durable
                self._connection.execute("BEGIN IMMEDIATE")
            batch = Batch(self._connection, self.path, self._redact)
            try:
                yield batch
                with faults.told(self.path):
                    self._connection.execute("COMMIT")
            finally:
                batch.close()
                self._roll_back()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let every transaction of the block be part of one, durable at the block's end."""
        with self.transaction() as batch:
            around, self._joined = self._joined, batch
            try:
                yield
            finally:
                self._joined = around

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # not so after a commit, or where SQLite rolled back by itself
            self._connection.execute("ROLLBACK")

    def begin_run(self, run: RunStart) -> None:
        """Write down that a run began."""
        with self.transaction() as batch:
            batch.begin_run(run)

    def end_run(self, run_id: str, ended: float, exit_code: int) -> None:
        """Write down how a run ended."""
        with self.transaction() as batch:
            batch.end_run(run_id, ended, exit_code)

    def unended(self, runbook: str) -> list[RunStart]:
        """Return the runs of a runbook that are at work or were killed, newest first."""
        rows = self.ask(
            "SELECT id, runbook, file, digest, command, started, started_by FROM runs"
            " WHERE ended IS NULL AND runbook = ? ORDER BY started DESC",
            (runbook,),
        )
        return [RunStart(*row) for row in rows]

    def open_incidents(self, runbook: str, host: str | None = None) -> list[IncidentRow]:
        """Return the incidents of a runbook that are not closed, oldest first."""
        rows = self.ask(
            "SELECT id, runbook, detector, host, subject, state, severity, opened, updated, closed, data FROM incidents"
            " INDEXED BY incidents_open WHERE closed IS NULL AND runbook = ? AND (? IS NULL OR host = ?)"
            " ORDER BY opened, id",
            (runbook, host, host),
        )
        return [IncidentRow(*(*row[:10], codec.load(row[10]))) for row in rows]

    def ended_incidents(self, runbook: str, host: str, since: float) -> list[IncidentRow]:
        """Return the incidents that ended since a time, oldest first."""
        rows = self.ask(
            "SELECT id, runbook, detector, host, subject, state, severity, opened, updated, closed, data FROM incidents"
            " WHERE runbook = ? AND host = ? AND closed >= ? ORDER BY closed, id",
            (runbook, host, since),
        )
        return [IncidentRow(*(*row[:10], codec.load(row[10]))) for row in rows]

    def failed(self, runbook: str, host: str, since: float) -> dict[Key, str]:
        """Return by key the last incident that was recovered in vain since a time, where none was cured after it.

        What was interrupted ends when a person releases it, who has taken it on.
        """
        rows = self.ask(
            "SELECT host, detector, subject, id, state, json_extract(data, '$.begun') FROM incidents"
            " WHERE runbook = ? AND host = ? AND closed >= ?"
            " AND state IN ('cured', 'unhealed', 'unverified', 'interrupted') ORDER BY closed, id",
            (runbook, host, since),
        )
        found: dict[Key, str] = {}
        for name, detector, subject, incident, state, begun in rows:
            if state in {"cured", "interrupted"}:
                found.pop((name, detector, subject), None)
            elif begun is not None:
                found[name, detector, subject] = incident
        return found

    def last_run(self, runbook: str) -> float | None:
        """Return when the last run of a runbook began; None without any."""
        ((began,),) = self.ask("SELECT max(started) FROM runs WHERE runbook = ?", (runbook,))
        return began if began is None else float(began)

    def incident(self, start: str) -> list[IncidentRow]:
        """Return the incidents, open or closed, whose id begins so; newest first."""
        rows = self.ask(
            "SELECT id, runbook, detector, host, subject, state, severity, opened, updated, closed, data FROM incidents"
            " WHERE substr(id, 1, ?) = ? ORDER BY opened DESC",
            (len(start), start),
        )
        return [IncidentRow(*(*row[:10], codec.load(row[10]))) for row in rows]

    def reported(self, incident: str) -> float | None:
        """Return when people were told last of an incident, by `tell`; None also where it was well again since."""
        asked = "SELECT max(told.value) FROM incidents, json_each(data, '$.reported') AS told WHERE incidents.id = ?"
        rows = self.ask(asked, (incident,))
        (at,) = rows[0]
        well = self.ask("SELECT json_extract(data, '$.reported.well') FROM incidents WHERE id = ?", (incident,))
        return None if at is None or well[0][0] is not None else float(at)

    def holds(self, runbook: str, host: str) -> list[HoldRow]:
        """Return the conditions that were holding at the last look."""
        rows = self.ask(
            "SELECT detector, host, subject, since, seen, data FROM holds WHERE runbook = ? AND host = ?",
            (runbook, host),
        )
        return [HoldRow(*(*row[:5], codec.load(row[5]))) for row in rows]

    def cursors(self, runbook: str, host: str) -> dict[str, Any]:
        """Return by detector what its probe remembered at the last look."""
        rows = self.ask("SELECT detector, state FROM cursors WHERE runbook = ? AND host = ?", (runbook, host))
        return {detector: codec.load(state) for detector, state in rows}

    def open_intents(self, runbook: str, host: str) -> list[IntentRow]:
        """Return the intents without a result, oldest first: their runs are in hand, or were killed."""
        rows = self.ask(
            _INTENTS + " AND runbook = ? AND host = ? ORDER BY at, id",
            (runbook, host),
        )
        return [_intent(row) for row in rows]

    def outcomes(self, intents: Sequence[str]) -> dict[str, Outcome]:
        """Return what became of those of some intents that are over; what they printed is not kept here."""
        from runbook.engine.model import Outcome, StepStatus  # which answers have no need of

        named = ", ".join("?" * len(intents))
        rows = self.ask(f"SELECT id, outcome FROM intents WHERE ended IS NOT NULL AND id IN ({named})", intents)  # noqa: S608
        found = {}
        for name, column in rows:
            told = codec.load(column)
            found[name] = Outcome(
                StepStatus(told["status"]),
                bool(told["changed"]),
                exit_code=told["exit_code"],
                data=told.get("data") or {},
                duration=told.get("duration") or 0.0,
            )
        return found

    def place(self, intent: str) -> tuple[str, str] | None:
        """Return the host that carries an intent out, and under whom; None where there is no such intent."""
        rows = self.ask("SELECT iif(carrier = '', host, carrier), user FROM intents WHERE id = ?", (intent,))
        return (rows[0][0], rows[0][1]) if rows else None

    def interrupted(self, start: str) -> list[IntentRow]:
        """Return the steps of interrupted operations whose id begins so: nobody knows how they ended."""
        rows = self.ask(
            _INTENTS + " AND substr(id, 1, ?) = ? AND operation <> '' AND incident = '' AND EXISTS ("  # noqa: S608 -- ours
            "  SELECT 1 FROM events WHERE events.runbook = intents.runbook AND events.host = intents.host"
            "  AND kind = 'operation.ended' AND events.at >= intents.at AND events.operation = intents.operation"
            "  AND status = 'interrupted') ORDER BY at, id",
            (len(start), start),
        )
        return [_intent(row) for row in rows]

    def recoveries(self, runbook: str, host: str, since: float) -> list[Recovery]:
        """Return the recoveries that began or ended since a time, in the order in which they began."""
        rows = self.ask(
            "SELECT kind, detector, host, subject, incident, at FROM events"
            " WHERE runbook = ? AND host = ? AND kind IN ('recovery.begun', 'recovery.ended') AND at >= ? ORDER BY seq",
            (runbook, host, since - LONGEST),
        )
        found: list[Recovery] = []
        running: dict[tuple[str, ...], int] = {}
        for kind, detector, name, subject, incident, at in rows:
            key = (detector, subject, incident)
            if kind == "recovery.begun":
                running[key] = len(found)
                found.append(Recovery(detector, name, subject, at))
            elif (place := running.pop(key, None)) is not None:
                found[place] = Recovery(detector, name, subject, found[place].begun, at)
        return [one for one in found if (one.begun if one.ended is None else one.ended) >= since]

    def begun(self, runbook: str, key: Key, since: float) -> list[float]:
        """Return when recoveries about a host, detector and subject began, since a time."""
        host, detector, subject = key
        rows = self.ask(
            "SELECT at FROM events WHERE runbook = ? AND host = ? AND kind = 'recovery.begun' AND at >= ?"
            " AND detector = ? AND subject = ? ORDER BY seq",
            (runbook, host, since, detector, subject),
        )
        return [at for (at,) in rows]

    def cleared(self, runbook: str, host: str, since: float) -> list[tuple[Key, float]]:
        """Return the incidents that ended `cured` since a time, and when, oldest first."""
        rows = self.ask(
            "SELECT host, detector, subject, closed FROM incidents"
            " WHERE runbook = ? AND host = ? AND closed >= ? AND state = 'cured' ORDER BY closed",
            (runbook, host, since),
        )
        return [((name, detector, subject), closed) for name, detector, subject, closed in rows]

    @property
    def version(self) -> int:
        """A number that is another after another process, or another connection of this one, has written."""
        ((version,),) = self.ask("PRAGMA data_version")
        return int(version)

    def people(self, now: float) -> People:
        """Return what people have said and still holds."""
        return words.people(self.ask, now)

    def pools(self, runbook: str, host: str) -> dict[str, str]:
        """Return the active member of each pool that was ever switched."""
        rows = self.ask("SELECT pool, member FROM pools WHERE runbook = ? AND host = ?", (runbook, host))
        return {pool: member for pool, member in rows}  # noqa: C416 -- rows are of any length to mypy

    def attempts(
        self, runbook: str, host: str, operations: Sequence[str], most: int, member: str = ""
    ) -> list[tuple[float, bool, float]]:
        """Return when the last attempts of some operations ended, whether they succeeded, and their seconds.

        Those that failed by what is here (`local`) are left out: components are told from the rest. With `member`,
        those that asked this member of their pool.
        """
        named = ", ".join("?" * len(operations))
        rows = self.ask(
            f"""
            SELECT at, status, duration FROM events
            WHERE runbook = ? AND host = ? AND kind = 'attempt.ended' AND operation IN ({named})
                AND status NOT IN ('planned', 'skipped', 'refused') AND (? = '' OR data ->> 'member' = ?)
                AND (status IN ('done', 'ok') OR data ->> 'local' IS NULL)
            ORDER BY seq DESC LIMIT ?
            """,  # noqa: S608 -- question marks
            (runbook, host, *operations, member, member, most),
        )
        return [(at, status in {"done", "ok"}, duration or 0.0) for at, status, duration in reversed(rows)]

    def steps_begun(self, runbook: str, host: str, since: float) -> list[StepBegun]:
        """Return the steps that began since a time, oldest first."""
        rows = self.ask(
            "SELECT module, step, host, subject, at, data FROM events"
            " WHERE runbook = ? AND host = ? AND kind = 'step.begun' AND at >= ? ORDER BY seq",
            (runbook, host, since),
        )
        begun = []
        for module, step, name, subject, at, column in rows:
            data = codec.load(column)
            path, acted_on = data.get("path") or step, data.get("subject_acted", subject)
            begun.append(StepBegun(module or "", str(path), name, str(acted_on), at))
        return begun

    @contextmanager
    def at_one_moment(self) -> Iterator[sqlite3.Connection]:
        """Let all questions of the block be answered as of its beginning; for this room alone."""
        with self._lock, faults.told(self.path):
            if self._connection.in_transaction:
                raise RuntimeError("a transaction of the journal is open already")
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                self._roll_back()

    def ask(self, question: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows that answer an SQL question; for this room alone."""
        with self._lock, faults.told(self.path):
            return self._connection.execute(question, values).fetchall()
