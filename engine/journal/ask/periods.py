"""What held when: the times in which incidents stood open, as the journal has them; for `runbook replay`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runbook.engine.journal import codec
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.journal.store import Journal


@frozen
class Period:
    """From when to when a detector's condition held about a subject. Seconds since the epoch."""

    host: str
    detector: str
    subject: str
    since: float
    until: float | None  # None = it holds still
    fields: Mapping[str, Any]  # of the record that opened the incident
    after: Mapping[str, Any]  # of the last look
    state: str  # how the incident ended, or stands


def periods(journal: Journal, runbook: str, since: float) -> list[Period]:
    """Return what held since a time, in the order in which it began."""
    rows = journal.ask(
        "SELECT host, detector, subject, state, opened, closed, data FROM incidents"
        " WHERE runbook = ? AND (closed IS NULL OR closed >= ?) ORDER BY opened, id",
        (runbook, since),
    )
    found = []
    for host, detector, subject, state, opened, closed, column in rows:
        data = codec.load(column)
        began = float(data.get("since") or opened)
        fields, after = data.get("fields") or {}, data.get("after") or {}
        over = data.get("well_since") if state == "cured" else None  # watched ever since
        found.append(Period(host, detector, subject, began, closed if over is None else over, fields, after, state))
    return sorted(found, key=lambda period: period.since)
