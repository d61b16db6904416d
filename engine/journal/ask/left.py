"""Faults that ended uncured and that nobody has seen well since, and interrupted ones that a person released."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.journal import codec
from runbook.engine.journal.ask import runs
from runbook.engine.journal.ask.find import COLUMNS, incident_row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.journal.ask.runs import LastRun
    from runbook.engine.journal.facts import IncidentRow
    from runbook.engine.journal.store import Journal

DOWN: Final = 7 * 86400.0  # seconds after which such an end is told no more; as long as it counts for max_unavailable
RELEASED: Final = "released"
STOPPED: Final = 130  # the exit code
_LOOKED_AT: Final = 50  # passes since, among which one is sought that asked again
_MOST: Final = 20_000  # words about looks of one pass: some of each of thousands of hosts
_BEGUN: Final = "SELECT data FROM events WHERE run = ? AND kind = 'run.begun' LIMIT 1"


def left(journal: Journal, last: LastRun, host: str, now: float) -> Iterator[IncidentRow]:
    """Yield what ended uncured, of one runbook, and is not known to be well.

    It is well when a later pass asked its detector there, came to its end, could see, and did not find the condition
    true; what an operation's failure opened, when that operation was attempted again. Of each subject only the newest
    incident counts.
    """
    known = last.begun.get("order")
    since, held = _Since(journal, last), _held(journal, last.runbook)
    for row in _uncured(journal, last.runbook, host, now - DOWN):
        ident, name, detector, _, state, closed, operation = row
        if isinstance(known, list) and detector not in known:
            continue
        found = since.asked(name, detector, closed, operation)
        if found is not None and (state == "interrupted" or held.get(row[1:4], 0.0) < found):
            continue
        if not _over(journal, last.runbook, row):
            about = incident_row(journal.ask(f"SELECT {COLUMNS} FROM incidents WHERE id = ?", (ident,))[0])  # noqa: S608
            yield replace(about, state=RELEASED) if state == "interrupted" else about


def blind(journal: Journal, run: str, host: str = "") -> dict[tuple[str, str], tuple[str, float]]:
    """Return what a run could not see, by host and detector (empty: the whole host), with the reason and the time."""
    rows = journal.ask(
        """
        SELECT kind, at, host, detector, data FROM events
        WHERE run = ? AND kind IN ('look.unknown', 'look.seen', 'host.unreachable') AND (? = '' OR host = ?)
        ORDER BY seq DESC LIMIT ?
        """,
        (run, host, host, _MOST),
    )
    found: dict[tuple[str, str], tuple[str, float] | None] = {}
    for kind, at, name, detector, column in rows:  # the last word about each counts
        data = codec.load(column)
        key = (name, detector or str(data.get("detector") or ""))
        found.setdefault(key, None if kind == "look.seen" else (str(data.get("reason") or "unreachable"), at))
    return {key: told for key, told in reversed(found.items()) if told is not None}


class _Since:
    """The passes of a runbook that came to their end, newest first, as far as anybody asks for them."""

    def __init__(self, journal: Journal, last: LastRun) -> None:
        self._journal = journal
        commands = runs.PASSES if last.command in runs.PASSES else runs.CALLS
        self._passes: list[tuple[str, float]] = journal.ask(
            f"SELECT id, started FROM runs WHERE runbook = ? AND command IN ({', '.join('?' * len(commands))})"  # noqa: S608
            " AND ended IS NOT NULL AND exit_code IS NOT ? ORDER BY started DESC LIMIT ?",
            (last.runbook, *commands, STOPPED, _LOOKED_AT),
        )
        self._begun: dict[str, Any] = {}
        self._blind: dict[str, set[tuple[str, str]]] = {}

    def asked(self, host: str, detector: str, since: float, operation: str | None = None) -> float | None:
        """Return when the newest pass after a time began that asked a detector on a host, and could see.

        A detector of errors sees only what is attempted: the operation must have come to an end in it.
        """
        for run, started in self._passes:
            if started < since:
                return None
            if operation is not None and not self._attempted(run, host, operation):
                continue
            if _asks(self._about(run), host, detector) and not self._unseen(run) & {(host, ""), (host, detector)}:
                return started
        return None

    def _attempted(self, run: str, host: str, operation: str) -> bool:
        query = "SELECT 1 FROM events WHERE run = ? AND kind = 'attempt.ended' AND host = ? AND operation = ? LIMIT 1"
        return bool(self._journal.ask(query, (run, host, operation)))

    def _about(self, run: str) -> Any:
        if run not in self._begun:
            rows = self._journal.ask(_BEGUN, (run,))
            self._begun[run] = codec.load(rows[0][0]) if rows else {}
        return self._begun[run]

    def _unseen(self, run: str) -> set[tuple[str, str]]:
        if run not in self._blind:
            self._blind[run] = set(blind(self._journal, run))
        return self._blind[run]


def _asks(begun: Any, host: str, detector: str) -> bool:
    """Tell whether a pass asked a detector on a host; one that was narrowed says to which."""
    if host not in begun.get("hosts", [host]):
        return False
    order, chosen = begun.get("order", [detector]), begun.get("chosen")
    if chosen is None:
        return detector in order and begun.get("detectors", len(order)) == len(order)
    return detector in chosen


def _uncured(journal: Journal, runbook: str, host: str, since: float) -> list[tuple[Any, ...]]:
    """Return of each subject the last uncured end: id, host, detector, subject, state, when, of which operation."""
    rows = journal.ask(
        """
        WITH RECURSIVE names (name) AS (
            SELECT min(detector) FROM incidents WHERE runbook = ?1
            UNION ALL SELECT (SELECT min(detector) FROM incidents WHERE runbook = ?1 AND detector > name)
            FROM names WHERE name IS NOT NULL
        ), uncured (id) AS (
            SELECT id FROM names CROSS JOIN incidents INDEXED BY incidents_measured
            WHERE runbook = ?1 AND detector = name AND state IN ('unhealed', 'unverified', 'interrupted')
                AND closed >= ?3 AND (?2 = '' OR host = ?2)
        )
        SELECT incidents.id, host, detector, subject, state, closed,
            CASE WHEN json_type(data, '$.fields.attempt') IS NOT NULL THEN json_extract(data, '$.fields.operation') END
        FROM uncured CROSS JOIN incidents ON incidents.id = uncured.id ORDER BY closed, incidents.id
        """,
        (runbook, host, since),
    )
    return list({row[1:4]: row for row in rows}.values())


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
