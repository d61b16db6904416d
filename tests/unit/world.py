"""A world with a virtual clock for `advance`: looks and outcomes are scripted, nothing is real."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from runbook.engine.detect.errors import about, matches
from runbook.engine.language import load
from runbook.engine.language.render import Scope
from runbook.engine.model import Look, NotSeen, Outcome, Record, Seen, StepStatus
from runbook.engine.recover import failing
from runbook.engine.recover.advance import advance
from runbook.engine.recover.commands import (
    Act,
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
    Undo,
    Undone,
    Wait,
    Woke,
)  # fmt: skip
from runbook.engine.recover.state import Plan, Settings, State
from runbook.modules import catalogue

DONE = Outcome(StepStatus.DONE, changed=True, duration=1.0)
Script = Callable[["World", str], Look]


def failed(message: str = "boom", exit_code: int | None = 1) -> Outcome:
    return Outcome(StepStatus.FAILED, error=message, exit_code=exit_code)


def seen(*records: Mapping[str, object], subject: str = "") -> Seen:
    return Seen(tuple(Record(str(fields.get("subject", subject)), dict(fields)) for fields in records))


class World:
    """Feeds `advance` and performs its commands by a script."""

    def __init__(
        self,
        path,
        text: str,
        *,
        looks: Mapping[str, Script | Look],
        acts=None,
        settings: Settings | None = None,
        now: float = 1_000_000.0,
    ) -> None:
        file = path / "runbook.yaml"
        file.write_text(text, encoding="utf-8")
        self.runbook = load.load(file)
        self.now = now
        self.looks = looks
        self.acts = acts or {}
        self.done: list[str] = []
        self.told: list[Happened] = []
        self.notified: list[str] = []
        self.events: list[object] = []
        self.sent: list[Act] = []
        self.undone: list[str] = []  # intents
        self.undoes: dict[str, Outcome] = {}  # how their undoing ends
        self.left: dict[str, Outcome] = {}  # what became of steps that an earlier run sent
        self.run = 0
        self.state = State(self.plan(settings or Settings()), recovering=False)

    def plan(self, settings: Settings) -> Plan:
        self.run += 1
        scope = Scope(self.runbook, host="localhost", run={"id": "r"})
        return Plan(self.runbook, f"run{self.run}", settings, 30.0, {"localhost": scope})

    def again(self, settings: Settings | None = None, *, after: float = 60.0, keep_said: bool = False) -> None:
        """Another pass, as cron would start it: what was in the state stays."""
        self.now += after
        live = dict(self.state.incidents)
        self.state = replace(
            self.state,
            plan=self.plan(settings or Settings()),
            incidents=live,
            ended={},
            recovering=False,
            works={},
            said=self.state.said if keep_said else {},
        )
        self.go()

    def go(self, wait: float = 120.0) -> State:
        """One pass."""
        self.told.clear()
        if self.runbook.operations:
            self.look()
            self.put(Operate("localhost"))
            self.settle()
        self.put(Recover())
        self.look()
        self.settle(wait)
        if self.runbook.operations:
            self.put(Finish("localhost"))
            self.settle()
        return self.state

    def look(self) -> None:
        self.perform(LookAt("localhost", tuple(detector.name for detector in self.runbook.detectors)))

    def settle(self, wait: float = 1e9) -> None:
        until = self.now + wait
        for _ in range(10_000):
            while self.events:
                self.put(self.events.pop(0))
            wake = self.state.wake
            if wake is None or wake > until:
                return
            self.now = max(self.now, wake)
            self.put(Woke())
        raise AssertionError("it never settles")

    def put(self, event) -> None:
        self.state, commands = advance(self.state, event, self.now)
        for command in commands:
            self.perform(command)

    def perform(self, command) -> None:
        if isinstance(command, Happened):
            self.told.append(command)
        elif isinstance(command, Notify):
            self.notified.append(command.message)
        elif isinstance(command, LookAt) and command.intent:
            self.events.append(Probed(command.intent, self.answer(command.probe)))
        elif isinstance(command, LookAt):
            looked = [
                name for name in command.detectors if not catalogue.probe(self.runbook.detector(name).probe).engine
            ]
            self.events.append(Looked("localhost", {name: self.answer(name) for name in looked}))
        elif isinstance(command, Act):
            self.done.append(command.order.name)
            script = self.acts.get(command.order.name, DONE)
            self.sent.append(command)
            outcome = script(self) if callable(script) else script
            self.now += outcome.duration
            self.events.append(Ended(command.intent, outcome, self.matched(command.operation, outcome)))
        elif isinstance(command, Undo):
            self.undone.append(command.intent)
            self.events.append(Undone(command.intent, self.undoes.get(command.intent, DONE)))
        elif isinstance(command, Follow):
            outcome = self.left[command.intent]
            task = self.state.tasks[command.intent]
            operation = self.runbook.operations[self.state.works["localhost"].index].name
            matched = self.matched(operation, outcome) if task.owner.kind == "operation" else {}
            self.events.append(Ended(command.intent, outcome, matched))
        else:
            assert isinstance(command, Wait)

    def matched(self, operation: str, outcome: Outcome) -> dict[str, bool]:
        """What the `error` detectors say of a failure, as the driver asks them."""
        if not operation or outcome.ok:
            return {}
        fields = failing.failure(operation, 0, outcome)
        return {each.name: matches(each, fields) for each in about(self.runbook.detectors, operation)}

    def answer(self, name: str) -> Look:
        script = self.looks.get(name, NotSeen("nobody scripted this"))
        return script(self, name) if callable(script) else script

    def states(self) -> dict[str, str]:
        """Each detector's incident, as it stands or ended in this pass."""
        every = [*self.state.ended.values(), *self.state.incidents.values()]
        return {incident.detector: incident.state.value for incident in every}

    def kinds(self) -> list[str]:
        return [told.kind for told in self.told]

    def reasons(self, kind: str) -> list[str]:
        return [str(told.data.get("reason", "")) for told in self.told if told.kind == kind]
