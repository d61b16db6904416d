"""The driver of one pass: look, operations, recovery, verification.

One thread serves all hosts. What a host answers is taken in when it comes; a host that is slow, or gone, holds up
nobody but who waits for it: `max_unavailable`, causes on other hosts, and the end of the pass.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runbook.engine.driver import GLANCE, Driver
from runbook.engine.halting import Halting
from runbook.engine.journal.facts import Fact
from runbook.engine.recover.commands import Asked, Finish, LookAt, Operate, Over, Recover, Resume, Stop, Woke

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runbook.engine.driver import Observer, Teller
    from runbook.engine.fleet.connection import Fleet
    from runbook.engine.keep import Keeper
    from runbook.engine.recover.state import State


class Pass(Driver):
    """One pass over some hosts.

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
        super().__init__(
            state,
            hosts,
            fleet,
            keeper,
            observer,
            wait=wait,
            writable=writable,
            diff=diff,
            teller=teller,
            clock=clock,
        )
        self._budget = wait
        self._looks: tuple[str, ...] = ()  # of the round that is going on
        self._late: set[str] = set()  # hosts that are looked at when they are resumed
        self._halting = Halting(state.plan.runbook, deadline)

    def go(self) -> State:
        """Run the pass to its end; what happened was told to the observer."""
        self._put(self._keeper.told(self._clock()))
        for batch in self._halting.batches(self.hosts):
            if self.state.stopping:
                break
            self._halting.begin(batch)
            self._pass(batch)
            if (reason := self._halting.spent()) and not self.state.stopping:
                self._halt(reason, self._clock())
                self._settle()
        self._put(Over())
        self.farewell()
        return self.state

    def _pass(self, hosts: Sequence[str]) -> None:
        runbook, settings = self.state.plan.runbook, self.state.plan.settings
        operating = settings.operations and bool(runbook.operations)
        names = self._asked()
        self._put(Recover(on=False))
        self._put(Resume({}, self._flight.resume(hosts)))
        if operating and not self._interrupts:
            self._look(hosts, names)
            self._settle()
            for host in self._reached(hosts):
                self._put(Operate(host))
            self._settle()
        self._drain()
        if not self.state.stopping:
            self._put(Recover())
            self._look(hosts, names)
            self._settle(verifying=True)
        if operating:
            for host in self._reached(hosts):
                self._put(Finish(host))
            self._settle()

    def _look(self, hosts: Sequence[str], names: tuple[str, ...]) -> None:
        self._looks = names
        self._put(Asked(frozenset(hosts)))
        for host in hosts:
            if host in self._flight.resuming:
                self._late.add(host)
            else:
                self._perform(LookAt(host, names))

    def _settle(self, *, verifying: bool = False) -> None:
        """Go on until nothing is in flight and nothing waits for time, or the waiting has lasted long enough."""
        while True:
            self._drain()
            if self.state.stopping:
                self._flight.leave()
                self._late.clear()
            for host in self._late - self._flight.resuming:
                self._late.remove(host)
                self._perform(LookAt(host, self._looks))
            self._flight.ask()
            wake, now = self.state.wake, self._clock()
            pause = GLANCE if wake is None else min(GLANCE, max(0.0, wake - now))
            if not (self._rounds or self._flight):
                if wake is None or self.state.stopping:
                    return
                if verifying and not self.state.tasks.keys() - self._flight.adrift:
                    if wake - now > self._budget:
                        return
                    self._budget -= pause
            elif self._flight.due is not None:
                pause = min(pause, max(0.0, self._flight.due - now))
            for number, answer in self._fleet.receive(pause):
                self._heard(number, answer)
            if self._flight.only_resuming and not self._rounds:
                self._budget -= self._clock() - now
                self._events.extend(self._flight.still_resuming(patient=self._budget > 0))
            now = self._clock()
            if reason := self._halting.late(now):
                self._halt(reason, now)
            self._hear(now)
            if wake is not None and self._clock() >= wake and not self._events:
                self._events.append(Woke())

    def _observed(self, fact: Fact) -> None:
        super()._observed(fact)
        reason = self._halting.hear(fact)
        if reason and not self.state.stopping:
            self._halt(reason, fact.at)

    def _halt(self, reason: str, now: float) -> None:
        """Begin nothing new from now on."""
        self._tell([Fact("run.halted", now, self.state.plan.run, data={"reason": reason})])
        self._events.append(Stop())
