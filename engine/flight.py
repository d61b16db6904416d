"""The steps that are on their way: sent by this run, or left by earlier ones, until it is known what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runbook.engine import looking
from runbook.engine.fleet import messages
from runbook.engine.fleet.connection import Gone
from runbook.engine.following import Following
from runbook.engine.journal.leases import LASTS
from runbook.engine.model import Outcome, StepStatus
from runbook.engine.recover.commands import Ended, Resume, Undone, Unreachable
from runbook.modules import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from runbook.engine.fleet.connection import Fleet
    from runbook.engine.journal.facts import IntentRow
    from runbook.engine.keep import Keeper
    from runbook.engine.model import Lease
    from runbook.engine.recover.commands import Act, Event, Follow, Undo
    from runbook.engine.recover.state import State

    Progress = Callable[[str, str, str, float | None], None]
    Word = Callable[[str, messages.Claim], dict[str, Any]]

AGAIN: Final = 1.0  # seconds until a host that was cut off is asked for the first time
OFTEN: Final = 0.5  # seconds between two questions about a recovery's step that an earlier run left


class Flight:
    """Steps on their way.

    Args:
        fleet: carries requests to hosts.
        keeper: knows under which lease a step acts, and what earlier runs left.
        progress: is told how far a step is: host, title, words, share.
        wait: seconds to wait for a host that was cut off in the middle of a step.
        writable: by host, the trees in which steps may write.
        diff: have steps tell what they change in files.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        fleet: Fleet,
        keeper: Keeper,
        progress: Progress,
        *,
        wait: float,
        writable: Mapping[str, Sequence[str]],
        diff: bool,
        clock: Callable[[], float],
    ) -> None:
        self._fleet = fleet
        self._keeper = keeper
        self._progress = progress
        self._wait = wait
        self._writable = writable
        self._diff = diff
        self._clock = clock
        self._sent: dict[int, str] = {}  # number of a run or undo request: intent
        self._undoing: set[str] = set()  # those of them that are undone
        self._following = Following(fleet)
        self._left: dict[str, dict[str, IntentRow]] = {}  # by host: what earlier runs sent, and is asked for
        self._outcomes: dict[str, dict[str, Outcome]] = {}  # by host: what is known of it
        self._claimed: dict[tuple[str, str], set[tuple[str, str]]] = {}  # by host and subject: who acts under its lease
        self.adrift: set[str] = set()  # steps whose host did not come back in time

    def __bool__(self) -> bool:
        """Tell whether something is on its way."""
        return bool(self._sent or self._following)

    @property
    def due(self) -> float | None:
        """When a question is to be asked, if ever."""
        return self._following.due

    def ask(self) -> None:
        """Ask what it is time to ask."""
        self._following.ask(self._clock())

    def act(self, command: Act, *, check: bool) -> None:
        """Send a step."""
        lease = self._keeper.lease(command.key[0], command.key[2]) if command.key is not None else None
        carrier = command.carrier or command.host
        if lease is not None:
            self._claimed.setdefault((lease.host, lease.subject), set()).add((carrier, command.user))
        errand = messages.Errand(
            command.intent,
            command.order,
            None if lease is None else self._claim(lease, beside=command.beside),
            _subject(command.host, carrier, command.subject),
            self._writable.get(command.host, ()),
            check,
            self._diff,
        )
        self._sent[self._fleet.submit(carrier, errand, command.user)] = command.intent

    def undo(self, command: Undo) -> None:
        """Have a step undone."""
        host, user = self._keeper.place(command.intent) or (command.host, "")
        request = messages.undo(command.intent, self._writable.get(command.host, ()))
        self._sent[self._fleet.send(host, request, user)] = command.intent
        self._undoing.add(command.intent)

    def follow(self, command: Follow) -> None:
        """Ask for a step that an earlier run sent, until it is over."""
        place, now = self._keeper.place(command.intent) or (command.host, ""), self._clock()
        self._following.begin(command.intent, place, now, until=now + self._wait)

    def resume(self, hosts: Sequence[str]) -> frozenset[str]:
        """Ask hosts what became of the steps that an earlier run left.

        Returns:
            The hosts where there is nothing to ask.
        """
        now, free = self._clock(), set()
        for host in hosts:
            rows = {row.id: row for row in self._keeper.left(host)}
            if not rows:
                free.add(host)
                continue
            self._left[host], self._outcomes[host] = rows, {}
            for row in rows.values():
                self._following.begin(row.id, (row.carrier or host, row.user), now, at=row.at, every=OFTEN)
        return frozenset(free)

    @property
    def resuming(self) -> frozenset[str]:
        """The hosts that have not said yet what became of earlier runs' steps."""
        return frozenset(self._left)

    @property
    def only_resuming(self) -> bool:
        """Nothing of this run is on its way, and something of an earlier one is."""
        return bool(self._left) and not self._sent

    def still_resuming(self, *, patient: bool) -> Iterator[Event]:
        """Say what is waited for; without patience, leave it to the next run."""
        for host, rows in list(self._left.items()):
            for row in list(rows.values()):
                self._progress(host, row.title, "begun by an earlier run, and not over yet", None)
                if not patient:
                    self._following.leave([row.id])
                    yield from self._resumed(host, row, None)

    def back(self, host: str, state: State) -> None:
        """Ask anew for the steps of a host that was away for too long: it answers again."""
        now = self._clock()
        for intent in sorted(self.adrift):
            task, place = state.tasks.get(intent), self._keeper.place(intent)
            if task is None or place is None:
                self.adrift.discard(intent)
            elif place[0] == host:
                self.adrift.discard(intent)
                self._following.begin(intent, place, now, at=task.began, until=now + self._wait)

    def leave(self) -> None:
        """Ask no more what became of steps: they go on without us, and the next run asks again."""
        self._following.leave()
        self._left.clear()
        self._outcomes.clear()

    def hears(self, number: int) -> bool:
        """Tell whether an answer is about a step."""
        return number in self._sent or self._following.hears(number)

    def heard(self, number: int, answer: Mapping[str, Any] | Gone, state: State) -> Iterator[Event]:
        """Take in what is said of a step."""
        if self._following.hears(number):
            over = self._following.heard(number, answer, self._clock())
            if over is not None:
                yield from self._followed(*over, state)
        elif isinstance(answer, Gone):
            yield from self._cut_off(self._sent.pop(number), answer, state)
        elif "progress" in answer:
            task = state.tasks.get(self._sent[number])
            title, host = (task.call.title, task.owner.host) if task else ("", "")
            self._progress(host, title, str(answer["progress"]), answer.get("share"))
        else:
            yield self._ended(self._sent.pop(number), self._fleet.outcome(answer), state)

    def hold(self, lease: Lease) -> None:
        """Have every agent that acts under a lease know that it holds on."""
        self._say(lease, messages.hold)

    def release(self, lease: Lease) -> None:
        """Have every agent that acted under a lease know that it is over."""
        self._say(lease, messages.release)
        self._claimed.pop((lease.host, lease.subject), None)

    def _say(self, lease: Lease, word: Word) -> None:
        for host, user in self._claimed.get((lease.host, lease.subject), {(lease.host, "")}):
            if self._fleet.up(host):
                self._fleet.send(host, word(_subject(lease.host, host, lease.subject), self._claim(lease)), user)

    def _claim(self, lease: Lease, *, beside: bool = False) -> messages.Claim:
        return messages.Claim(self._keeper.journal, lease.epoch, lease.holder, LASTS, beside)

    def _cut_off(self, intent: str, gone: Gone, state: State) -> Iterator[Event]:
        """Ask what became of a step when its host is back; one that never got there has not begun."""
        now, task = self._clock(), state.tasks.get(intent)
        if intent in self._undoing:
            self._undoing.remove(intent)  # it is asked again by the next pass
            yield Unreachable(gone.host, gone.reason)
        elif not gone.sent and task is not None and (gone.host, gone.user) != (task.owner.host, ""):
            who = f"{gone.host} as {gone.user}" if gone.user else gone.host
            error = f"{who} can't be reached: {gone.reason}" + (f"; {gone.mend}" if gone.mend else "")
            yield self._ended(intent, Outcome(StepStatus.FAILED, error=error), state)
        elif self._fleet.up(gone.host) and not state.stopping:
            reboots = task is not None and catalogue.step(task.call.module).reboots
            patience = max(self._wait, task.order.timeout) if task is not None and reboots else self._wait
            at = None if task is None else task.began
            self._following.begin(intent, (gone.host, gone.user), now + AGAIN, at=at, until=now + patience)
        else:
            yield from self._lost(intent, gone.reason, state)

    def _lost(self, intent: str, reason: str, state: State) -> Iterator[Event]:
        """Leave a step whose host can't be asked: the next pass does."""
        self.adrift.add(intent)
        task = state.tasks.get(intent)
        if task is not None:
            yield Unreachable(task.carrier or task.owner.host, reason)

    def _followed(self, intent: str, outcome: Outcome | None, state: State) -> Iterator[Event]:
        for host, rows in list(self._left.items()):
            if intent in rows:
                yield from self._resumed(host, rows[intent], outcome)
                return
        if outcome is None:
            yield from self._lost(intent, "it did not come back in time", state)
        else:
            yield self._ended(intent, outcome, state)

    def _resumed(self, host: str, row: IntentRow, outcome: Outcome | None) -> Iterator[Event]:
        """Take in what became of a step that an earlier run left; None: it goes on, or its host can't be asked."""
        rows = self._left[host]
        if outcome is not None:
            self._outcomes[host][row.id] = outcome
        del rows[row.id]
        if not rows:
            del self._left[host]
            yield Resume(self._outcomes.pop(host), frozenset({host}))

    def _ended(self, intent: str, outcome: Outcome, state: State) -> Event:
        if intent in self._undoing:
            self._undoing.remove(intent)
            return Undone(intent, outcome)
        return Ended(intent, outcome, looking.matched(state, state.tasks.get(intent), outcome))


def _subject(host: str, carrier: str, subject: str) -> str:
    """Return what a subject is called on the host that carries a step out: its own, or another host's."""
    return subject if carrier == host else f"{host}: {subject}"
