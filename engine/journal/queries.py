"""What the journal is asked about the past: runs, with what happened in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runbook.engine.journal import codec
from runbook.engine.journal.ask.find import COLUMNS, incident_row
from runbook.engine.journal.facts import Fact
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runbook.engine.journal.facts import IncidentRow
    from runbook.engine.journal.store import Journal

_TOLD: Final = (
    *("incident.pending", "incident.opened", "incident.resumed", "incident.changed", "incident.ended"),
    *("guard.refused", "recovery.begun", "step.ended", "attempt.ended", "attempt.delayed", "operation.ended"),
    *("look.unknown", "look.seen", "host.unreachable", "host.reached", "channel.told"),
)  # fmt: skip
_BEGUN: Final = ("run.begun", "attempt.begun")  # what a run was at, of one that was stopped or killed
STOPPED: Final = 130  # the exit code
_NAMING: Final = ("events", "incidents", "cursors")  # the tables that name detectors
_MOST: Final = 50_000  # facts of one run that are told: some of each of thousands of hosts


def nobody(_run: str) -> bool:
    """Say that a run without an end does not live."""
    return False


@frozen
class Asked:
    """Which part of the past is asked about; empty = all."""

    since: float = 0.0
    runbook: str = ""
    host: str = ""
    detector: str = ""

    @property
    def narrow(self) -> bool:
        """Not every run is about it."""
        return bool(self.host or self.detector)


@frozen
class PastRun:
    """A run that was; `ended` is None when it goes on still (`lives`), or was killed."""

    id: str
    runbook: str
    command: str
    started: float
    ended: float | None
    exit_code: int | None
    by: str
    facts: tuple[Fact, ...] = ()  # since what is asked about; none: it found nothing and did nothing
    lives: bool = False

    @property
    def stopped(self) -> bool:
        """A signal ended it before it was through."""
        return self.exit_code == STOPPED


def history(journal: Journal, asked: Asked, alive: Callable[[str], bool] = nobody) -> Iterator[PastRun]:
    """Yield the runs, newest first; those that are not about what is asked are left out.

    A watch may have begun long before, and told what is asked about all the same.

    Args:
        journal: where.
        asked: about what.
        alive: tells whether a run that has no end is at work.
    """
    rows = journal.ask(
        "SELECT id, runbook, command, started, ended, exit_code, started_by FROM runs"
        " WHERE (started >= ?1 OR (command = 'watch' AND (ended IS NULL OR ended >= ?1))) AND (?2 = '' OR runbook = ?2)"
        " ORDER BY started DESC, id",
        (asked.since, asked.runbook),
    )
    for row in rows:
        whole = row[4] is not None and row[5] != STOPPED
        facts = _facts(journal, row[0], asked, _TOLD if whole else (*_BEGUN, *_TOLD))
        if facts or not asked.narrow:
            yield PastRun(*(*row, facts, row[4] is None and alive(row[0])))


def incidents(journal: Journal, asked: Asked, states: Sequence[str] = (), most: int = 20) -> list[IncidentRow]:
    """Return incidents by when they opened, newest first; of these states, or of all."""
    of_state = f"AND state IN ({_places(tuple(states))})" if states else ""
    values = (asked.runbook, asked.runbook, asked.host, asked.host, asked.detector, asked.detector)
    rows = journal.ask(
        f"""
        SELECT {COLUMNS} FROM incidents WHERE opened >= ? AND (? = '' OR runbook = ?) AND (? = '' OR host = ?)
            AND (? = '' OR detector = ?) {of_state} ORDER BY opened DESC, id LIMIT ?
        """,  # noqa: S608 -- columns and question marks
        (asked.since, *values, *states, most),
    )
    return [incident_row(row) for row in rows]


def detectors(journal: Journal) -> list[str]:
    """Return the names of the detectors that anything in the journal is about."""
    named = " UNION ".join(f"SELECT detector FROM {table}" for table in _NAMING)  # noqa: S608 -- tables of ours
    return [name for (name,) in journal.ask(f"{named} ORDER BY 1") if name]


def _facts(journal: Journal, run: str, asked: Asked, kinds: tuple[str, ...]) -> tuple[Fact, ...]:
    rows = journal.ask(
        f"""
        SELECT kind, at, run, host, detector, subject, incident, operation, step, data FROM events
        WHERE run = ? AND kind IN ({_places(kinds)}) AND (? = '' OR host = ?) AND (? = '' OR detector = ?)
            AND (at >= ? OR kind = 'run.begun') ORDER BY seq LIMIT ?
        """,  # noqa: S608 -- question marks
        (run, *kinds, asked.host, asked.host, asked.detector, asked.detector, asked.since, _MOST),
    )
    return tuple(Fact(*(*row[:9], codec.load(row[9]))) for row in rows)


def _places(values: tuple[str, ...]) -> str:
    return ", ".join("?" * len(values))
