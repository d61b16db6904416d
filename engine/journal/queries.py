"""What the journal is asked about the past: runs with what happened in them, and how often what worked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runbook.engine.journal import codec
from runbook.engine.journal.facts import Fact
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.journal.store import Journal

_TOLD: Final = (
    *("incident.pending", "incident.opened", "incident.resumed", "incident.changed", "incident.ended"),
    *("guard.refused", "step.ended", "attempt.ended", "attempt.delayed", "operation.ended"),
    *("look.unknown", "look.seen", "host.unreachable"),
)  # fmt: skip
_BEGUN: Final = ("run.begun", "attempt.begun")  # what a run was at, of one that was stopped or killed
STOPPED: Final = 130  # the exit code
_NAMING: Final = ("events", "incidents", "cursors")  # the tables that name detectors
_MOST: Final = 1000  # facts of one run that are told


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
    """A run that was; `ended` is None when it goes on still, or was killed."""

    id: str
    runbook: str
    command: str
    started: float
    ended: float | None
    exit_code: int | None
    by: str
    facts: tuple[Fact, ...] = ()  # none: it found nothing and did nothing

    @property
    def stopped(self) -> bool:
        """A signal ended it before it was through."""
        return self.exit_code == STOPPED


@frozen
class Rate:
    """How often something was tried, how often it worked, and how long it took. Seconds."""

    runbook: str
    name: str
    attempts: int
    successes: int
    mean: float | None
    p95: float | None

    @property
    def failures(self) -> int:
        """How often it did not work."""
        return self.attempts - self.successes

    @property
    def rate(self) -> float | None:
        """The share that worked, 0 to 1."""
        return self.successes / self.attempts if self.attempts else None


@frozen
class DetectorRate:
    """How often a detector fired, and how that ended; how soon it was seen and healed. Seconds."""

    runbook: str
    name: str
    incidents: int
    cured: int
    unhealed: int
    open: int
    recoveries: int
    detect_mean: float | None
    detect_p95: float | None
    heal_mean: float | None
    heal_p95: float | None

    @property
    def rate(self) -> float | None:
        """The share of the ended ones that were cured, 0 to 1."""
        ended = self.incidents - self.open
        return self.cured / ended if ended else None


@frozen
class Stats:
    """The answer of `stats`."""

    operations: tuple[Rate, ...] = ()
    detectors: tuple[DetectorRate, ...] = ()
    steps: tuple[Rate, ...] = ()

    def first(self, limit: int) -> Stats:
        """Return the first rows of each table: what was tried most often."""
        return Stats(
            tuple(sorted(self.operations, key=lambda one: -one.attempts)[:limit]),
            tuple(sorted(self.detectors, key=lambda one: -one.incidents)[:limit]),
            tuple(sorted(self.steps, key=lambda one: -one.attempts)[:limit]),
        )


def history(journal: Journal, asked: Asked) -> Iterator[PastRun]:
    """Yield the runs, newest first; those that are not about what is asked are left out."""
    rows = journal.ask(
        "SELECT id, runbook, command, started, ended, exit_code, started_by FROM runs"
        " WHERE started >= ? AND (? = '' OR runbook = ?) ORDER BY started DESC, id",
        (asked.since, asked.runbook, asked.runbook),
    )
    for row in rows:
        whole = row[4] is not None and row[5] != STOPPED
        facts = _facts(journal, row[0], asked, _TOLD if whole else (*_BEGUN, *_TOLD))
        if facts or not asked.narrow:
            yield PastRun(*(*row, facts))


def detectors(journal: Journal) -> list[str]:
    """Return the names of the detectors that anything in the journal is about."""
    named = " UNION ".join(f"SELECT detector FROM {table}" for table in _NAMING)  # noqa: S608 -- tables of ours
    return [name for (name,) in journal.ask(f"{named} ORDER BY 1") if name]


def stats(journal: Journal, asked: Asked) -> Stats:
    """Return how often what was tried and worked."""
    return Stats(
        operations=tuple(Rate(*row) for row in _rates(journal, asked, "attempt.ended", "operation")),
        detectors=tuple(_detectors(journal, asked)),
        steps=tuple(Rate(*row) for row in _rates(journal, asked, "step.ended", "module")),
    )


def _facts(journal: Journal, run: str, asked: Asked, kinds: tuple[str, ...]) -> tuple[Fact, ...]:
    rows = journal.ask(
        f"""
        SELECT kind, at, run, host, detector, subject, incident, operation, step, data FROM events
        WHERE run = ? AND kind IN ({_places(kinds)}) AND (? = '' OR host = ?) AND (? = '' OR detector = ?)
        ORDER BY seq LIMIT ?
        """,  # noqa: S608 -- question marks
        (run, *kinds, asked.host, asked.host, asked.detector, asked.detector, _MOST),
    )
    return tuple(Fact(*(*row[:9], codec.load(row[9]))) for row in rows)


def _rates(journal: Journal, asked: Asked, kind: str, name: str) -> list[tuple[Any, ...]]:
    """Rank the durations of each name, so that mean and percentile come out of one reading."""
    return journal.ask(
        f"""
        WITH ranked AS (
            SELECT runbook, {name} AS name, status, duration,
                row_number() OVER (PARTITION BY runbook, {name} ORDER BY duration) AS place,
                count(*) OVER (PARTITION BY runbook, {name}) AS number
            FROM events
            WHERE kind = ? AND at >= ? AND {name} <> '' AND status NOT IN ('planned', 'skipped')
                AND (? = '' OR runbook = ?) AND (? = '' OR host = ?) AND (? = '' OR detector = ?)
        )
        SELECT runbook, name, count(*), sum(status IN ('done', 'ok')), avg(duration),
            min(CASE WHEN place >= 0.95 * number THEN duration END)
        FROM ranked GROUP BY runbook, name ORDER BY runbook, name
        """,  # noqa: S608 -- a column's name, from this file
        (kind, asked.since, *_twice(asked.runbook, asked.host, asked.detector)),
    )


def _detectors(journal: Journal, asked: Asked) -> Iterator[DetectorRate]:
    about = _twice(asked.runbook, asked.host, asked.detector)
    where = "AND (? = '' OR runbook = ?) AND (? = '' OR host = ?) AND (? = '' OR detector = ?)"
    ends = journal.ask(
        f"""
        SELECT runbook, detector, count(*), sum(state = 'cured'), sum(state IN ('unhealed', 'interrupted')),
            sum(closed IS NULL)
        FROM incidents WHERE opened >= ? {where} GROUP BY runbook, detector ORDER BY runbook, detector
        """,  # noqa: S608 -- question marks
        (asked.since, *about),
    )
    begun = journal.ask(
        f"""
        SELECT runbook, detector, count(*) FROM events
        WHERE kind = 'recovery.begun' AND at >= ? {where} GROUP BY runbook, detector
        """,  # noqa: S608 -- question marks
        (asked.since, *about),
    )
    recoveries = {(runbook, detector): number for runbook, detector, number in begun}
    detect = _spread(
        journal,
        f"""
        SELECT runbook, detector, max(0, at - since) AS took FROM events
        WHERE kind = 'incident.opened' AND since IS NOT NULL AND at >= ? {where}
        """,  # noqa: S608 -- question marks
        (asked.since, *about),
    )
    heal = _spread(
        journal,
        f"""
        SELECT runbook, detector, closed - opened AS took FROM incidents
        WHERE state = 'cured' AND closed IS NOT NULL AND opened >= ? {where}
        """,  # noqa: S608 -- question marks
        (asked.since, *about),
    )
    for runbook, detector, number, cured, unhealed, going_on in ends:
        key = (runbook, detector)
        yield DetectorRate(
            *(runbook, detector, number, cured, unhealed, going_on, recoveries.get(key, 0)),
            *(*detect.get(key, (None, None)), *heal.get(key, (None, None))),
        )


def _spread(journal: Journal, question: str, values: tuple[Any, ...]) -> dict[tuple[str, str], tuple[float, float]]:
    rows = journal.ask(
        f"""
        WITH ranked AS (
            SELECT *, row_number() OVER (PARTITION BY runbook, detector ORDER BY took) AS place,
                count(*) OVER (PARTITION BY runbook, detector) AS number
            FROM ({question})
        )
        SELECT runbook, detector, avg(took), min(CASE WHEN place >= 0.95 * number THEN took END)
        FROM ranked GROUP BY runbook, detector
        """,  # noqa: S608 -- a question of this file
        values,
    )
    return {(runbook, detector): (mean, p95) for runbook, detector, mean, p95 in rows}


def _twice(*values: str) -> tuple[str, ...]:
    return tuple(value for value in values for _ in range(2))


def _places(values: tuple[str, ...]) -> str:
    return ", ".join("?" * len(values))
