"""People's words in the journal: each is a row that holds now, and an event that stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runbook.engine.journal import codec
from runbook.engine.people import Ack, Approval, Maintenance, People, Reset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Write = Callable[[str, Sequence[Any]], int]
    Ask = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]

_SAID = """
    INSERT INTO events (at, kind, run, runbook, host, detector, subject, incident, operation, step, status, data)
    SELECT ?, ?, '', runbook, host, detector, subject, id, '', '', ?, ? FROM incidents WHERE id = ?
"""
_TOLD = """
    INSERT INTO events (at, kind, run, runbook, host, detector, subject, incident, operation, step, status, data)
    VALUES (?, ?, '', '', ?, '', '', '', '', '', NULL, ?)
"""


def people(ask: Ask, now: float) -> People:
    """Return all that people have said and that holds now.

    The last word about an open incident is there though it has expired. An acknowledgement outlasts an incident that
    was not cured: what it was about may still be down.
    """
    maintenance = ask(
        "SELECT id, hosts, since, until, said_by, reason FROM maintenance"
        " WHERE ended IS NULL AND since <= ? AND (until IS NULL OR until > ?) ORDER BY since, id",
        (now, now),
    )
    acks = ask(
        "SELECT incident, at, acks.until, said_by, reason FROM acks CROSS JOIN incidents ON incidents.id = incident"
        " WHERE incidents.state <> 'cured' AND (until IS NULL OR until > ?)",
        (now,),
    )
    approvals = ask(
        "SELECT incident, digest, at, until, said_by, granted, reason FROM approvals"
        " WHERE id IN (SELECT max(approvals.id) FROM incidents JOIN approvals ON incident = incidents.id"
        " WHERE closed IS NULL GROUP BY incident)",
        (),
    )
    resets = ask("SELECT component, host, at, said_by FROM resets ORDER BY at", ())
    return People(
        tuple(Maintenance(*row) for row in maintenance),
        {row[0]: Ack(*row) for row in acks},
        {row[0]: Approval(*(*row[:5], bool(row[5]), row[6])) for row in approvals},
        tuple(Reset(*row) for row in resets),
    )


class Words:
    """The half of a batch that writes down what people say. `by` is user@machine; times in seconds since the epoch."""

    def write(self, statement: str, values: Sequence[Any]) -> int:
        """Write by a statement of this room; return how many rows it changed."""
        raise NotImplementedError

    def approve(self, word: Approval) -> None:
        """Write that a person allowed, or refused, the steps of a digest; the last word about an incident counts."""
        self.write(
            "INSERT INTO approvals (incident, digest, granted, at, until, said_by, reason)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (word.incident, word.digest, int(word.granted), word.at, word.until, word.by, word.reason),
        )
        data = {"by": word.by, "reason": word.reason, "until": word.until, "digest": word.digest}
        self._said("approval.given" if word.granted else "approval.refused", word.at, word.incident, data)

    def ack(self, word: Ack) -> None:
        """Write that a person deals with an incident; nothing is begun about it until then."""
        self.write(
            "INSERT INTO acks (incident, at, until, said_by, reason) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET at = excluded.at, until = excluded.until, said_by = excluded.said_by, reason = excluded.reason",
            (word.incident, word.at, word.until, word.by, word.reason),
        )
        data = {"by": word.by, "reason": word.reason, "until": word.until}
        self._said("incident.acked", word.at, word.incident, data)

    def unack(self, incident: str, by: str, at: float) -> bool:
        """Take an acknowledgement back; return whether there was one."""
        found = self.write("DELETE FROM acks WHERE incident = ?", (incident,))
        if found:
            self._said("incident.unacked", at, incident, {"by": by})
        return bool(found)

    def maintain(self, word: Maintenance) -> None:
        """Write that on some hosts nothing is begun for a while."""
        self.write(
            "INSERT INTO maintenance (id, hosts, since, until, said_by, reason) VALUES (?, ?, ?, ?, ?, ?)",
            (word.id, word.hosts, word.since, word.until, word.by, word.reason),
        )
        data = {"id": word.id, "hosts": word.hosts, "by": word.by, "reason": word.reason, "until": word.until}
        self._told("maintenance.begun", word.since, word.hosts, data)

    def end_maintenance(self, name: str, by: str, at: float) -> bool:
        """Take a maintenance off; return whether it was on."""
        found = self.write(
            "UPDATE maintenance SET ended = ?, ended_by = ? WHERE id = ? AND ended IS NULL", (at, by, name)
        )
        if found:
            self._told("maintenance.ended", at, "", {"id": name, "by": by})
        return bool(found)

    def reset(self, word: Reset) -> None:
        """Write that a component is well again: what it did before counts no more."""
        self.write(
            "INSERT INTO resets (component, host, at, said_by) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET at = excluded.at, said_by = excluded.said_by",
            (word.component, word.host, word.at, word.by),
        )
        self._told("component.reset", word.at, word.host, {"component": word.component, "by": word.by})

    def release(self, incident: str, by: str, at: float, reason: str = "") -> bool:
        """Close an interrupted incident; the next pass decides anew. Return whether it was open and interrupted."""
        found = self.write(
            "UPDATE incidents SET closed = ?, updated = ? WHERE id = ? AND state = 'interrupted' AND closed IS NULL",
            (at, at, incident),
        )
        if found:
            self._said("incident.released", at, incident, {"by": by, "reason": reason})
            self._said("incident.ended", at, incident, {"to": "interrupted", "reason": f"released by {by}"})
        return bool(found)

    def _said(self, kind: str, at: float, incident: str, data: Mapping[str, Any]) -> None:
        """Append what was said of an incident."""
        status = str(data.get("to") or "") or None
        self.write(_SAID, (at, kind, status, codec.dump(data), incident))

    def _told(self, kind: str, at: float, host: str, data: Mapping[str, Any]) -> None:
        """Append what was said of hosts or components."""
        self.write(_TOLD, (at, kind, host, codec.dump(data)))
