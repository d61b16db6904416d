"""The state that earlier passes left, read from the journal."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.decide import flapping
from runbook.engine.detect import components
from runbook.engine.detect.attempts import Attempt
from runbook.engine.detect.correlate import Said
from runbook.engine.detect.hold import Hold
from runbook.engine.journal import leases
from runbook.engine.model import UNKNOWN
from runbook.engine.recover import kept
from runbook.engine.recover.state import State
from runbook.engine.recover.work import Left

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runbook.engine.journal.facts import HoldRow
    from runbook.engine.journal.store import Journal
    from runbook.engine.model import Key, Runbook
    from runbook.engine.recover.state import Plan

LATELY: Final = 120.0  # seconds in which an ended incident can still be the root of what comes late
DOWN: Final = 7 * 86400.0  # seconds in which a host whose recovery was in vain counts as one that is down
_RESTORED: Final = (
    *("incidents", "holds", "begun", "finished", "steps", "said", "attempts", "active", "left", "cleared", "failed"),
    "past",
    "vain",
)
SAID: Final = "*"  # in place of a subject: what a detector last said of all its subjects, for correlations


def horizon(runbook: Runbook, now: float) -> float:
    """Return since when recoveries count for a limit or a cooldown; a limit without a window counts for ever."""
    window = counted(runbook)
    return 0.0 if window is None else now - window


def counted(runbook: Runbook) -> float | None:
    """Return for how many seconds a recovery counts for a limit or a cooldown; None: for ever."""
    calls = [call for detector in runbook.detectors for rung in detector.recover for call in rung.steps]
    calls += [call for operation in runbook.operations for call in (operation.step, *operation.fallback)]
    limits = [detector.limit for detector in runbook.detectors] + [call.limit for call in calls]
    windows = [limit.per for limit in limits if limit is not None]
    windows += [detector.cooldown for detector in runbook.detectors]
    if None in windows:
        return None
    return max((window for window in windows if window is not None), default=0.0)


def nobody(_run: str) -> bool:
    """Say that no other run of the runbook lives."""
    return False


def load(
    plan: Plan, journal: Journal, hosts: Sequence[str], since: float, now: float, alive: Callable[[str], bool] = nobody
) -> tuple[State, dict[str, dict[str, Any]]]:
    """Return the state that earlier passes left, and by host each detector's cursor.

    Args:
        plan: the run's.
        journal: where it is read.
        hosts: whose.
        since: recoveries that began or ended since then are counted.
        now: in seconds since the epoch.
        alive: tells whether another run lives; what a live one of the same runbook recovers is its own.
    """
    state = State(plan, recovering=False)
    mappings = {name: {**getattr(state, name)} for name in _RESTORED}
    cursors = {}
    for host in hosts:
        theirs, cursors[host] = _host(plan, journal, host, since, now, alive)
        for name, found in theirs.items():
            mappings[name].update(found)
    return replace(state, **mappings), cursors  # type: ignore[arg-type]


def _host(
    plan: Plan, journal: Journal, host: str, since: float, now: float, alive: Callable[[str], bool]
) -> tuple[dict[str, Mapping[Any, Any]], dict[str, Any]]:
    """Return what earlier passes left of one host, as the state's mappings, and its cursors."""
    name = plan.runbook.name
    known = {detector.name for detector in plan.runbook.detectors}
    theirs = {lease.incident for lease in leases.others(journal, plan.run, name, alive, now).values()}
    rows = [row for row in journal.open_incidents(name, host) if row.detector in known and row.id not in theirs]
    incidents = [kept.restored(row.data) for row in rows]
    holds = {
        (row.host, row.detector, row.subject): Hold(row.since, row.seen, tuple(row.data.get("times", ())))
        for row in journal.holds(name, host)
        if row.since is not None and row.subject != SAID
    }
    said = {(row.host, row.detector): _said(row) for row in journal.holds(name, host) if row.subject == SAID}
    begun: dict[Key, tuple[float, ...]] = {}
    finished: dict[Key, float] = {}
    for recovery in journal.recoveries(name, host, since):
        key = (recovery.host, recovery.detector, recovery.subject)
        begun[key] = (*begun.get(key, ()), recovery.begun)
        if recovery.ended is not None:
            finished[key] = max(recovery.ended, finished.get(key, 0.0))
    steps: dict[tuple[str, str, str], tuple[float, ...]] = {}
    for step in journal.steps_begun(name, host, since):
        place = (step.host, step.path, step.subject)
        steps[place] = (*steps.get(place, ()), step.at)
    attempts = {
        (host, component): tuple(
            Attempt(*row)
            for row in journal.attempts(
                name, host, feed.operations, components.kept(plan.runbook, component), feed.member
            )
        )
        for component, feed in components.fed(plan.runbook).items()
    }
    cleared: dict[Key, tuple[float, ...]] = {}
    for key, at in journal.cleared(name, host, now - flapping.window(plan.every)):
        cleared[key] = (*cleared.get(key, ()), at)
    failed = journal.failed(name, host, now - DOWN)
    told = {key: journal.reported(incident) for key, incident in failed.items()}
    past = [kept.restored(row.data) for row in journal.ended_incidents(name, host, now - LATELY)]
    state: dict[str, Mapping[Any, Any]] = {
        "incidents": {incident.key: incident for incident in incidents},
        "holds": holds,
        "begun": begun,
        "finished": finished,
        "steps": steps,
        "said": said,
        "attempts": attempts,
        "active": {(host, pool): member for pool, member in journal.pools(name, host).items()},
        "left": _left(plan, journal, host, alive),
        "cleared": cleared,
        "failed": failed,
        "vain": {key: (failed[key], at) for key, at in told.items() if at is not None},
        "past": {incident.id: incident for incident in past if incident.detector in known},
    }
    return state, journal.cursors(name, host)


def _left(
    plan: Plan, journal: Journal, host: str, alive: Callable[[str], bool]
) -> dict[tuple[str, str], tuple[Left, ...]]:
    """Return the steps that earlier runs have sent for operations, and did not see the end of."""
    runbook = plan.runbook
    pools = {operation.name: operation.pool for operation in runbook.operations}
    found: dict[tuple[str, str], tuple[Left, ...]] = {}
    for row in journal.open_intents(runbook.name, host):
        if row.operation not in pools or row.incident or alive(row.run):
            continue
        steps = journal.steps_begun(runbook.name, host, row.at)
        path = next((step.path for step in steps if (step.at, step.module) == (row.at, row.module)), "")
        member = row.subject.removeprefix(f"{pools[row.operation]}.") if pools[row.operation] else ""
        key = (host, row.operation)
        found[key] = (*found.get(key, ()), Left(row.id, row.at, path, member))
    return found


def _said(row: HoldRow) -> Said:
    data = row.data
    return Said(
        UNKNOWN,
        row.seen,
        data.get("true_at"),
        data.get("rose_at"),
        data.get("fields") or {},
        data.get("spent") or 0.0,
        bool(data.get("held")),
    )
