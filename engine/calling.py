"""One call of a program's function as an operation of a runbook: a run of its own, from first attempt to answer."""

from __future__ import annotations

import secrets as randomness
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from runbook.engine import keep, restore
from runbook.engine.detect import components
from runbook.engine.errors import UserError
from runbook.engine.journal.facts import Fact, RunStart
from runbook.engine.journal.locks import Locks
from runbook.engine.journal.store import who
from runbook.engine.language import render
from runbook.engine.program import CALL, Program
from runbook.engine.recover.commands import Act, Operate
from runbook.engine.recover.state import Plan, Settings
from runbook.engine.run import Pass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runbook.engine.decide.guards import Caps
    from runbook.engine.journal.store import Journal
    from runbook.engine.model import Lease, Operation, Runbook
    from runbook.engine.notify.teller import Teller
    from runbook.engine.recover.commands import Command, Event, Told
    from runbook.engine.recover.state import State

HOST: Final = "localhost"


class HealError(UserError):
    """An operation failed for good, and no exception of the function's own says why."""


class Unavailable(HealError):
    """Nothing was tried: the breaker of what the operation needs is open."""


class Waiting(HealError):
    """The recovery waits for a person: `runbook approvals` shows it."""


class Call:
    """One call of a function: a run with one operation.

    Args:
        runbook: whose operation it is.
        operation: what the function is called as.
        program: the program's functions.
        journal: where it is written down.
        caps: what recoveries may do by themselves.
        secrets: the runbook's, by name.
        listeners: are told of everything that happens.
        first: the journal does not know the runbook's components yet.
        teller: makes who tells people, for a run of this id; None where there are no channels.
        later: takes what is still to be done when the call is over: awaiting how messages went.
    """

    def __init__(
        self,
        runbook: Runbook,
        operation: Operation,
        program: Program,
        journal: Journal,
        *,
        caps: Caps,
        secrets: Mapping[str, str],
        listeners: Sequence[Callable[[Fact], None]] = (),
        first: bool = False,
        teller: Callable[[str], Teller | None] = lambda _: None,
        later: Callable[[Callable[[], None]], None] = lambda finish: finish(),
    ) -> None:
        self._first = first
        self._teller = teller
        self._later = later
        self._runbook = runbook
        self._operation = operation
        self._program = program
        self._journal = journal
        self._caps = caps
        self._secrets = secrets
        self._listeners = listeners
        self._run = randomness.token_hex(4)
        self._facts: list[Fact] = []

    def go(self) -> Any:
        """Make the call, and what the runbook says around it."""
        runbook, now = self._runbook, time.time()
        scope = render.Scope(runbook, host=HOST, run={"id": self._run, "scratch": ""}, secrets=self._secrets)
        settings = Settings(self._caps)
        every = runbook.every if isinstance(runbook.every, float) else 60.0
        plan = Plan(runbook, self._run, settings, every, {HOST: scope})
        since = restore.horizon(runbook, now)
        with Locks(self._journal.path) as locks:
            locks.take(f"run {self._run}")
            lives = lambda run: locks.held(f"run {run}")  # noqa: E731 -- what other calls have in hand is theirs
            state, cursors = restore.load(plan, self._journal, [HOST], since, now, lives)
            alone = replace(plan, runbook=replace(runbook, operations=(self._operation,), finally_=()))
            mine = {key: each for key, each in state.incidents.items() if each.subject == self._operation.name}
            state = replace(state, plan=alone, incidents=mine, left={}, recovering=True)
            keeper = _Keeper(self._journal, runbook.name, self._run, cursors, since=since, locks=locks)
            keeper.begun = RunStart(self._run, runbook.name, runbook.file, "", "call", now, who())
            if self._first and (fed := components.declared(runbook)):
                keeper.about = {"command": "call", "hosts": [HOST], "components": fed}
            told = Listeners([self._facts.append, *self._listeners])
            try:
                trees = {HOST: render.writable(scope)}
                teller = self._teller(self._run)
                calling = _Pass(state, [HOST], self._program, keeper, told, writable=trees, teller=teller)
                calling.operate()
            finally:
                with self._journal.together():
                    keeper.flush()
                    self._journal.end_run(self._run, time.time(), 0 if self._state() == "succeeded" else 2)
            if teller is not None and not teller.idle:
                self._later(calling.await_messages)
        return self._answer()

    def _ended(self) -> Fact | None:
        return next((fact for fact in reversed(self._facts) if fact.kind == "operation.ended"), None)

    def _state(self) -> str:
        ended = self._ended()
        return str(ended.data.get("state")) if ended is not None else "interrupted"

    def _answer(self) -> Any:
        name, program, ended, state = self._operation.name, self._program, self._ended(), self._state()
        good = [fact for fact in self._facts if fact.kind in {"attempt.ended", "step.ended"} and _ok(fact)]
        if state == "succeeded":
            values = [program.values[fact.step] for fact in reversed(good) if fact.step in program.values]
            return values[0] if values else None
        what = str(ended.data.get("error") or state) if ended is not None else "it was stopped"
        tried = sum(fact.kind == "attempt.begun" for fact in self._facts)
        refused = [fact for fact in self._facts if fact.kind == "attempt.refused"]
        if state == "waiting":
            raise Waiting(f"`{name}` waits for approval", mend="`runbook approvals` shows what for")
        if program.error is not None:
            program.error.add_note(f"runbook: `{name}` {state} after {tried} attempt{'s' * (tried != 1)}: {what}")
            raise program.error
        if refused:
            raise Unavailable(f"`{name}` was not tried: {refused[-1].data.get('reason') or what}")
        raise HealError(f"`{name}` {state}: {what}")


def _ok(fact: Fact) -> bool:
    return fact.data.get("status") == "done"


class _Pass(Pass):
    """A pass of one operation."""

    def operate(self) -> None:
        """Carry the operation out, with its retries, recoveries and fallbacks."""
        self._put(self._keeper.told(self._clock()))
        self._put(Operate(HOST))
        self._settle()

    def await_messages(self) -> None:
        """Tell people that it is over, where they heard of it, and write down how the messages went."""
        if self._teller is not None:
            self._tell(self._teller.finish(self.state, self._clock()))

    def _perform(self, command: Command) -> None:
        if isinstance(command, Act) and command.operation:
            cast("Program", self._fleet).operations.add(command.intent)
        super()._perform(command)


class _Keeper(keep.Keeper):
    """Keeps the turns of a call together, and writes them at its end, or before anything is done to the host.

    What a function did can't be asked for after a crash, so its intent need not be durable before it is called.
    """

    begun: RunStart | None = None
    about: Mapping[str, Any] | None = None  # what `status` is to know of the runbook, which it does not read

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._later: list[tuple[Any, ...]] = []

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
        """Write a turn, or keep it for later."""
        turn = (before, after, event, commands, facts, cursors, now)
        durable = (
            self.leases
            or keep.recovered(after)
            or any(isinstance(command, Act) and command.order.module != CALL for command in commands)
        )
        if not durable:
            self._later.append(turn)
            return None, ()
        self.flush()
        return super().keep(*turn)

    def fact(self, fact: Fact) -> None:
        """Write a fact, behind all that was kept."""
        self.flush()
        super().fact(fact)

    def flush(self) -> None:
        """Write what was kept."""
        begun, self.begun = self.begun, None
        later, self._later = self._later, []
        if begun is None and not later:
            return
        with self._journal.together():
            if begun is not None:
                self._journal.begin_run(begun)
                if self.about is not None:
                    self.fact(Fact("run.begun", begun.started, begun.id, data=self.about))
            for turn in later:
                super().keep(*turn)


class Listeners:
    """Tells several listeners of what happens."""

    def __init__(self, listeners: Sequence[Callable[[Fact], Any]]) -> None:
        self._listeners = list(listeners)

    def fact(self, fact: Fact) -> None:
        """Tell them."""
        for listener in self._listeners:
            listener(fact)

    def progress(self, host: str, title: str, text: str, share: float | None = None) -> None:
        """Nobody is told how far a long step is."""
