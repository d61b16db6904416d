"""How often what was tried and worked, and how long it took: operations, steps, detectors, components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runbook.engine.journal.ask import runs
from runbook.engine.journal.ask.figures import mean, p95, rank
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.journal.queries import Asked
    from runbook.engine.journal.store import Journal

# SQLite takes an index of a part of the table where it reads the very words that the index was made with.
_MEASURED: Final = "kind IN ('step.ended', 'attempt.ended', 'incident.opened', 'recovery.begun')"
_ATTEMPTED: Final = "kind = 'attempt.ended' AND operation <> '' AND status NOT IN ('planned', 'skipped', 'refused')"
_STEPPED: Final = "kind = 'step.ended' AND module <> '' AND status NOT IN ('planned', 'skipped', 'refused')"
_WORKED: Final = "status IN ('done', 'ok')"
_ABOUT: Final = "AND (? = '' OR runbook = ?) AND (? = '' OR host = ?) AND (? = '' OR detector = ?)"


@frozen
class Rate:
    """How often something was tried, how often it worked, and how long it took where it did. Seconds."""

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
    components: tuple[Rate, ...] = ()

    def first(self, limit: int) -> Stats:
        """Return the first rows of each table: what was tried most often."""
        return Stats(
            tuple(sorted(self.operations, key=lambda one: -one.attempts)[:limit]),
            tuple(sorted(self.detectors, key=lambda one: -one.incidents)[:limit]),
            tuple(sorted(self.steps, key=lambda one: -one.attempts)[:limit]),
            tuple(sorted(self.components, key=lambda one: -one.attempts)[:limit]),
        )


def stats(journal: Journal, asked: Asked) -> Stats:
    """Return how often what was tried and worked."""
    return Stats(
        operations=tuple(_rates(journal, asked, ("operation", "module"), _ATTEMPTED)),
        detectors=tuple(_detectors(journal, asked)),
        steps=tuple(_rates(journal, asked, ("module", "operation"), _STEPPED)),
        components=tuple(_components(journal, asked)) if not asked.detector else (),
    )


def _rates(journal: Journal, asked: Asked, columns: tuple[str, str], those: str) -> Iterator[Rate]:
    """Count by one walk through the index, in which durations stand in order; each percentile is then one more."""
    column, other = columns
    values = (asked.since, *about(asked))
    rows = journal.ask(
        f"""
        SELECT runbook, {column}, min({other}), max({other}), count(*), sum({_WORKED}),
            sum({_WORKED} AND duration IS NOT NULL), avg(CASE WHEN {_WORKED} THEN duration END)
        FROM events INDEXED BY events_measured WHERE {_MEASURED} AND {those} AND at >= ? {_ABOUT}
        GROUP BY runbook, {column} ORDER BY runbook, {column}
        """,  # noqa: S608 -- a column's name and conditions, from this file
        values,
    )
    for runbook, name, least, most, attempts, successes, timed, spent in rows:
        alone = f"AND {other} IS ?" if least == most else ""  # so that the index has them in order
        found = journal.ask(
            f"""
            SELECT duration FROM events INDEXED BY events_measured
            WHERE {_MEASURED} AND {those} AND runbook = ? AND {column} = ? {alone} AND duration IS NOT NULL
                AND {_WORKED} AND at >= ? {_ABOUT}
            ORDER BY duration LIMIT 1 OFFSET ?
            """,  # noqa: S608 -- a column's name and conditions, from this file
            (runbook, name, *([least] if alone else []), *values, rank(timed)),
        )
        yield Rate(runbook, name, attempts, successes, spent, found[0][0] if timed and found else None)


def component_tries(
    journal: Journal, asked: Asked
) -> Iterator[tuple[str, str, list[tuple[float, bool, float | None]]]]:
    """Yield runbook, component and its attempts (when, whether it worked, seconds), in the order of time.

    Each runbook's last pass told which operations depend on what.
    """
    for run in runs.latest(journal, asked.runbook):
        declared = run.begun.get("components")
        for component, fed in declared.items() if isinstance(declared, dict) else ():
            operations, member = [str(one) for one in fed.get("operations") or ()], str(fed.get("member") or "")
            tries = _tries(journal, asked, run.runbook, operations, member) if operations else []
            if tries:
                yield run.runbook, component, tries


def _tries(
    journal: Journal, asked: Asked, runbook: str, operations: list[str], member: str
) -> list[tuple[float, bool, float | None]]:
    of_member = "AND json_extract(data, '$.member') = ?" if member else ""
    rows = journal.ask(
        f"""
        SELECT at, {_WORKED}, duration FROM events INDEXED BY events_measured
        WHERE {_MEASURED} AND {_ATTEMPTED} AND runbook = ? AND operation IN ({", ".join("?" * len(operations))})
            AND at >= ? AND (? = '' OR host = ?) {of_member} ORDER BY at
        """,  # noqa: S608 -- question marks and conditions of this file
        (runbook, *operations, asked.since, asked.host, asked.host, *([member] if member else [])),
    )
    return [(at, bool(ok), duration) for at, ok, duration in rows]


def _components(journal: Journal, asked: Asked) -> Iterator[Rate]:
    """Yield the rates of what operations depend on."""
    for runbook, component, tries in component_tries(journal, asked):
        took = [duration for _, ok, duration in tries if ok and duration is not None]
        yield Rate(runbook, component, len(tries), sum(ok for _, ok, _ in tries), mean(took), p95(took))


def _detectors(journal: Journal, asked: Asked) -> Iterator[DetectorRate]:
    values = (asked.since, *about(asked))
    ends: dict[tuple[str, str], list[tuple[str, float, float | None]]] = {}
    for runbook, detector, *end in journal.ask(
        f"""
        SELECT runbook, detector, state, opened, closed FROM incidents INDEXED BY incidents_measured
        WHERE opened >= ? {_ABOUT} ORDER BY runbook, detector
        """,  # noqa: S608 -- question marks
        values,
    ):
        ends.setdefault((runbook, detector), []).append((end[0], end[1], end[2]))
    seen = _told(journal, "incident.opened", "max(0, at - since)", values)
    begun = _told(journal, "recovery.begun", "at", values)
    for key, incidents in ends.items():
        heal = [closed - opened for state, opened, closed in incidents if state == "cured" and closed is not None]
        detect = seen.get(key, [])
        yield DetectorRate(
            *(*key, len(incidents), sum(state == "cured" for state, _, _ in incidents)),
            sum(state in ("unhealed", "interrupted") for state, _, _ in incidents),
            sum(closed is None for _, _, closed in incidents),
            len(begun.get(key, [])),
            *(mean(detect), p95(detect), mean(heal), p95(heal)),
        )


def _told(journal: Journal, kind: str, what: str, values: tuple[Any, ...]) -> dict[tuple[str, str], list[float]]:
    found: dict[tuple[str, str], list[float]] = {}
    for runbook, detector, value in journal.ask(
        f"""
        SELECT runbook, detector, {what} FROM events INDEXED BY events_measured
        WHERE {_MEASURED} AND kind = '{kind}' AND at >= ? {_ABOUT}
        """,  # noqa: S608 -- words of this file
        values,
    ):
        if value is not None:
            found.setdefault((runbook, detector), []).append(value)
    return found


def about(asked: Asked) -> tuple[str, ...]:
    """Return the values of `_ABOUT`'s question marks."""
    return tuple(value for value in (asked.runbook, asked.host, asked.detector) for _ in range(2))
