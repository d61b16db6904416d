"""Finding what a person names: an incident by the beginning of its id, an event as a fact."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.errors import UserError
from runbook.engine.journal import codec
from runbook.engine.journal.facts import Fact, IncidentRow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runbook.engine.journal.store import Journal

COLUMNS: Final = "id, runbook, detector, host, subject, state, severity, opened, updated, closed, data"
FACT: Final = "kind, at, run, host, detector, subject, incident, operation, step, data"
_LAST: Final = "\U0010ffff"
_MOST: Final = 5  # incidents that are named where several are meant


def incident(journal: Journal, start: str) -> IncidentRow:
    """Return the incident whose id begins so; of several the one that is open.

    Raises:
        UserError: there is none, or there are several.
    """
    asked = start.strip().lower()
    rows = journal.ask(
        f"SELECT {COLUMNS} FROM incidents WHERE id >= ? AND id < ? ORDER BY closed IS NOT NULL, opened DESC LIMIT ?",  # noqa: S608 -- columns of ours
        (asked, asked + _LAST, _MOST + 1),
    )
    if not rows or not asked:
        if not journal.exists:
            raise UserError(
                f"there is no incident {start}", where=journal.path, mend="there is no journal: --journal names another"
            )
        raise UserError(
            f"there is no incident {start}",
            where=journal.path,
            mend="`runbook status` shows those that are open, `runbook history --incidents` all",
        )
    if len(rows) > 1:
        found = [incident_row(row) for row in rows]
        exact = next((one for one in found if one.id == asked), None)
        if exact is not None:
            return exact
        if found[0].closed is None and found[1].closed is not None:
            return found[0]  # of thousands that are over many begin so, and people mean the one that is open
        several = [_named(one) for one in found[:_MOST]]
        more = ["…"] if len(rows) > _MOST else []
        raise UserError(f"{start} begins several ids", mend="\n  ".join(["write more of one:", *several, *more]))
    return incident_row(rows[0])


def incident_row(row: tuple[Any, ...]) -> IncidentRow:
    """Return a row of `COLUMNS` as an incident."""
    return IncidentRow(*(*row[:10], codec.load(row[10])))


def facts(rows: Iterable[tuple[Any, ...]]) -> tuple[Fact, ...]:
    """Return rows of `FACT` as facts."""
    return tuple(Fact(*(*row[:9], codec.load(row[9]))) for row in rows)


def _named(row: IncidentRow) -> str:
    about = f"{row.detector} on {row.host}" + (f" ({row.subject})" if row.subject and row.subject != row.host else "")
    opened = time.strftime("%Y-%m-%d %H:%M", time.localtime(row.opened))
    return f"{row.id}  {row.state}, {about}, {opened}"
