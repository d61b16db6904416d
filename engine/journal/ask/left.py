"""Faults that ended uncured and that nobody has seen well since, and interrupted ones that a person released."""

from __future__ import annotations

import json
from collections.abc import Sequence  # noqa: TC003 -- frozen classes look at their types
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.journal import codec
from runbook.engine.journal.ask import runs
from runbook.engine.journal.ask.find import COLUMNS, incident_row
from runbook.modules.frozen import frozen, replace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.journal.ask.runs import LastRun
    from runbook.engine.journal.facts import IncidentRow
    from runbook.engine.journal.store import Journal

DOWN: Final = 7 * 86400.0  # seconds after which such an end is told no more; as long as it counts for max_unavailable
RELEASED: Final = "released"
STOPPED: Final = 130  # the exit code
_ROUND, _CRON = 60.0, 86400.0  # seconds in which a watch looks at everything, at least; by a cron expression
_LOOKED_AT: Final = 50  # passes since, among which one is sought that asked again
_PIECES: Final = ((0, 1), (1, 12), (12, _LOOKED_AT))  # in which they are read: mostly the newest did
_BLIND: Final = ("look.unknown", "look.seen", "host.unreachable", "host.reached")


def left(journal: Journal, last: LastRun, host: str, now: float) -> Iterator[IncidentRow]:
    """Yield what ended uncured, of one runbook, and is not known to be well.

    It is well when a later pass asked its detector there, came to its end, could see, and did not find the condition
    true; what an operation's failure opened, when that operation was attempted again. A watch that goes on has no end:
    what it has had the time to look at, and does not hold, is well. Of each subject only the newest incident counts.
    """
    known = last.begun.get("order")
    since, held = _Since(journal, last), _held(journal, last.runbook)
    watched = _looked(journal, last)
    for row in _uncured(journal, last.runbook, host, now - DOWN):
        ident, name, detector, _, state, closed, operation = row
        if isinstance(known, list) and detector not in known:
            continue
        found = since.asked(name, detector, closed, operation)
        if found is not None and (state == "interrupted" or held.get(row[1:4], 0.0) < found):
            continue
        if closed < watched and row[1:4] not in held and since.sees(last.id, name, detector):
            continue
        if not _over(journal, last.runbook, row):
            about = incident_row(journal.ask(f"SELECT {COLUMNS} FROM incidents WHERE id = ?", (ident,))[0])  # noqa: S608
            yield replace(about, state=RELEASED) if state == "interrupted" else about


def blind(journal: Journal, run: str, host: str = "") -> dict[tuple[str, str], tuple[str, float]]:
    """Return what a run could not see, by host and detector (empty: the whole host), with the reason and the time."""
    of = "run = ?1 AND kind IN ('look.unknown', 'look.seen', 'host.unreachable', 'host.reached')"
    rows = journal.ask(  # the last word about each counts: the index is walked from one to the next
        f"""
        WITH RECURSIVE said (place) AS (
            SELECT (
                SELECT seq FROM events INDEXED BY events_looked WHERE {of} ORDER BY host DESC, detector DESC, seq DESC
            )
            UNION ALL SELECT (
                SELECT seq FROM events INDEXED BY events_looked WHERE {of}
                    AND (host, detector) < (one.host, one.detector) ORDER BY host DESC, detector DESC, seq DESC
            ) FROM said CROSS JOIN events AS one ON one.seq = place
        )
        SELECT at, host, detector, data FROM said CROSS JOIN events ON seq = place
        WHERE kind IN ('look.unknown', 'host.unreachable') AND (?2 = '' OR host = ?2) ORDER BY seq
        """,  # noqa: S608 -- words of this function
        (run, host),
    )
    found = {}
    for at, name, detector, column in rows:
        data = codec.load(column)
        found[name, detector] = (str(data.get("reason") or "unreachable"), at)
    return found


class _Since:
    """The passes of a runbook that came to their end, newest first, as far as anybody asks for them."""

    def __init__(self, journal: Journal, last: LastRun) -> None:
        self._journal = journal
        self._last = last.id
        commands = runs.PASSES if last.command in runs.PASSES else runs.CALLS
        self._passes: list[tuple[str, float]] = journal.ask(
            f"SELECT id, started FROM runs WHERE runbook = ? AND command IN ({_places(commands)})"  # noqa: S608
            " AND ended IS NOT NULL AND exit_code IS NOT ? ORDER BY started DESC LIMIT ?",
            (last.runbook, *commands, STOPPED, _LOOKED_AT),
        )
        self._pieces: list[dict[str, list[_Past]]] = []  # by host, as far as they were read
        self._blind: dict[str, set[tuple[str, str]]] | None = None

    def asked(self, host: str, detector: str, since: float, operation: str | None = None) -> float | None:
        """Return when the newest pass after a time began that asked a detector on a host, and could see.

        A detector of errors sees only what is attempted: the operation must have come to an end in it.
        """
        for one in self._about(host):
            if one.started < since:
                return None
            if operation is not None and not self._attempted(one.run, host, operation):
                continue
            if one.asks(detector) and self.sees(one.run, host, detector):
                return one.started
        return None

    def sees(self, run: str, host: str, detector: str) -> bool:
        """Tell whether a pass could see what a detector asks of a host."""
        unseen = self._unseen(run)
        return (host, "") not in unseen and (host, detector) not in unseen

    def _about(self, host: str) -> Iterator[_Past]:
        """Yield the passes over a host."""
        for place, (first, last) in enumerate(_PIECES):
            if place == len(self._pieces):
                self._pieces.append(self._by_host(self._passes[first:last]))
            yield from self._pieces[place].get(host, self._pieces[place][""])

    def _by_host(self, passes: Sequence[tuple[str, float]]) -> dict[str, list[_Past]]:
        read = self._read(passes)
        found: dict[str, list[_Past]] = {name: [] for one in read for name in one.hosts or ()}
        found[""] = []  # of hosts that none of them named
        for one in read:
            for name in found if one.hosts is None else one.hosts:
                found[name].append(one)
        return found

    def _attempted(self, run: str, host: str, operation: str) -> bool:
        query = "SELECT 1 FROM events WHERE run = ? AND kind = 'attempt.ended' AND host = ? AND operation = ? LIMIT 1"
        return bool(self._journal.ask(query, (run, host, operation)))

    def _read(self, passes: Sequence[tuple[str, float]]) -> list[_Past]:
        names = [run for run, _ in passes]
        query = f"""
            SELECT run, json_extract(data, '$.hosts', '$.order', '$.chosen', '$.detectors') FROM events
            WHERE kind = 'run.begun' AND run IN ({_places(names)})
        """  # noqa: S608 -- question marks
        told = {run: json.loads(column) for run, column in self._journal.ask(query, names)}
        return [_Past(run, started, *told.get(run, (None,) * 4)) for run, started in passes]

    def _unseen(self, run: str) -> set[tuple[str, str]]:
        if self._blind is None:  # most could see everything
            some = [self._last, *(each for each, _ in self._passes)]
            query = f"""
                SELECT id FROM runs WHERE id IN ({_places(some)}) AND EXISTS (
                    SELECT 1 FROM events INDEXED BY events_by_run WHERE run = runs.id AND kind IN ({_places(_BLIND)})
                )
            """  # noqa: S608 -- question marks
            rows = self._journal.ask(query, (*some, *_BLIND))
            self._blind = {name: set(blind(self._journal, name)) for (name,) in rows}
        return self._blind.get(run, set())


@frozen
class _Past:
    """A pass, with what it said when it began: None where an earlier version said nothing."""

    run: str
    started: float
    hosts: Sequence[str] | None
    order: Sequence[str] | None
    chosen: Sequence[str] | None  # of its detectors, where it was narrowed
    detectors: int | None  # how many it asked, in the words of an earlier version

    def asks(self, detector: str) -> bool:
        """Tell whether it asked a detector."""
        if self.chosen is not None:
            return detector in self.chosen
        order = self.order if self.order is not None else (detector,)
        return detector in order and self.detectors in (None, len(order))


def _places(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))


def _looked(journal: Journal, last: LastRun) -> float:
    """Return the time before which a watch that goes on has looked at everything again; 0 where there is none."""
    rows = journal.ask("SELECT beat FROM watches WHERE run = ? AND ended IS NULL AND epoch > 0", (last.id,))
    every = last.begun.get("every")
    return rows[0][0] - (max(_ROUND, 2 * every) if isinstance(every, int | float) else _CRON) if rows else 0.0


def _uncured(journal: Journal, runbook: str, host: str, since: float) -> list[tuple[Any, ...]]:
    """Return of each subject the last uncured end: id, host, detector, subject, state, when, of which operation."""
    return journal.ask(
        """
        WITH RECURSIVE names (name) AS (
            SELECT min(detector) FROM incidents WHERE runbook = ?1
            UNION ALL SELECT (SELECT min(detector) FROM incidents WHERE runbook = ?1 AND detector > name)
            FROM names WHERE name IS NOT NULL
        ), uncured (place, last) AS (
            SELECT incidents.rowid, max(closed) FROM names CROSS JOIN incidents INDEXED BY incidents_measured
            WHERE runbook = ?1 AND detector = name AND state IN ('unhealed', 'unverified', 'interrupted')
                AND closed >= ?3 AND (?2 = '' OR host = ?2) GROUP BY detector, host, subject
        )
        SELECT id, host, detector, subject, state, closed,
            CASE WHEN instr(data, '"attempt"') > 0 AND json_type(data, '$.fields.attempt') IS NOT NULL
            THEN json_extract(data, '$.fields.operation') END
        FROM uncured CROSS JOIN incidents ON incidents.rowid = place ORDER BY closed, id
        """,
        (runbook, host, since),
    )


def _over(journal: Journal, runbook: str, row: tuple[Any, ...]) -> bool:
    """Tell whether a later incident of the same subject has ended."""
    return bool(
        journal.ask(
            "SELECT 1 FROM incidents INDEXED BY incidents_ended WHERE runbook = ? AND host = ? AND closed > ?"
            " AND closed IS NOT NULL AND detector = ? AND subject = ? LIMIT 1",
            (runbook, row[1], row[5], *row[2:4]),
        )
    )


def _held(journal: Journal, runbook: str) -> dict[tuple[str, str, str], float]:
    """Return when conditions were last seen true that hold still, by host, detector and subject."""
    rows = journal.ask("SELECT host, detector, subject, seen FROM holds WHERE runbook = ?", (runbook,))
    return {(host, detector, subject): seen for host, detector, subject, seen in rows}
