"""How what was done has gone over time, and what that suggests."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.journal.ask import advice
from runbook.engine.journal.ask.figures import Point, Trend, trend
from runbook.engine.journal.ask.rates import about, component_tries
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbook.engine.journal.ask.advice import Advice
    from runbook.engine.journal.queries import Asked
    from runbook.engine.journal.store import Journal

_ABOUT: Final = "AND (? = '' OR runbook = ?) AND (? = '' OR host = ?) AND (? = '' OR detector = ?)"
_TIMED: Final = "status NOT IN ('planned', 'skipped', 'refused')"


@frozen
class Series:
    """A name with its attempts in the order of time."""

    runbook: str
    name: str
    trend: Trend
    points: tuple[Point, ...]


@frozen
class Trends:
    """The answer of `trends`."""

    operations: tuple[Series, ...] = ()
    detectors: tuple[Series, ...] = ()  # from opening to cure
    steps: tuple[Series, ...] = ()
    components: tuple[Series, ...] = ()  # the members of pools among them
    advice: tuple[Advice, ...] = ()


def trends(journal: Journal, asked: Asked) -> Trends:
    """Return how operations, detectors, steps and components have gone."""
    values = (asked.since, *about(asked))
    ended = _ended(journal, values)
    tries = list(_tries(journal, values)) if not asked.detector else []
    found = chain(
        advice.rungs(ended),
        advice.lasting(ended),
        advice.retries(tries),
        advice.limits(_refused(journal, values), _fired(ended)),
        advice.words(_answers(journal, values)),
    )
    healed = ((one.runbook, one.detector, Point(one.closed, one.state == "cured", one.closed - one.opened))
              for one in sorted(ended, key=lambda each: each.closed) if not one.by_itself)  # fmt: skip
    return Trends(
        tuple(_series(_points(journal, "attempt.ended", "operation", values))),
        tuple(_series(healed)),
        tuple(_series(_points(journal, "step.ended", "module", values))),
        tuple(_series(_needed(journal, asked))),
        tuple(found),
    )


def _series(points: Iterator[tuple[str, str, Point]]) -> Iterator[Series]:
    groups: dict[tuple[str, str], list[Point]] = defaultdict(list)
    for runbook, name, point in points:
        groups[runbook, name].append(point)
    for (runbook, name), several in sorted(groups.items()):
        yield Series(runbook, name, trend(several), tuple(several))


def _needed(journal: Journal, asked: Asked) -> Iterator[tuple[str, str, Point]]:
    """Yield the attempts of each component."""
    for runbook, component, tries in component_tries(journal, asked) if not asked.detector else ():
        for at, ok, seconds in tries:
            yield runbook, component, Point(at, ok, seconds)


def _points(journal: Journal, kind: str, column: str, values: Sequence[Any]) -> Iterator[tuple[str, str, Point]]:
    rows = journal.ask(
        f"""
        SELECT runbook, {column}, at, status IN ('done', 'ok'), duration FROM events INDEXED BY events_by_kind
        WHERE kind = ? AND at >= ? AND {column} <> '' AND {_TIMED} {_ABOUT} ORDER BY at
        """,  # noqa: S608 -- a column's name, from this file
        (kind, *values),
    )
    for runbook, name, at, ok, seconds in rows:
        yield runbook, name, Point(at, bool(ok), seconds)


def _ended(journal: Journal, values: Sequence[Any]) -> list[advice.Ended]:
    """Return the incidents that are over, with the rungs that were tried."""
    tried: dict[str, dict[int, list[str]]] = defaultdict(dict)
    for incident, rung, title in journal.ask(
        f"""
        SELECT incident, json_extract(data, '$.rung'), json_extract(data, '$.title')
        FROM events INDEXED BY events_by_kind
        WHERE kind = 'step.ended' AND at >= ? AND incident <> '' AND {_TIMED}
            AND json_extract(data, '$.phase') = 'recover' {_ABOUT} ORDER BY at
        """,  # noqa: S608 -- question marks
        values,
    ):
        titles = tried[incident].setdefault(int(rung or 0), [])
        if title and title not in titles:
            titles.append(str(title))
    strategies = {
        incident: str(strategy or "")
        for incident, strategy in journal.ask(
            f"""
            SELECT incident, json_extract(data, '$.strategy') FROM events INDEXED BY events_by_kind
            WHERE kind = 'recovery.begun' AND at >= ? {_ABOUT}
            """,  # noqa: S608 -- question marks
            values,
        )
    }
    alone = {
        incident
        for (incident,) in journal.ask(
            f"""
            SELECT incident FROM events INDEXED BY events_by_kind WHERE kind = 'incident.ended' AND at >= ?
                AND status = 'cured' AND json_extract(data, '$.reason') LIKE '%by itself%' {_ABOUT}
            """,  # noqa: S608 -- question marks
            values,
        )
    }
    rows = journal.ask(
        f"""
        SELECT id, runbook, detector, host, subject, opened, closed, state FROM incidents
        WHERE opened >= ? AND closed IS NOT NULL {_ABOUT} ORDER BY opened
        """,  # noqa: S608 -- question marks
        values,
    )
    return [
        advice.Ended(
            runbook,
            detector,
            host,
            subject,
            opened,
            closed,
            state,
            by_itself=name in alone,
            strategy=strategies.get(name, ""),
            rungs=tuple((rung, " + ".join(titles)) for rung, titles in sorted(tried.get(name, {}).items())),
        )
        for name, runbook, detector, host, subject, opened, closed, state in rows
    ]


def _tries(journal: Journal, values: Sequence[Any]) -> Iterator[advice.Try]:
    """Yield attempts, with what was waited before each; a chain begins with each first attempt."""
    rows = journal.ask(
        f"""
        SELECT runbook, run, host, operation, kind, status IN ('done', 'ok'), json_extract(data, '$.attempt'),
            json_extract(data, '$.delay')
        FROM events WHERE kind IN ('attempt.ended', 'attempt.delayed') AND at >= ?
            AND (status IS NULL OR {_TIMED}) {_ABOUT} ORDER BY seq
        """,  # noqa: S608 -- question marks
        values,
    )
    chains: dict[tuple[str, str, str], int] = {}
    delays: dict[tuple[str, str, str], float] = {}
    number = 0
    for runbook, run, host, operation, kind, ok, attempt, delay in rows:
        key = (run, host, operation)
        if kind == "attempt.delayed":
            delays[key] = float(delay or 0.0)
            continue
        if attempt in (None, 1) or key not in chains:
            number += 1
            chains[key] = number
        yield advice.Try(runbook, operation, chains[key], int(attempt or 1), bool(ok), delays.pop(key, None))


def _refused(journal: Journal, values: Sequence[Any]) -> Iterator[tuple[str, str, str]]:
    for runbook, detector, at in journal.ask(
        f"""
        SELECT runbook, detector, at FROM events INDEXED BY events_by_kind
        WHERE kind = 'guard.refused' AND at >= ? AND status = 'limit' {_ABOUT}
        """,  # noqa: S608 -- question marks
        values,
    ):
        yield runbook, detector, _day(at)


def _fired(ended: Sequence[advice.Ended]) -> Iterator[tuple[str, str, str]]:
    for one in ended:
        yield one.runbook, one.detector, _day(one.opened)


def _answers(journal: Journal, values: Sequence[Any]) -> Iterator[advice.Answered]:
    """Yield the first word about each incident."""
    seen: set[str] = set()
    for incident, runbook, detector, kind, at, opened in journal.ask(
        f"""
        SELECT events.incident, events.runbook, events.detector, kind, at, opened
        FROM events INDEXED BY events_by_kind JOIN incidents ON incidents.id = events.incident
        WHERE kind IN ('approval.given', 'approval.refused') AND at >= ? {
            _ABOUT.replace("runbook", "events.runbook")
            .replace("host", "events.host")
            .replace("detector", "events.detector")
        } ORDER BY seq
        """,  # noqa: S608 -- question marks
        values,
    ):
        if incident not in seen:
            seen.add(incident)
            yield advice.Answered(runbook, detector, kind == "approval.given", at - opened)


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d}"
