"""The driver of one pass: it asks hosts, feeds `advance`, performs its commands, and writes everything down first.

One thread serves all hosts. What a host answers is taken in when it comes; a host that is slow, or gone, holds up
nobody but who waits for it: `max_unavailable`, causes on other hosts, and the end of the pass.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from runbook.engine import looking
from runbook.engine.errors import JournalUnusable
from runbook.engine.fleet import messages
from runbook.engine.fleet.connection import Gone
from runbook.engine.following import Following
from runbook.engine.halting import Halting
from runbook.engine.journal.facts import Fact
from runbook.engine.journal.leases import LASTS
from runbook.engine.model import Outcome, Seen, StepStatus
from runbook.engine.recover.advance import advance
from runbook.engine.recover.commands import (
    Act,
    Asked,
    Ended,
    Finish,
    Follow,
    Happened,
    LookAt,
    Looked,
    Notify,
    Operate,
    Recover,
    Resume,
    Stop,
    Undo,
    Undone,
    Unreachable,
    Woke,
)
from runbook.engine.rounds import Rounds
from runbook.modules import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from runbook.engine.fleet.connection import Fleet
    from runbook.engine.journal.facts import IntentRow
    from runbook.engine.keep import Keeper
    from runbook.engine.model import Detector, Lease
    from runbook.engine.recover.commands import Command, Event, Told
    from runbook.engine.recover.state import Incident, State

GLANCE = 0.5  # seconds after which a Ctrl-C is seen at the latest
NEWS = 2.0  # seconds after which the words of people and other runs are seen at the latest
TRIES = 20  # to decide on what the journal says, while others write into it


class Observer(Protocol):
    """Who watches a pass while it runs: a report."""

    def fact(self, fact: Fact) -> None:
        """Take in what happened."""

    def progress(self, host: str, title: str, text: str, share: float | None = None) -> None:
        """Take in how far a long step is: in words, and where that is known as a share from 0 to 1."""


class Teller(Protocol):
    """Who tells people, by channels: `engine/notify`."""

    def tell(self, told: Notify, incident: Incident | None, now: float) -> None:
        """Begin to send a message."""

    def hear(self, fact: Fact) -> None:
        """Take in what happened."""

    def results(self, now: float) -> Iterator[Fact]:
        """Yield how messages went that are on their way no more."""

    def finish(self, state: State, now: float) -> Iterator[Fact]:
        """Say what is over, and await what is on its way, no longer than a message may take."""


class Pass:
    """One pass over some hosts: look, operations, recovery, verification.

    Args:
        state: what is known of all of them.
        hosts: their names, in order.
        fleet: carries requests to them.
        keeper: writes each turn before anything is done about it.
        observer: is told what happens.
        wait: seconds to wait for verifications, and for hosts that were cut off in the middle of a step.
        writable: by host, the trees in which steps may write.
        diff: have steps tell what they change in files.
        teller: tells people.
        deadline: in seconds since the epoch, after which nothing new is begun.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        state: State,
        hosts: Sequence[str],
        fleet: Fleet,
        keeper: Keeper,
        observer: Observer,
        *,
        wait: float = 120.0,
        writable: Mapping[str, Sequence[str]] | None = None,
        diff: bool = False,
        teller: Teller | None = None,
        deadline: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.state = state
        self.hosts = tuple(hosts)
        self._fleet = fleet
        self._keeper = keeper
        self._observer = observer
        self._clock = clock
        self._wait = wait
        self._budget = wait
        self._writable = writable or {}
        self._diff = diff
        self._teller = teller
        self._events: deque[Event] = deque()
        self._rounds = Rounds(fleet, keeper.cursor)
        self._sent: dict[int, str] = {}  # number of a run or undo request: intent
        self._undoing: dict[str, Undo] = {}  # those of them that are undone
        self._following = Following(fleet)
        self._left: dict[str, dict[str, IntentRow]] = {}  # by host: what earlier runs sent, and is asked for
        self._outcomes: dict[str, dict[str, Outcome]] = {}  # by host: what is known of it
        self._looks: tuple[str, ...] = ()  # of the round that is going on
        self._late: set[str] = set()  # hosts that are looked at when they are resumed
        self._adrift: set[str] = set()  # steps whose host did not come back in time
        self._halting = Halting(state.plan.runbook, deadline)
        self._news = 0.0  # when the journal was asked for news last
        self._interrupts = 0

    def go(self) -> State:
        """Run the pass to its end; what happened was told to the observer."""
        self._put(self._keeper.told(self._clock()))
        for batch in self._halting.batches(self.hosts):
            if self.state.stopping:
                break
            self._halting.begin(batch)
            self._pass(batch)
        if self._teller is not None:
            self._tell(self._teller.finish(self.state, self._clock()))
        return self.state

    @property
    def interrupted(self) -> bool:
        """Somebody asked that nothing new be begun."""
        return self._interrupts > 0

    def interrupt(self) -> int:
        """Begin nothing new; return how often this was asked."""
        self._interrupts += 1
        self._events.append(Stop())
        return self._interrupts

    def _pass(self, hosts: Sequence[str]) -> None:
        runbook, settings = self.state.plan.runbook, self.state.plan.settings
        operating = settings.operations and bool(runbook.operations)
        names = tuple(each.name for each in self._detectors() if not catalogue.probe(each.probe).engine)
        self._put(Recover(on=False))
        self._resume(hosts)
        if operating and not self._interrupts:
            self._look(hosts, names)
            self._settle()
            for host in self._reached(hosts):
                self._put(Operate(host))
            self._settle()
        while self._events:
            self._put(self._events.popleft())
        if not self.state.stopping:
            self._put(Recover())
            self._look(hosts, names)
            self._settle(verifying=True)
        if operating:
            for host in self._reached(hosts):
                self._put(Finish(host))
            self._settle()

    def _reached(self, hosts: Iterable[str]) -> list[str]:
        return [host for host in hosts if host not in self.state.unreached]

    def _resume(self, hosts: Sequence[str]) -> None:
        """Ask hosts what became of the steps that an earlier run left; the others go on at once."""
        now, free = self._clock(), []
        for host in hosts:
            rows = {row.id: row for row in self._keeper.left(host)}
            if not rows:
                free.append(host)
                continue
            self._left[host], self._outcomes[host] = rows, {}
            for row in rows.values():
                place = (row.carrier or host, row.user)
                self._following.begin(row.id, place, now, at=row.at, every=GLANCE)
        self._put(Resume({}, frozenset(free)))

    def _resumed(self, host: str, row: IntentRow, outcome: Outcome | None) -> None:
        """Take in what became of a step that an earlier run left; None: it goes on, or its host can't be asked."""
        rows = self._left[host]
        if outcome is not None:
            self._outcomes[host][row.id] = outcome
        del rows[row.id]
        if rows:
            return
        del self._left[host]
        self._events.append(Resume(self._outcomes.pop(host), frozenset({host})))

    def _detectors(self) -> list[Detector]:
        plan = self.state.plan
        wanted = [detector for detector in plan.runbook.detectors if plan.chosen(detector)]
        names = {detector.name for detector in wanted}
        names |= {name for detector in wanted for name in (*detector.members, detector.verify.detector) if name}
        return [detector for detector in plan.runbook.detectors if detector.name in names]

    def _look(self, hosts: Sequence[str], names: tuple[str, ...]) -> None:
        self._looks = names
        self._put(Asked(frozenset(hosts)))
        for host in hosts:
            if host in self._left:
                self._late.add(host)
            else:
                self._perform(LookAt(host, names))

    def _settle(self, *, verifying: bool = False) -> None:
        """Go on until nothing is in flight and nothing waits for time, or the waiting has lasted long enough."""
        while True:
            while self._events:
                self._put(self._events.popleft())
            if self.state.stopping:
                self._abandon()
            for host in self._late - self._left.keys():
                self._late.remove(host)
                self._perform(LookAt(host, self._looks))
            self._following.ask(self._clock())
            wake, now = self.state.wake, self._clock()
            pause = GLANCE if wake is None else min(GLANCE, max(0.0, wake - now))
            if not (self._rounds or self._sent or self._following):
                if wake is None or self.state.stopping:
                    return
                if verifying and not self.state.tasks.keys() - self._adrift:
                    if wake - now > self._budget:
                        return
                    self._budget -= pause
            elif self._following.due is not None:
                pause = min(pause, max(0.0, self._following.due - now))
            began = self._clock()
            self._receive(pause)
            if self._left and not self._rounds and not self._sent:
                self._patient(self._clock() - began)
            self._hear()
            if wake is not None and self._clock() >= wake and not self._events:
                self._events.append(Woke())

    def _patient(self, waited: float) -> None:
        """Wait for steps of recoveries that an earlier run left, as long as a pass may wait for anything."""
        self._budget -= waited
        for host, rows in list(self._left.items()):
            for row in list(rows.values()):
                self._observer.progress(host, row.title, "begun by an earlier run, and not over yet")
                if self._budget <= 0:
                    self._following.leave([row.id])
                    self._resumed(host, row, None)

    def _abandon(self) -> None:
        """Ask no more what became of steps: they go on without us, and the next run asks again."""
        self._following.leave()
        self._left.clear()
        self._outcomes.clear()
        self._late.clear()

    def _hear(self) -> None:
        """See to our leases, and to what people and other runs have written meanwhile."""
        now = self._clock()
        if reason := self._halting.late(now):
            self._halt(reason, now)
        if now - self._news < NEWS:
            return
        self._news = now
        if self._teller is not None:
            self._tell(self._teller.results(now))
        if self._keeper.renew(now):
            for lease in self._keeper.leases:
                if self._fleet.up(lease.host):
                    self._fleet.send(lease.host, messages.hold(lease.subject, self._claim(lease)))
        told = self._keeper.news(self.state, now)
        if told is not None:
            self._put(told)

    def _put(self, event: Event, cursors: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Let an event happen; where the journal says otherwise than the state believed, that is taken in first."""
        waiting: deque[tuple[Event, Mapping[str, Mapping[str, Any]]]] = deque([(event, cursors or {})])
        for _ in range(TRIES):
            told = self._turn(*waiting[0])
            if told is not None:
                waiting.appendleft((told, {}))
                continue
            waiting.popleft()
            if not waiting:
                return
        raise JournalUnusable("other runs write faster into the journal than this one can decide", mend="Run again")

    def _turn(self, event: Event, cursors: Mapping[str, Mapping[str, Any]]) -> Told | None:
        """Make one turn; return what the journal says instead where it did not happen."""
        now = self._clock()
        before = self.state
        after, commands = advance(before, event, now)
        facts = [self._fact(command, now) for command in commands if isinstance(command, Happened | Notify)]
        told, over = self._keeper.keep(before, after, event, commands, facts, _taken(cursors, facts), now)
        if told is not None:
            return told
        self.state = after
        for fact in facts:
            self._observed(fact)
            if self._teller is not None:
                self._teller.hear(fact)
        for command in commands:
            self._perform(command)
        for lease in over:
            if self._fleet.up(lease.host):
                self._fleet.send(lease.host, messages.release(lease.subject, self._claim(lease)))
        return None

    def _observed(self, fact: Fact) -> None:
        self._observer.fact(fact)
        reason = self._halting.hear(fact)
        if reason and not self.state.stopping:
            self._halt(reason, fact.at)

    def _halt(self, reason: str, now: float) -> None:
        """Begin nothing new from now on."""
        self._tell(iter([Fact("run.halted", now, self.state.plan.run, data={"reason": reason})]))
        self._events.append(Stop())

    def _fact(self, command: Happened | Notify, now: float) -> Fact:
        if isinstance(command, Notify):
            told = {"message": command.message, "title": command.title, "severity": command.severity}
            return Fact("notified", now, self.state.plan.run, command.host, incident=command.incident, data=told)
        about = (command.detector, command.subject, command.incident, command.operation, command.step)
        return Fact(command.kind, now, self.state.plan.run, command.host or self.hosts[0], *about, command.data)

    def _perform(self, command: Command) -> None:
        if isinstance(command, LookAt):
            known = self._rounds.ask(self.state.plan, command)
            if known is not None:
                self._events.append(known)
        elif isinstance(command, Act):
            self._act(command)
        elif isinstance(command, Follow):
            place = self._keeper.place(command.intent) or (command.host, "")
            self._following.begin(command.intent, place, self._clock(), until=self._clock() + self._wait)
        elif isinstance(command, Undo):
            self._undo(command)
        elif isinstance(command, Notify) and self._teller is not None:
            incidents = (*self.state.ended.values(), *self.state.incidents.values())
            about = next((each for each in incidents if each.id == command.incident), None)
            self._teller.tell(command, about, self._clock())

    def _tell(self, facts: Iterator[Fact]) -> None:
        """Write down how messages went."""
        for fact in facts:
            self._keeper.fact(fact)
            self._observer.fact(fact)

    def _act(self, command: Act) -> None:
        lease = self._keeper.lease(command.key[0], command.key[2]) if command.key is not None else None
        elsewhere = command.carrier not in ("", command.host)
        number = self._fleet.submit(
            command.carrier or command.host,
            command.intent,
            command.order,
            user=command.user,
            subject=f"{command.host}: {command.subject}" if elsewhere else command.subject,
            claim=None if lease is None else self._claim(lease, beside=command.beside),
            writable=self._writable.get(command.host, ()),
            check=self.state.plan.settings.check,
            diff=self._diff,
        )
        self._sent[number] = command.intent

    def _undo(self, command: Undo) -> None:
        host, user = self._keeper.place(command.intent) or (command.host, "")
        request = messages.undo(command.intent, self._writable.get(command.host, ()))
        self._sent[self._fleet.send(host, request, user)] = command.intent
        self._undoing[command.intent] = command

    def _claim(self, lease: Lease, *, beside: bool = False) -> messages.Claim:
        return messages.Claim(self._keeper.journal, lease.epoch, lease.holder, LASTS, beside)

    def _receive(self, timeout: float) -> None:
        for number, answer in self._fleet.receive(timeout):
            if self._rounds.hears(number):
                self._saw(self._rounds.heard(number, answer))
            elif self._following.hears(number):
                over = self._following.heard(number, answer, self._clock())
                if over is not None:
                    self._followed(*over)
            elif number in self._sent:
                self._answered(number, answer)

    def _saw(self, event: Event | None) -> None:
        if isinstance(event, Looked):
            cursors = {name: look.state for name, look in event.looks.items() if isinstance(look, Seen)}
            self._put(event, cursors)
        elif event is not None:
            self._events.append(event)

    def _answered(self, number: int, answer: Mapping[str, Any] | Gone) -> None:
        """Take in what is said of a step that this run sent."""
        intent = self._sent[number]
        if isinstance(answer, Gone):
            del self._sent[number]
            self._cut_off(intent, answer)
        elif "progress" in answer:
            task = self.state.tasks.get(intent)
            title, share = task.call.title if task else "", answer.get("share")
            self._observer.progress(task.owner.host if task else "", title, str(answer["progress"]), share)
        else:
            del self._sent[number]
            self._ended(intent, self._fleet.outcome(answer))

    def _cut_off(self, intent: str, gone: Gone) -> None:
        """Ask what became of a step when its host is back; one that never got there has not begun."""
        now, task = self._clock(), self.state.tasks.get(intent)
        if intent in self._undoing:
            self._undoing.pop(intent)  # it is asked again by the next pass
            self._events.append(Unreachable(gone.host, gone.reason))
        elif not gone.sent and task is not None and (gone.host, gone.user) != (task.owner.host, ""):
            who = f"{gone.host} as {gone.user}" if gone.user else gone.host
            error = f"{who} can't be reached: {gone.reason}" + (f"; {gone.mend}" if gone.mend else "")
            self._ended(intent, Outcome(StepStatus.FAILED, error=error))
        elif self._fleet.up(gone.host) and not self._interrupts:
            reboots = task is not None and catalogue.step(task.call.module).reboots
            patience = max(self._wait, task.order.timeout) if task is not None and reboots else self._wait
            at = None if task is None else task.began
            self._following.begin(intent, (gone.host, gone.user), now + 1.0, at=at, until=now + patience)
        else:
            self._lost(intent, gone)

    def _lost(self, intent: str, gone: Gone | None = None) -> None:
        """Leave a step whose host can't be asked: the next pass does."""
        self._adrift.add(intent)
        task = self.state.tasks.get(intent)
        if task is not None:
            reason = gone.reason if gone is not None else "it did not come back in time"
            self._events.append(Unreachable(task.owner.host, reason))

    def _followed(self, intent: str, outcome: Outcome | None) -> None:
        for host, rows in list(self._left.items()):
            if intent in rows:
                self._resumed(host, rows[intent], outcome)
                return
        if outcome is None:
            self._lost(intent)
        else:
            self._ended(intent, outcome)

    def _ended(self, intent: str, outcome: Outcome) -> None:
        if intent in self._undoing:
            del self._undoing[intent]
            self._events.append(Undone(intent, outcome))
            return
        matched = looking.matched(self.state, self.state.tasks.get(intent), outcome)
        self._events.append(Ended(intent, outcome, matched))


def _taken(cursors: Mapping[str, Mapping[str, Any]], facts: Sequence[Fact]) -> dict[str, Mapping[str, Any]]:
    """Leave out the cursors of looks that could not be judged, so that the next look sees the same events again."""
    refused = {fact.detector for fact in facts if fact.kind == "look.unknown" and fact.data.get("whole")}
    return {name: state for name, state in cursors.items() if name not in refused}
