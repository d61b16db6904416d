"""The driver of one pass: it asks hosts, feeds `advance`, performs its commands, and writes everything down first."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from runbook.engine import looking
from runbook.engine.errors import JournalUnusable
from runbook.engine.fleet import messages
from runbook.engine.following import Following
from runbook.engine.journal.facts import Fact
from runbook.engine.journal.leases import LASTS
from runbook.engine.model import Seen, StepStatus
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
    Probed,
    Recover,
    Resume,
    Stop,
    Undo,
    Undone,
    Woke,
)
from runbook.modules import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from runbook.engine.fleet.connection import Connection
    from runbook.engine.keep import Keeper
    from runbook.engine.model import Detector, Lease, Look, Outcome
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
    """One pass over one host: look, operations, recovery, verification."""

    def __init__(
        self,
        state: State,
        host: str,
        agent: Connection,
        keeper: Keeper,
        observer: Observer,
        *,
        wait: float = 120.0,
        writable: Sequence[str] = (),
        diff: bool = False,
        teller: Teller | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.state = state
        self.host = host
        self._agent = agent
        self._keeper = keeper
        self._observer = observer
        self._clock = clock
        self._budget = wait
        self._writable = tuple(writable)
        self._diff = diff
        self._teller = teller
        self._events: deque[Event] = deque()
        self._asked: dict[int, str] = {}  # seq of a probe request: the intent that waits for it, or ""
        self._sent: dict[int, str] = {}  # seq of a run or undo request: intent
        self._undoing: set[str] = set()  # those of them that are undone
        self._following = Following(agent)
        self._news = 0.0  # when the journal was asked for news last
        self._interrupts = 0

    def go(self) -> State:
        """Run the pass to its end; what happened was told to the observer."""
        runbook, settings = self.state.plan.runbook, self.state.plan.settings
        operating = settings.operations and bool(runbook.operations)
        detectors = self._detectors()
        self._put(self._keeper.told(self._clock()))
        self._put(Resume(self._outcomes()))
        if operating and not self._interrupts:
            self._look(detectors)
            self._settle()
            self._put(Operate(self.host))
            self._settle()
        while self._events:
            self._put(self._events.popleft())
        if not self.state.stopping:
            self._put(Recover())
            self._look(detectors)
            self._settle(verifying=True)
        if operating:
            self._put(Finish(self.host))
            self._settle()
        if self._teller is not None:
            self._tell(self._teller.finish(self.state, self._clock()))
        return self.state

    def interrupt(self) -> int:
        """Begin nothing new; return how often this was asked."""
        self._interrupts += 1
        self._events.append(Stop())
        return self._interrupts

    def _outcomes(self) -> dict[str, Outcome]:
        """Ask the host what became of the steps that an earlier run left.

        Those of a recovery that still run are awaited for a while, and else left out; an operation's are followed.
        """
        found: dict[str, Outcome] = {}
        for row in self._keeper.left(self.host):
            outcome = self._agent.ask(row.id, row.at)
            while outcome.status is StepStatus.RUNNING and not row.operation and self._patient(row.title):
                outcome = self._agent.await_intent(row.id, row.at, within=GLANCE)
            if row.operation or outcome.status is not StepStatus.RUNNING:
                found[row.id] = outcome
        return found

    def _patient(self, title: str) -> bool:
        """Tell whether to wait for a step that an earlier run left; half a second at a time."""
        self._observer.progress(self.host, title, "begun by an earlier run, and not over yet")
        self._budget -= GLANCE
        return self._budget > 0 and not self._interrupts

    def _detectors(self) -> list[Detector]:
        plan = self.state.plan
        wanted = [detector for detector in plan.runbook.detectors if plan.chosen(detector)]
        names = {detector.name for detector in wanted}
        names |= {name for detector in wanted for name in (*detector.members, detector.verify.detector) if name}
        return [detector for detector in plan.runbook.detectors if detector.name in names]

    def _look(self, detectors: Sequence[Detector]) -> None:
        names = tuple(d.name for d in detectors if not catalogue.probe(d.probe).engine)
        self._put(Asked(frozenset({self.host})))
        self._perform(LookAt(self.host, names))

    def _settle(self, *, verifying: bool = False) -> None:
        """Go on until nothing is in flight and nothing waits for time, or the waiting has lasted long enough."""
        while True:
            while self._events:
                self._put(self._events.popleft())
            if self.state.stopping:
                self._following.leave()
            self._following.ask(self._clock())
            if not (self._asked or self._sent or self._following):
                wake = self.state.wake
                if wake is None or self.state.stopping:
                    return
                pause = max(0.0, wake - self._clock())
                if verifying and not self.state.tasks:
                    if pause > self._budget:
                        return
                    waited = min(pause, GLANCE)
                    self._budget -= waited
                self._receive(min(pause, GLANCE))
            else:
                wake = self.state.wake
                self._receive(GLANCE if wake is None else min(GLANCE, max(0.0, wake - self._clock())))
            self._hear()
            if wake is not None and self._clock() >= wake and not self._events:
                self._events.append(Woke())

    def _hear(self) -> None:
        """See to our leases, and to what people and other runs have written meanwhile."""
        now = self._clock()
        if now - self._news < NEWS:
            return
        self._news = now
        if self._teller is not None:
            self._tell(self._teller.results(now))
        if self._keeper.renew(now):
            for lease in self._keeper.leases:
                self._agent.send(messages.hold(lease.subject, self._claim(lease)))
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
            self._observer.fact(fact)
            if self._teller is not None:
                self._teller.hear(fact)
        for command in commands:
            self._perform(command)
        for lease in over:
            self._agent.send(messages.release(lease.subject, self._claim(lease)))
        return None

    def _fact(self, command: Happened | Notify, now: float) -> Fact:
        if isinstance(command, Notify):
            told = {"message": command.message, "title": command.title, "severity": command.severity}
            return Fact("notified", now, self.state.plan.run, command.host, incident=command.incident, data=told)
        about = (command.detector, command.subject, command.incident, command.operation, command.step)
        return Fact(command.kind, now, self.state.plan.run, command.host or self.host, *about, command.data)

    def _perform(self, command: Command) -> None:
        if isinstance(command, LookAt):
            self._ask(command)
        elif isinstance(command, Act):
            self._act(command)
        elif isinstance(command, Follow):
            self._following.begin(command.intent, self._clock())
        elif isinstance(command, Undo):
            self._sent[self._agent.send(messages.undo(command.intent, self._writable))] = command.intent
            self._undoing.add(command.intent)
        elif isinstance(command, Notify) and self._teller is not None:
            known = (*self.state.ended.values(), *self.state.incidents.values())
            about = next((each for each in known if each.id == command.incident), None)
            self._teller.tell(command, about, self._clock())

    def _tell(self, facts: Iterator[Fact]) -> None:
        """Write down how messages went."""
        for fact in facts:
            self._keeper.fact(fact)
            self._observer.fact(fact)

    def _ask(self, command: LookAt) -> None:
        if command.intent is not None:
            seq = self._agent.send(messages.probe([looking.waiting(command)]))
            self._asked[seq] = command.intent
            return
        specs, known = looking.specs(self.state.plan, self.host, command.detectors, self._keeper.cursor)
        if specs:
            self._asked[self._agent.send(messages.probe(specs))] = ""
        if known or not specs:
            self._events.append(Looked(self.host, known))

    def _act(self, command: Act) -> None:
        check = self.state.plan.settings.check
        lease = self._keeper.lease(command.key[0], command.key[2]) if command.key is not None else None
        seq = self._agent.submit(
            command.intent,
            command.order,
            subject=command.subject,
            claim=None if lease is None else self._claim(lease, beside=command.beside),
            writable=self._writable,
            check=check,
            diff=self._diff,
        )
        self._sent[seq] = command.intent

    def _claim(self, lease: Lease, *, beside: bool = False) -> messages.Claim:
        return messages.Claim(self._keeper.journal, lease.epoch, lease.holder, LASTS, beside)

    def _receive(self, timeout: float | None) -> None:
        for seq, message in self._agent.receive(timeout):
            if seq in self._asked and "looks" in message:
                intent = self._asked.pop(seq)
                looks = self._agent.looks(message)
                if intent:
                    self._events.append(Probed(intent, looks[intent]))
                else:
                    self._looked(looks)
            elif seq in self._sent and "result" in message:
                intent = self._sent.pop(seq)
                outcome = self._agent.outcome(message)
                if intent in self._undoing:
                    self._undoing.remove(intent)
                    self._events.append(Undone(intent, outcome))
                    continue
                self._ended(intent, outcome)
            elif self._following.hears(seq):
                outcome = self._agent.outcome(message)
                over = self._following.heard(seq, outcome, self._clock())
                if over is not None:
                    self._ended(over, outcome)
            elif seq in self._sent and "progress" in message:
                task = self.state.tasks.get(self._sent[seq])
                title, share = task.call.title if task else "", message.get("share")
                self._observer.progress(self.host, title, str(message["progress"]), share)

    def _ended(self, intent: str, outcome: Outcome) -> None:
        matched = looking.matched(self.state, self.host, self.state.tasks.get(intent), outcome)
        self._events.append(Ended(intent, outcome, matched))

    def _looked(self, looks: Mapping[str, Look]) -> None:
        cursors = {name: look.state for name, look in looks.items() if isinstance(look, Seen)}
        self._put(Looked(self.host, looks), cursors)


def _taken(cursors: Mapping[str, Mapping[str, Any]], facts: Sequence[Fact]) -> dict[str, Mapping[str, Any]]:
    """Leave out the cursors of looks that could not be judged, so that the next look sees the same events again."""
    refused = {fact.detector for fact in facts if fact.kind == "look.unknown" and fact.data.get("whole")}
    return {name: state for name, state in cursors.items() if name not in refused}
