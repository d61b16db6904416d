"""What a pass keeps: each turn, written before anything is done about it, with the leases that it takes."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runbook.engine.journal import leases, watches
from runbook.engine.journal.facts import IncidentRow, IntentRow
from runbook.engine.journal.store import who
from runbook.engine.model import IncidentState, Lease
from runbook.engine.recover import changes, kept
from runbook.engine.recover.commands import Act, Told
from runbook.engine.recover.state import Phase
from runbook.engine.restore import SAID

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runbook.engine.journal.batch import Batch
    from runbook.engine.journal.facts import Fact
    from runbook.engine.journal.locks import Locks
    from runbook.engine.journal.store import Journal
    from runbook.engine.journal.watches import Claim
    from runbook.engine.model import Outcome
    from runbook.engine.people import People
    from runbook.engine.recover.commands import Command, Event
    from runbook.engine.recover.state import Incident, State

    Place = tuple[str, str]  # a host and a subject

_LAST = (Phase.CURED, Phase.UNHEALED, Phase.ROLLBACK)  # what follows a recovery, and belongs to it
REREAD = 60.0  # seconds after which the journal is read though nobody wrote: time alone begins a maintenance
FOR_REPORTS = frozenset({"look.well", "decisions.held"})  # kinds of facts that are not kept


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
        kept.plain(incident),
    )


class Keeper:
    """Writes a run into the journal, and holds its leases. Where it does not commit (`--check`), it only reads.

    Args:
        journal: where.
        runbook: its name.
        run: the run's id.
        cursors: each detector's, by host.
        since: from when on the state that was loaded knows of recoveries.
        locks: what tells whether other runs live; None = nobody can say, so that a lease holds until its end.
        commits: write.
        claim: the watch's, on the runbook; each transaction makes sure that it is ours still.
    """

    def __init__(
        self,
        journal: Journal,
        runbook: str,
        run: str,
        cursors: Mapping[str, Mapping[str, Any]],
        *,
        since: float = 0.0,
        locks: Locks | None = None,
        commits: bool = True,
        claim: Claim | None = None,
    ) -> None:
        self._journal = journal
        self._runbook = runbook
        self._run = run
        self._cursors = {host: dict(known) for host, known in cursors.items()}
        self._since = since
        self._alive = watches.lives(journal, locks)
        self._commits = commits
        self._claim = claim
        self._leases: dict[Place, Lease] = {}
        self._hearing: tuple[float, int, People] | None = None  # when a state agreed with the journal, and on what
        self.holder = f"{who()}, process {os.getpid()}"

    @property
    def journal(self) -> str:
        """The journal's id, by which hosts tell it from others."""
        return self._journal.id

    @property
    def leases(self) -> Sequence[Lease]:
        """What we hold."""
        return tuple(self._leases.values())

    def cursor(self, host: str, detector: str) -> Mapping[str, Any]:
        """Return what a detector's probe remembered at its last look."""
        found: Mapping[str, Any] = self._cursors.get(host, {}).get(detector, {})
        return found

    def lease(self, host: str, subject: str) -> Lease | None:
        """Return the lease of ours under which a subject is recovered."""
        return self._leases.get((host, subject))

    def told(self, now: float) -> Told:
        """Return what people have said, and what other runs hold and have under recovery."""
        others = leases.others(self._journal, self._run, self._runbook, self._alive, now)
        elsewhere = leases.elsewhere(self._journal, self._run, self._runbook, now)
        return Told(self._journal.people(now), others, elsewhere)

    def news(self, state: State, now: float) -> Told | None:
        """Return what the journal says when it differs from what a state knows; cheap while nobody else writes."""
        if self._heard(state, now):
            return None
        told = replace(self.told(now), lost=self._lost())
        if told.lost or not _agrees(told, state):
            return told
        self._hearing = (now, self._journal.version, state.people)
        return None

    def _heard(self, state: State, now: float) -> bool:
        """Tell whether nobody else can have said anything since a state agreed with the journal.

        What others hold is asked for again each time: their runs may have died.
        """
        if self._hearing is None or state.leases or state.elsewhere:
            return False
        at, version, people = self._hearing
        return people is state.people and now - at < REREAD and version == self._journal.version

    def renew(self, now: float) -> bool:
        """Let our leases hold on, where half of their time is over; tell whether that was so."""
        if not any(lease.until - now < leases.LASTS / 2 for lease in self._leases.values()):
            return False
        until = now + leases.LASTS
        with self._transaction() as batch:
            leases.renew(batch, self._run, until)
        self._leases = {place: replace(lease, until=until) for place, lease in self._leases.items()}
        return True

    def left(self, host: str) -> Sequence[IntentRow]:
        """Return the intents on a host without a result that earlier runs left; those of live ones are theirs."""
        found = self._journal.open_intents(self._runbook, host) if self._commits else ()
        return [row for row in found if row.run == self._run or not self._alive(row.run)]

    def over(self, state: State, hosts: Sequence[str]) -> dict[str, Outcome]:
        """Return what became of steps that incidents still wait for, and whose end the journal has already."""
        theirs = [each for each in state.incidents.values() if each.host in hosts]
        waited = [each.intent for each in theirs] + [lane.intent for each in theirs for lane in each.lanes]
        named = [intent for intent in waited if intent is not None]
        return self._journal.outcomes(named) if named else {}

    def place(self, intent: str) -> tuple[str, str] | None:
        """Return the host that carries a step out, and under whom."""
        return self._journal.place(intent)

    def fact(self, fact: Fact) -> None:
        """Write one fact by itself."""
        if self._commits:
            with self._transaction() as batch:
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
    ) -> tuple[Told | None, Sequence[Lease]]:
        """Write one turn, in one transaction; after it the commands may be performed.

        Recoveries that begin take their leases in it. Where the journal disagrees with what the state believed of
        leases, limits, hosts under recovery or people, nothing is written.

        Returns:
            What the journal says instead (the turn did not happen), and the leases that were given back.

        Raises:
            JournalUnusable: it can't be written, so nothing may be done.
            Fenced: another watch has taken over.
        """
        if not self._commits:
            return None, ()
        host = getattr(event, "host", "")
        known = self._cursors.get(host, {})
        moved = {name: state for name, state in cursors.items() if state != known.get(name, {})}
        changed = [] if before is after else changes.incidents(before, after)
        results = changes.results(event, after)
        facts = [fact for fact in facts if fact.kind not in FOR_REPORTS]
        acts = [command for command in commands if isinstance(command, Act)]
        holds, said, switched = (
            changes.holds(before, after),
            changes.said(before, after),
            changes.switched(before, after),
        )
        well = before.vain.keys() - after.vain.keys()
        wanted = recovered(after)
        fresh = self._fresh(wanted)
        over = [lease for place, lease in self._leases.items() if place not in wanted]
        if not (facts or changed or well or holds or said or switched or moved or acts or results or fresh or over):
            return None, ()
        taken: dict[Place, Lease] = {}
        with self._transaction() as batch:
            if fresh or self._leases or any(act.key is not None for act in acts):
                conflict = self._conflict(before, after, now)
                if conflict is not None:
                    return conflict, ()
                fresh = self._fresh(wanted)
            for one in fresh:
                taken[one.host, one.subject] = leases.take(self._journal, batch, self._wish(one, now))
            for lease in over:
                leases.release(batch, lease, now)
            for fact in facts:
                batch.event(fact)
            for incident in changed:
                if incident.id in before.ended or incident.id in before.past:
                    batch.reported(incident.id, incident.reported)
                else:
                    batch.incident(row(incident, self._runbook, now))
            for key in well:
                batch.well(before.vain[key][0], now)
            for key, hold in holds:
                data = {"times": list(hold.times)} if hold is not None and hold.times else {}
                batch.hold(self._runbook, key[1], key[0], key[2], hold.since if hold else None, now, data)
            for (place, name), told in said:
                since = None if told is None else told.rose_at or told.spent
                batch.hold(
                    self._runbook, name, place, SAID, since, now, changes.memory(told) if told is not None else {}
                )
            for where, pool, member in switched:
                batch.pool(self._runbook, where, pool, member, now)
            for name, state in moved.items():
                batch.cursor(self._runbook, name, host, state)
            for intent, outcome in results:
                batch.result(intent, now, outcome)
            for act in acts:
                batch.intent(self._intent(act, after, {**self._leases, **taken}, now))
        self._cursors.setdefault(host, {}).update(moved)
        self._leases = {place: lease for place, lease in self._leases.items() if place in wanted} | taken
        return None, over

    def _conflict(self, before: State, after: State, now: float) -> Told | None:
        """Return what the journal says, where that is not what a recovery was decided on."""
        told = self.news(after, now)
        begun = {}
        if after.begun is not before.begun:
            for key, times in after.begun.items():
                if times != before.begun.get(key):
                    found = self._journal.begun(self._runbook, key, self._since)
                    if more := tuple(at for at in found if at not in times):
                        begun[key] = more
        return replace(told or self.told(now), begun=begun) if begun else told

    def _lost(self) -> dict[str, str]:
        """Forget the leases that others took while this run was not let run; return who, by the incident's id."""
        lost = {place: lease for place, lease in self._leases.items() if not leases.is_ours(self._journal, lease)}
        self._leases = {place: lease for place, lease in self._leases.items() if place not in lost}
        return {lease.incident: leases.successor(self._journal, lease) for lease in lost.values()}

    @contextmanager
    def _transaction(self) -> Iterator[Batch]:
        """Write, unless another watch has taken over."""
        with self._journal.transaction() as batch:
            if self._claim is not None:
                watches.refuse_lost(self._journal, self._claim)
            yield batch

    def _fresh(self, wanted: Mapping[Place, Incident]) -> list[Incident]:
        """Return the incidents whose leases are still to be taken."""
        held = {place: lease.incident for place, lease in self._leases.items()}
        return [incident for place, incident in wanted.items() if held.get(place) != incident.id]

    def _wish(self, incident: Incident, now: float) -> Lease:
        about = (incident.host, incident.subject, self._run, self.holder, self._runbook, incident.detector, incident.id)
        return Lease(*about, taken=now, until=now + leases.LASTS)

    def _intent(self, act: Act, after: State, held: Mapping[Place, Lease], now: float) -> IntentRow:
        order = act.order
        about = after.incidents.get(act.key) if act.key is not None else None
        lease = held.get((act.key[0], act.key[2])) if act.key is not None else None
        if act.key is not None and lease is None:
            raise RuntimeError(f"{order.name} would be sent to {act.host} without a lease")
        return IntentRow(
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
            lease.epoch if lease else 0,
            "" if act.carrier == act.host else act.carrier,
            act.user,
        )


def _agrees(told: Told, state: State) -> bool:
    """Tell whether a state knows what the journal says; the renewal of a lease is no news."""
    held = {place: (lease.run, lease.epoch) for place, lease in told.leases.items()}
    known = {place: (lease.run, lease.epoch) for place, lease in state.leases.items()}
    return held == known and (told.people, told.elsewhere) == (state.people, state.elsewhere)


def recovered(state: State) -> dict[Place, Incident]:
    """Return what is under recovery by us: from the intent to the end, with its last steps; not what is parked."""
    return {
        (incident.host, incident.subject): incident
        for incident in state.incidents.values()
        if _recovering(incident) and incident.id not in state.lost
        if (incident.host, incident.subject) not in state.leases
    }


def _recovering(incident: Incident) -> bool:
    going_on = incident.busy or incident.intent is not None or incident.undoing is not None
    finishing = incident.phase in _LAST
    return (going_on or finishing) and incident.state is not IncidentState.WAITING
