"""What is written together: a batch is one transaction, and an intent stands in it before its step is sent."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

from runbook.engine.journal import codec, faults
from runbook.engine.journal.words import Words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook.engine.journal.facts import Fact, IncidentRow, IntentRow, RunStart
    from runbook.engine.model import Outcome


class Batch(Words):
    """The open transaction of `Journal.transaction`; of no use after it."""

    def __init__(self, connection: sqlite3.Connection, place: str, redact: codec.Redact) -> None:
        self._connection: sqlite3.Connection | None = connection
        self._place = place
        self._redact = redact

    def close(self) -> None:
        """Refuse everything from now on: the transaction is over."""
        self._connection = None

    def begin_run(self, run: RunStart) -> None:
        """Write down that a run began."""
        self.write(
            "INSERT INTO runs (id, runbook, file, digest, command, started, started_by) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (run.id, run.runbook, run.file, run.digest, run.command, run.started, run.by),
        )

    def end_run(self, run_id: str, ended: float, exit_code: int) -> None:
        """Write down how a run ended; what was ended by its successor stays so."""
        self.write(
            "UPDATE runs SET ended = ?, exit_code = ? WHERE id = ? AND ended IS NULL", (ended, exit_code, run_id)
        )

    def event(self, fact: Fact) -> None:
        """Append what happened."""
        data = fact.data
        status = next((str(data[key]) for key in ("status", "state", "to", "guard") if data.get(key)), None)
        if status is None and isinstance(data.get("ok"), bool):
            status = "ok" if data["ok"] else "failed"
        detector = fact.detector or str(data.get("detector") or data.get("detector_pending") or "")
        subject = fact.subject or str(data.get("subject_pending") or "")
        columns = (fact.run, fact.host, detector, subject, fact.incident, fact.operation, fact.step)
        measured = (data.get("module") or None, status, _number(data.get("duration")), _number(data.get("since")))
        self.write(
            "INSERT INTO events (at, kind, run, host, detector, subject, incident, operation, step,"
            " module, status, duration, since, data, runbook) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
            " coalesce((SELECT runbook FROM runs WHERE id = ?), ''))",
            (fact.at, fact.kind, *columns, *measured, codec.dump(data, self._redact), fact.run),
        )

    def incident(self, row: IncidentRow) -> None:
        """Write how an incident stands now, over how it stood before; what is closed, by a person even, stays so."""
        data = codec.dump(row.data, self._redact)
        # Most turns of a recovery change `data` alone: then three indexes need no writing, a fifth of the turn's pages.
        same = (row.id, row.state, row.severity, row.opened, row.closed)
        if self.write(
            "UPDATE incidents SET updated = ?, data = ?"
            " WHERE id = ? AND state = ? AND severity = ? AND opened = ? AND closed IS ? AND closed IS NULL",
            (row.updated, data, *same),
        ):
            return
        self.write(
            "INSERT INTO incidents"
            " (id, runbook, detector, host, subject, state, severity, opened, updated, closed, data)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state,"
            " severity = excluded.severity, opened = excluded.opened, updated = excluded.updated,"
            " closed = excluded.closed, data = excluded.data WHERE incidents.closed IS NULL",
            (
                *(row.id, row.runbook, row.detector, row.host, row.subject, row.state, row.severity),
                *(row.opened, row.updated, row.closed, data),
            ),
        )

    def reported(self, incident: str, told: Mapping[str, float]) -> None:
        """Write what people were told of an incident that is over."""
        self.write(
            "UPDATE incidents SET data = json_set(data, '$.reported', json(?)) WHERE id = ?",
            (json.dumps(dict(told)), incident),
        )

    def well(self, incident: str, now: float) -> None:
        """Write that what an incident was about, which ended in vain, is well again: people need hear of it no more."""
        self.write("UPDATE incidents SET data = json_set(data, '$.reported.well', ?) WHERE id = ?", (now, incident))

    def hold(
        self,
        runbook: str,
        detector: str,
        host: str,
        subject: str,
        since: float | None,
        seen: float,
        data: Mapping[str, Any],
    ) -> None:
        """Write since when a condition holds; None: it does not hold any more."""
        key = (runbook, host, detector, subject)
        if since is None:
            self.write("DELETE FROM holds WHERE runbook = ? AND host = ? AND detector = ? AND subject = ?", key)
            return
        self.write(
            "INSERT INTO holds (runbook, host, detector, subject, since, seen, data) VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET since = excluded.since, seen = excluded.seen, data = excluded.data",
            (*key, since, seen, codec.dump(data, self._redact)),
        )

    def cursor(self, runbook: str, detector: str, host: str, state: Mapping[str, Any]) -> None:
        """Write what a detector's probe is to be handed at the next look."""
        self.write(
            "INSERT INTO cursors (runbook, host, detector, state) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET state = excluded.state",
            (runbook, host, detector, codec.dump(state, self._redact)),
        )

    def pool(self, runbook: str, host: str, pool: str, member: str, at: float) -> None:
        """Write which member of a pool is active from now on."""
        self.write(
            "INSERT INTO pools (runbook, host, pool, member, at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET member = excluded.member, at = excluded.at",
            (runbook, host, pool, member, at),
        )

    def intent(self, row: IntentRow) -> None:
        """Write what is about to be sent to a host."""
        self.write(
            "INSERT INTO intents"
            " (id, run, host, subject, incident, operation, module, title, params, at, epoch, carrier, user, runbook)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, coalesce((SELECT runbook FROM runs WHERE id = ?), ''))",
            (
                *(row.id, row.run, row.host, row.subject, row.incident, row.operation, row.module, row.title),
                *(codec.dump(row.params, self._redact), row.at, row.epoch, row.carrier, row.user, row.run),
            ),
        )

    def result(self, intent_id: str, at: float, outcome: Outcome) -> None:
        """Write what became of an intent, once. What it said (output, diff) stands in the event that tells its end.

        Raises:
            ValueError: there is no such intent, or its result is known already.
        """
        told: dict[str, Any] = {
            "status": outcome.status.value,
            "changed": outcome.changed,
            "exit_code": outcome.exit_code,
        }
        told |= {"data": outcome.data, "duration": outcome.duration}
        written = self.write(
            "UPDATE intents SET ended = ?, outcome = ? WHERE id = ? AND ended IS NULL",
            (at, codec.dump(told, self._redact), intent_id),
        )
        if not written:
            raise ValueError(f"intent {intent_id} is unknown, or has its result already")

    def write(self, statement: str, values: Sequence[Any]) -> int:
        """Write by a statement of this room; return how many rows it changed."""
        if self._connection is None:
            raise RuntimeError("the transaction of this batch is over")
        redact = self._redact
        clean = [
            value
            if not isinstance(value, str) or (redact is codec.as_is and value.isascii())
            else codec.text(value, redact)
            for value in values
        ]
        try:
            return self._connection.execute(statement, clean).rowcount
        except sqlite3.IntegrityError as error:
            raise ValueError(f"the journal holds that already: {error}") from error
        except sqlite3.Error as error:
            raise faults.explain(error, self._place) from error


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
