"""The report for programs, `--format json`: one document at the end (DESIGN §6)."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from runbook.engine.journal import codec
from runbook.engine.report.gather import Gather
from runbook.engine.report.outlet import Outlet
from runbook.engine.report.passes import SCHEMA
from runbook.engine.report.summary import summary_line

if TYPE_CHECKING:
    from typing import TextIO

    from runbook.engine.journal.facts import Fact
    from runbook.engine.report.passes import (
        HostReport,
        IncidentReport,
        OperationReport,
        PassReport,
        RefusedReport,
        RunReport,
        StepReport,
        UndoneReport,
        Unseen,
        Well,
    )


class DocumentReporter:
    """Writes one document, when everything is over."""

    def __init__(self, stream: TextIO, redact: codec.Redact = codec.as_is) -> None:
        self._outlet = Outlet(stream)
        self._gather = Gather(redact)

    def fact(self, fact: Fact) -> None:
        """Take in what happened."""
        self._gather.add(fact)

    def progress(self, host: str, title: str, text: str, share: float | None = None) -> None:
        """Programs do not watch."""

    def finish(self, summary: PassReport | None = None, *, stopped: bool = False) -> PassReport:
        """Write the document."""
        report = summary or self._gather.report(stopped=stopped)
        self._outlet.write(encode(document(report), indent=2) + "\n")
        return report


def document(report: PassReport) -> dict[str, Any]:
    """Return the document of a pass."""
    return {
        "schema": SCHEMA,
        "exit_code": report.exit_code,
        "summary": summary_line(report),
        "runs": [run_document(run) for run in report.runs],
    }


def encode(value: Any, *, indent: int | None = None) -> str:
    """Return JSON that every reader accepts: in ASCII, and null for what is no number or was not seen."""
    return json.dumps(_strict(value), indent=indent, allow_nan=False)


def run_document(run: RunReport) -> dict[str, Any]:
    """Return one run of the document."""
    return {
        "runbook": run.runbook,
        "run_id": run.run_id,
        "check": run.check,
        "started": run.started,
        "duration_s": _seconds(run.duration),
        **({"halted": run.halted} if run.halted else {}),
        "hosts": {
            name: _host(host, looked=run.looked is None or name in run.looked) for name, host in run.hosts.items()
        },
    }


def _host(host: HostReport, *, looked: bool) -> dict[str, Any]:
    return {
        "state": host.state if looked or host.state != "well" else "not looked at",
        **({"unreachable": host.unreachable} if host.unreachable else {}),
        "operations": [_operation(one) for one in host.operations],
        "incidents": [_incident(one) for one in host.incidents],
        "unknown": [_unseen(one) for one in host.unknown],
        "absent": [_unseen(one) for one in host.absent],
        **({"well": [_well(one) for one in host.well]} if host.well else {}),
        "steps": [_step(one) for one in host.steps],
        **({"told": [{**one, "reason": one["reason"] or None} for one in host.told]} if host.told else {}),
    }


def _operation(one: OperationReport) -> dict[str, Any]:
    return {
        "name": one.name,
        "state": one.state,
        "attempts": one.attempts,
        "duration_s": _seconds(one.duration),
        "error": one.error or None,
        **({"member": one.member} if one.member else {}),
        **({"fallback": one.fallback, "after": one.after} if one.fallback else {}),
        **({"refused": [_refused(each) for each in one.refused]} if one.refused else {}),
        **({"undone": [_undone(each) for each in one.undone]} if one.undone else {}),
        "steps": [_step(step) for step in one.steps],
    }


def _refused(one: RefusedReport) -> dict[str, Any]:
    return {"component": one.component, "reason": one.reason, "until": one.until}


def _undone(one: UndoneReport) -> dict[str, Any]:
    return {"state": one.state, "error": one.error or None, "actions": [dict(action) for action in one.actions]}


def _incident(one: IncidentReport) -> dict[str, Any]:
    return {
        "id": one.id or None,
        "detector": one.detector,
        "subject": one.subject,
        "state": one.state,
        "severity": one.severity,
        "category": one.category or None,
        "count": one.count,
        "when": one.when or None,
        "since": one.since,
        "duration_s": None if one.duration is None else _seconds(one.duration),
        "recovery_s": None if one.recovery is None else _seconds(one.recovery),
        "evidence": one.evidence,
        "fields": dict(one.fields),
        "after": one.after or None,
        "reason": one.reason or None,
        "steps": [_step(step) for step in one.steps],
    }


def _step(one: StepReport) -> dict[str, Any]:
    return {
        "module": one.module,
        "title": one.title or one.module,
        "phase": one.phase or None,
        "state": one.state,
        "changed": one.changed,
        "duration_s": _seconds(one.duration),
        "error": one.error or None,
        "exit_code": one.exit_code,
        "output": one.output or None,
        "actions": [dict(action) for action in one.actions],
        "diff": one.diff or None,
    }


def _unseen(one: Unseen) -> dict[str, Any]:
    return {"detector": one.detector, "reason": one.reason}


def _well(one: Well) -> dict[str, Any]:
    return {
        "detector": one.detector,
        "subject": one.subject,
        "evidence": one.evidence,
        "fields": dict(one.fields),
        **({"holds": one.holds} if one.is_input else {}),
    }


def _seconds(value: float) -> float:
    return round(value, 3)


def _strict(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        if len(value) == 1 and value.keys() <= {"$unseen", "$number"}:
            return None
        return {key: _strict(item) for key, item in codec.unescaped(value).items()}
    return [_strict(item) for item in value] if isinstance(value, list | tuple) else value
