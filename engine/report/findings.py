"""The incidents of a host as facts tell of them: each is found by its id, however many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.report import reading

if TYPE_CHECKING:
    from runbook.engine.journal.facts import Fact
    from runbook.engine.report.passes import IncidentReport


class Findings:
    """One host's incidents, in the order in which they were first told of."""

    def __init__(self) -> None:
        self._rows: list[IncidentReport] = []
        self._ids: dict[str, int] = {}  # where each stands
        self._pending: dict[tuple[str, str], int] = {}  # by detector and subject: one that is pending has no id yet

    def find(self, fact: Fact) -> IncidentReport | None:
        """Return the incident that a fact is about, as it is so far."""
        place = self._place(fact)
        return None if place is None else self._rows[place]

    def put(self, fact: Fact, one: IncidentReport) -> None:
        """Keep the incident that a fact is about as it is now."""
        place = self._place(fact)
        if place is None:
            place = len(self._rows)
            self._rows.append(one)
        self._rows[place] = one
        if one.id:
            self._ids[one.id] = place
            self._pending.pop((one.detector, one.subject), None)
        elif one.state == "pending":
            self._pending[one.detector, one.subject] = place

    def rows(self) -> tuple[IncidentReport, ...]:
        """Return all of them."""
        return tuple(self._rows)

    def _place(self, fact: Fact) -> int | None:
        known = self._ids.get(fact.incident) if fact.incident else None
        return self._pending.get((reading.detector(fact), reading.subject(fact))) if known is None else known
