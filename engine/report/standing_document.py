"""How things stand, as `status --format json` tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runbook.engine.report.following import asked
from runbook.engine.report.levels import levels
from runbook.engine.report.passes import SCHEMA
from runbook.engine.report.standing import at_work, exit_code, summary
from runbook.engine.report.standing_blocks import following_of

if TYPE_CHECKING:
    from runbook.engine.journal.ask.runs import LastRun
    from runbook.engine.journal.ask.standing import Standing
    from runbook.engine.journal.facts import IncidentRow
    from runbook.engine.journal.watches import Watch
    from runbook.engine.report.levels import Level


def document(stands: Standing, now: float) -> dict[str, Any]:
    """Return the document of `status --format json`."""
    people = stands.people
    return {
        "schema": SCHEMA,
        "exit_code": exit_code(stands),
        "summary": summary(stands, now),
        "now": now,
        "watches": [_watch(watch, state) for watch, state in stands.watches],
        "passes": [_pass(one, now, at_work=at_work(one, stands)) for one in stands.passes],
        "incidents": [_incident(one, stands, now) for one in stands.incidents],
        "pending": [
            {"runbook": one.runbook, "host": one.host, "detector": one.detector, "subject": one.subject,
             "since": one.since, "for_s": one.data.get("hold"), "count": one.data.get("counted"),
             "wanted": one.data.get("count")}
            for one in stands.pending
        ],
        "unknown": [
            {"runbook": one.runbook, "host": one.host, "detector": one.detector or None, "reason": one.reason,
             "at": one.at}
            for one in stands.blind
        ],
        "operations": [
            {"runbook": one.runbook, "host": one.host, "operation": one.operation, "state": one.state,
             "attempts": one.attempts, "error": one.error or None, "at": one.at}
            for one in stands.undone
        ],
        "components": [_component(one) for one in levels(stands.components, people.resets, now)],
        "pools": [
            {"runbook": one.runbook, "host": one.host, "pool": one.pool, "active": one.member, "since": one.since}
            for one in stands.pools
        ],
        "maintenance": [
            {"id": one.id, "hosts": one.hosts, "since": one.since, "until": one.until, "by": one.by,
             "reason": one.reason or None}
            for one in people.maintenance
        ],
        "acks": [
            {"incident": one.incident, "at": one.at, "until": one.until, "by": one.by, "reason": one.reason or None}
            for one in people.acks.values()
        ],
    }  # fmt: skip


def _watch(one: Watch, state: str) -> dict[str, Any]:
    """Return a watch of the document."""
    return {
        "runbook": one.runbook,
        "shard": one.shard or None,
        "state": state,
        "run_id": one.run,
        "by": one.holder,
        "epoch": one.epoch,
        "since": one.since,
        "last_sign": one.beat,
        "until": one.until,
        "every_s": one.every,
        "told": dict(one.told),
    }


def _incident(one: IncidentRow, stands: Standing, now: float) -> dict[str, Any]:
    """Return an incident of the document."""
    data, approval = one.data, stands.people.approvals.get(one.id)
    return {
        "id": one.id,
        "runbook": one.runbook,
        "host": one.host,
        "detector": one.detector,
        "subject": one.subject,
        "state": one.state,
        "severity": one.severity,
        "since": data.get("since", one.opened),
        "opened": one.opened,
        "updated": one.updated,
        "closed": one.closed,
        "count": data.get("count", 1),
        "fields": data.get("fields") or {},
        "reason": data.get("reason") or None,
        "until": data.get("until"),
        "next": following_of(one, stands, now) or None,
        "root": data.get("root") or None,
        "folded": list(data.get("folded") or ()),
        "digest": data.get("digest") or None,
        "steps": [dict(step) for step in asked(one)],
        "approval": None if approval is None else
        {"granted": approval.granted, "by": approval.by, "at": approval.at, "until": approval.until,
         "digest": approval.digest, "reason": approval.reason or None},
    }  # fmt: skip


def _component(one: Level) -> dict[str, Any]:
    """Return a component of the document."""
    stands = one.breaker
    return {
        "runbook": one.runbook,
        "host": one.host,
        "name": one.name,
        "level": one.health.level,
        "error_rate": one.health.error_rate,
        "attempts": one.health.attempts,
        "latency_mean_s": one.health.latency_mean,
        "breaker": None if stands is None else
        {"position": stands.position.value, "failures": stands.failures, "opened": stands.opened,
         "until": stands.until},
    }  # fmt: skip


def _pass(one: LastRun, now: float, *, at_work: bool) -> dict[str, Any]:
    return {
        "runbook": one.runbook,
        "run_id": one.id,
        "command": one.command,
        "file": one.file or None,
        "by": one.by,
        "started": one.started,
        "ended": one.ended,
        "exit_code": one.exit_code,
        "at_work": at_work,
        "every_s": one.every,
        "overdue_s": one.overdue(now),
    }
