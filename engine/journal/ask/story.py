"""The story of one incident: all that was seen, decided, done and said of it."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 -- a frozen class looks at its types
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.journal import codec, watches
from runbook.engine.journal.ask.find import COLUMNS, FACT, facts, incident_row
from runbook.engine.journal.ask.standing import is_free, nobody
from runbook.engine.people import People
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runbook.engine.journal.facts import Fact, IncidentRow
    from runbook.engine.journal.store import Journal

_MOST: Final = 2000  # facts that are told
_OPERATED: Final = ("attempt.ended", "attempt.delayed", "attempt.refused", "operation.ended")
_MANY: Final = 500  # variables of one statement


@frozen
class Story:
    """An incident with all that the journal has of it."""

    incident: IncidentRow
    facts: tuple[Fact, ...]  # in the order in which they happened
    root: IncidentRow | None = None  # that it follows from
    folded: tuple[IncidentRow, ...] = ()  # what follows from it
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # of its steps, by intent; without secrets
    file: str = ""  # of the runbook, as its last run named it
    people: People = field(default_factory=People)
    free: bool = False  # the lease that kept it from recovery is over
    watched: bool = False  # a watch looks after its runbook

    @property
    def opening(self) -> Mapping[str, Any]:
        """What was told when it opened."""
        return next((fact.data for fact in self.facts if fact.kind == "incident.opened"), {})


def story(journal: Journal, incident: IncidentRow, now: float, alive: Callable[[str], bool] = nobody) -> Story:
    """Return the story of an incident."""
    rows = journal.ask(
        f"SELECT seq, {FACT} FROM events WHERE incident = ? AND incident <> '' ORDER BY seq LIMIT ?",  # noqa: S608
        (incident.id, _MOST),
    )
    runs = dict.fromkeys(row[3] for row in rows if row[3])
    rows += _operated(journal, incident, list(runs))
    told = facts(row[1:] for row in sorted(set(rows), key=lambda row: row[0]))
    data = incident.data
    named = [str(one["id"]) for one in data.get("folded") or () if isinstance(one, dict) and one.get("id")]
    followed = _rows(journal, named)
    roots = _rows(journal, [str(data["root"])]) if data.get("root") else []
    steps = [fact.step for fact in told if fact.kind == "step.begun" and fact.step]
    file = journal.ask("SELECT file FROM runs WHERE runbook = ? ORDER BY started DESC LIMIT 1", (incident.runbook,))
    return Story(
        incident,
        told,
        roots[0] if roots else None,
        tuple(followed),
        _params(journal, steps),
        file[0][0] if file else "",
        journal.people(now),
        is_free(journal, incident, alive, now),
        watches.holder(journal, incident.runbook, alive) is not None,
    )


def _operated(journal: Journal, incident: IncidentRow, runs: list[str]) -> list[tuple[Any, ...]]:
    """Return the attempts of the operation that an `error` detector's incident is about."""
    found = []
    for run in runs[:_MANY]:
        found += journal.ask(
            f"SELECT seq, {FACT} FROM events WHERE run = ? AND kind IN ({', '.join('?' * len(_OPERATED))})"  # noqa: S608
            " AND host = ? AND operation = ? ORDER BY seq LIMIT ?",
            (run, *_OPERATED, incident.host, incident.subject, _MOST),
        )
    return found if incident.subject else []


def _rows(journal: Journal, ids: list[str]) -> list[IncidentRow]:
    several = ids[:_MANY]
    rows = journal.ask(
        f"SELECT {COLUMNS} FROM incidents WHERE id IN ({', '.join('?' * len(several))}) ORDER BY opened, id",  # noqa: S608
        several,
    )
    return [incident_row(row) for row in rows]


def _params(journal: Journal, intents: Iterable[str]) -> dict[str, dict[str, Any]]:
    several = list(intents)[:_MANY]
    rows = journal.ask(
        f"SELECT id, params FROM intents WHERE id IN ({', '.join('?' * len(several))})",  # noqa: S608 -- question marks
        several,
    )
    return {name: codec.load(column) for name, column in rows}
