"""What a pass keeps: the state that earlier ones left, and each turn, written before anything is done about it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from runbook.engine.detect import components
from runbook.engine.detect.components import Attempt
from runbook.engine.detect.correlate import Said
from runbook.engine.detect.hold import Hold
from runbook.engine.journal.facts import IncidentRow, IntentRow
from runbook.engine.model import UNKNOWN, IncidentState, Outcome, StepStatus
from runbook.engine.recover.commands import Act, Ended
from runbook.engine.recover.state import Incident, Phase, State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runbook.engine.fleet import Agent
    from runbook.engine.journal.facts import Fact, HoldRow
    from runbook.engine.journal.store import Journal
    from runbook.engine.model import Key, Runbook
    from runbook.engine.recover.commands import Command, Event
    from runbook.engine.recover.state import Plan


FOR_REPORTS = frozenset({"look.well"})  # kinds of facts that are not kept
SAID = "*"  # in place of a subject: what a detector last said of all its subjects, for correlations


def horizon(runbook: Runbook, now: float) -> float:
    """Return since when recoveries count for a limit or a cooldown; a limit without a window counts for ever."""
    calls = [call for detector in runbook.detectors for rung in detector.recover for call in rung.steps]
    limits = [detector.limit for detector in runbook.detectors] + [call.limit for call in calls]
    windows = [limit.per for limit in limits if limit is not None]
    windows += [detector.cooldown for detector in runbook.detectors]
    if None in windows:
        return 0.0
    return now - max((window for window in windows if window is not None), default=0.0)


def load(plan: Plan, journal: Journal, host: str, now: float) -> tuple[State, dict[str, Any]]:
    """Return the state that earlier passes left, and each detector's cursor."""
    since = horizon(plan.runbook, now)
    name = plan.runbook.name
    known = {detector.name for detector in plan.runbook.detectors}
    incidents = [_incident(row.data) for row in journal.open_incidents(name, host) if row.detector in known]
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
            for row in journal.attempts(name, host, operations, components.window(plan.runbook, component))
        )
        for component, operations in components.fed(plan.runbook).items()
    }
    state = State(
        plan,
        recovering=False,
        incidents={incident.key: incident for incident in incidents},
        holds=holds,
        begun=begun,
        finished=finished,
        steps=steps,
        said=said,
        attempts=attempts,
    )
    return state, journal.cursors(name, host)


def row(incident: Incident, runbook: str, now: float) -> IncidentRow:
    """Return an incident as the journal keeps it."""
    return IncidentRow(
        incident.id,
        runbook,
        incident.detector,
        incident.host,
        incident.subject,
        incident.state.value,
        incident.severity,
        incident.opened,
        now,
        incident.closed,
        _data(incident),
    )


class Keeper:
    """Writes a pass into the journal. Without one (`--check`, `check`) it keeps nothing and counts nothing."""

    def __init__(self, journal: Journal | None, runbook: str, host: str, cursors: Mapping[str, Any]) -> None:
        self._journal = journal
        self._runbook = runbook
        self._host = host
        self._cursors = dict(cursors)

    @property
    def place(self) -> str:
        """Where the journal is, which names it to hosts."""
        return self._journal.path if self._journal is not None else ""

    def cursor(self, detector: str) -> Mapping[str, Any]:
        """Return what a detector's probe remembered at its last look."""
        found: Mapping[str, Any] = self._cursors.get(detector, {})
        return found

    def outcomes(self, agent: Agent, patient: Callable[[str], bool]) -> dict[str, Outcome]:
        """Ask the host what became of the steps that an earlier run left in flight.

        Args:
            agent: the host's.
            patient: told what is waited for, says whether to go on waiting.

        Returns:
            What is known, by intent; those that still run are left out.
        """
        found: dict[str, Outcome] = {}
        for row in self._journal.open_intents(self._runbook, self._host) if self._journal is not None else ():
            outcome = agent.ask(row.id)
            while outcome.status is StepStatus.RUNNING and patient(row.title):
                outcome = agent.await_intent(row.id, within=0.5)
            if outcome.status is not StepStatus.RUNNING:
                found[row.id] = outcome
        return found

    def fact(self, fact: Fact) -> None:
        """Write one fact by itself."""
        if self._journal is not None:
            with self._journal.transaction() as batch:
                batch.event(fact)

    def keep(
        self,
        before: State,
        after: State,
        event: Event,
        commands: Sequence[Command],
        facts: Sequence[Fact],
        cursors: Mapping[str, Mapping[str, Any]],
        now: float,
    ) -> None:
        """Write one turn, in one transaction; after it the commands may be performed.

        Raises:
            JournalUnusable: it can't be written, so nothing may be done.
        """
        moved = {name: state for name, state in cursors.items() if state != self._cursors.get(name, {})}
        self._cursors.update(moved)
        changed = [] if before is after else _changed(before, after)
        results = self._results(event)
        facts = [fact for fact in facts if fact.kind not in FOR_REPORTS]
        acts = [command for command in commands if isinstance(command, Act)]
        holds, said = _holds(before, after), _told(before, after)
        if self._journal is None or not (facts or changed or holds or said or moved or acts or results):
            return
        with self._journal.transaction() as batch:
            for fact in facts:
                batch.event(fact)
            for incident in changed:
                batch.incident(row(incident, self._runbook, now))
            for key, hold in holds:
                data = {"times": list(hold.times)} if hold is not None and hold.times else {}
                batch.hold(self._runbook, key[1], key[0], key[2], hold.since if hold else None, now, data)
            for (host, name), told in said:
                batch.hold(self._runbook, name, host, SAID, told.rose_at or told.spent, now, _memory(told))
            for name, state in moved.items():
                batch.cursor(self._runbook, name, self._host, state)
            for intent, outcome in results:
                batch.result(intent, now, outcome)
            for act in acts:
                order = act.order
                about = after.incidents.get(act.key) if act.key is not None else None
                batch.intent(
                    IntentRow(
                        act.intent,
                        after.plan.run,
                        act.host,
                        act.subject,
                        about.id if about else "",
                        act.operation,
                        order.module,
                        order.name,
                        order.params,
                        now,
                    )
                )

    def _results(self, event: Event) -> list[tuple[str, Outcome]]:
        if isinstance(event, Ended):
            return [(event.intent, event.outcome)]
        outcomes: Mapping[str, Outcome] = getattr(event, "outcomes", {})
        return list(outcomes.items())


def _changed(before: State, after: State) -> list[Incident]:
    live = [incident for key, incident in after.incidents.items() if before.incidents.get(key) is not incident]
    ended = [incident for name, incident in after.ended.items() if before.ended.get(name) is not incident]
    return [*ended, *live]


def _holds(before: State, after: State) -> list[tuple[Key, Hold | None]]:
    if before.holds is after.holds:
        return []
    kept: list[tuple[Key, Hold | None]] = [
        (key, hold) for key, hold in after.holds.items() if before.holds.get(key) is not hold
    ]
    return kept + [(key, None) for key in before.holds if key not in after.holds]


def _told(before: State, after: State) -> list[tuple[tuple[str, str], Said]]:
    """Return what correlations must remember, as far as it is news."""
    if before.said is after.said:
        return []
    detectors = after.plan.runbook.detectors
    asked = {name for detector in detectors if detector.members for name in (*detector.members, detector.name)}
    return [
        (key, told)
        for key, told in after.said.items()
        if key[1] in asked and _memory(told) != (_memory(before.said[key]) if key in before.said else _memory(NOTHING))
    ]


def _memory(told: Said) -> dict[str, Any]:
    return {
        "true_at": told.true_at,
        "rose_at": told.rose_at,
        "spent": told.spent,
        "fields": dict(told.fields),
        "held": told.held,
    }


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


NOTHING = Said(UNKNOWN, 0.0)


def _data(incident: Incident) -> dict[str, Any]:
    data = {item.name: getattr(incident, item.name) for item in dataclasses.fields(incident)}
    return {**data, "state": incident.state.value, "phase": incident.phase.value}


def _incident(data: Mapping[str, Any]) -> Incident:
    known = {item.name for item in dataclasses.fields(Incident)}
    values = {name: value for name, value in data.items() if name in known}
    return Incident(
        **{
            **values,
            "state": IncidentState(data["state"]),
            "phase": Phase(data["phase"]),
            "errors": tuple(data.get("errors", ())),
        }
    )
