"""What the state machine knows: incidents, holds, operations and steps in flight. Frozen; `Turn` makes the next one."""

from __future__ import annotations

import enum
from collections.abc import Mapping, MutableMapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from runbook.engine.decide.guards import Caps
from runbook.engine.inventory.patterns import covers
from runbook.engine.model import IncidentState, OperationState
from runbook.engine.people import People
from runbook.engine.recover.commands import Happened, LookAt, Wait
from runbook.engine.recover.shards import Shards
from runbook.engine.recover.work import Work
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from runbook.engine.detect.attempts import Attempt
    from runbook.engine.detect.correlate import Said
    from runbook.engine.detect.hold import Hold
    from runbook.engine.detect.sightings import Sign
    from runbook.engine.language.render import Scope
    from runbook.engine.model import Detector, Key, Lease, Order, Outcome, Runbook, StepCall
    from runbook.engine.recover.commands import Command
    from runbook.engine.recover.work import Left


NAMED = ("operation", "step", "detector", "subject")  # what a fact is about, beside its data


class Phase(enum.Enum):
    """Which of a detector's lists of steps an incident is in."""

    NONE = "none"
    RECOVER = "recover"
    ROLLBACK = "rollback"
    CURED = "cured"
    UNHEALED = "unhealed"


@frozen
class Lane:
    """One rung of a recovery whose rungs are taken side by side."""

    rung: int
    step: int = 0
    intent: str | None = None  # the step in flight
    over: bool = False
    error: str = ""


@frozen
class Incident:
    """A detector firing about one subject on one host, from opening to its end. Times in seconds since the epoch."""

    id: str
    host: str
    detector: str
    subject: str
    state: IncidentState
    severity: str
    since: float  # when the condition was first seen
    opened: float
    seen: float  # the last look that saw it true
    fields: Mapping[str, Any] = field(default_factory=dict)  # of the record that opened it
    after: Mapping[str, Any] = field(default_factory=dict)  # what the last look saw of it
    count: int = 1  # events that it stands for
    reason: str = ""  # why it is where it is
    phase: Phase = Phase.NONE
    rung: int = 0
    step: int = 0
    intent: str | None = None  # the step in flight
    begun: float | None = None  # its recovery
    registers: Mapping[str, Any] = field(default_factory=dict)
    errors: tuple[str, ...] = ()  # of failed rungs
    verify_began: float | None = None
    well_since: float | None = None
    blind: bool = False  # the last look at it saw nothing
    wake: float | None = None  # when time alone is an event for it
    closed: float | None = None
    until: float | None = None  # when the guard that refused may be asked again
    answers: tuple[Mapping[str, Any], ...] = ()  # of the guards, when they were last told: guard, ok, reason, until
    digest: str = ""  # of what waits for a person: the subject and the steps, filled in
    asked: tuple[Mapping[str, Any], ...] = ()  # these steps: step, module, params, impact, rung
    lanes: tuple[Lane, ...] = ()
    won: bool = False  # one of them cured: none begins another step
    done: tuple[tuple[str, str, str], ...] = ()  # steps of this recovery with something to undo: intent, module, title
    undoing: str | None = None  # the intent that is being undone
    switching: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by a `failover`'s path: how far it is
    queued: float = 0.0  # when the round of looks began that opened it
    peeked: float | None = None  # when it was last looked at because what was known had grown old
    recovers: bool = True  # its detector says how
    told: str = ""  # what the last look of its verification that the journal has said: well, ill, nothing
    sights: tuple[Mapping[str, Any], ...] = ()  # of events: which signatures were seen of it, and when
    root: str = ""  # the incident that it follows from
    folded: tuple[Mapping[str, Any], ...] = ()  # what follows from it: id host detector subject signature count
    reported: Mapping[str, float] = field(default_factory=dict)  # by `tell`: what people were told of it, and when

    @property
    def key(self) -> Key:
        """Its host, detector and subject."""
        return (self.host, self.detector, self.subject)

    @property
    def busy(self) -> bool:
        """A recovery of it is going on."""
        return self.state in (IncidentState.RECOVERING, IncidentState.VERIFYING)

    @property
    def live(self) -> bool:
        """It is not over: its steps, or the condition, still go on."""
        return self.closed is None


@frozen
class Owner:
    """Who asked for a step: an incident (its key), or a host's operation, fallback or `finally`."""

    kind: str  # incident, operation, fallback, finally, switch
    host: str
    key: Key | None = None
    parent: str = ""  # of a pool's `switch`: the intent of its `failover`


@frozen
class Switch:
    """How far a `failover` is: from one member of a pool to another, by the pool's `switch` steps."""

    pool: str
    origin: Mapping[str, Any]  # the members, as templates read them
    target: Mapping[str, Any]
    step: int = 0
    intent: str | None = None  # the step in flight
    registers: Mapping[str, Any] = field(default_factory=dict)
    outcomes: tuple[Outcome, ...] = ()
    beside: bool = False  # other steps act on the subject at the same time


@frozen
class Task:
    """A step in flight."""

    intent: str
    owner: Owner
    call: StepCall
    order: Order
    began: float
    until: float | None = None  # of a word of the engine: when it is over
    wake: float | None = None
    switch: Switch | None = None  # of `failover`: where it is
    carrier: str = ""  # the host that carries it out; empty: its owner's
    user: str = ""  # under whom; empty: who logs in there


@frozen
class Settings:
    """What the person asked for on the command line."""

    caps: Caps = field(default_factory=Caps)
    check: bool = False
    now: bool = False  # wait for no hold
    tags: frozenset[str] = frozenset()
    detectors: frozenset[str] = frozenset()
    operations: bool = True
    health: bool = False  # tell of what is well, too
    settle: float = 0.0  # seconds in which events of one fault come in; a single pass reads to the end of the logs


@frozen
class Plan:
    """What does not change during a run."""

    runbook: Runbook
    run: str
    settings: Settings = Settings()
    every: float = 30.0
    scopes: Mapping[str, Scope] = field(default_factory=dict)  # by host: vars, host, runbook, run, secrets
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)  # by host: of the inventory
    users: Mapping[str, tuple[bool, str]] = field(default_factory=dict)  # by host: whether to become, and whom
    size: int = 0  # hosts that the runbook is for, before --limit
    signs: Mapping[str, Sign] = field(default_factory=dict)  # the catalogue's signatures, by id
    heard: frozenset[str] | None = None  # those of them that a detector can see; None = all
    began: float = 0.0  # the run
    last: float | None = None  # when the run before it began, if there was one

    @property
    def hosts(self) -> int:
        """How many hosts the runbook is for."""
        return self.size or len(self.scopes)

    def chosen(self, detector: Detector) -> bool:
        """Tell whether --detector and --tags ask for a detector."""
        names, tags = self.settings.detectors, self.settings.tags
        return (not names or detector.name in names) and (not tags or bool(tags.intersection(detector.tags)))

    def concerns(self, detector: Detector, host: str) -> bool:
        """Tell whether a detector's `hosts` name a host."""
        return detector.hosts is None or covers(detector.hosts, host, self.groups.get(host, frozenset()))

    def user(self, host: str, become: bool | None, become_user: str | None) -> str:
        """Return under whom something is done on a host; empty: who logs in there."""
        always, usual = self.users.get(host, (False, "root"))
        if become is None and become_user is None:
            become = always
        return (become_user or usual) if become is not False else ""

    def condition(self, detector: Detector) -> str:
        """Return what a detector asks, as text; a correlation asks what its members do."""
        if detector.when is not None:
            return detector.when.text
        return ", ".join(self.condition(self.detector(name)) for name in detector.members)

    def detector(self, name: str) -> Detector:
        """Return a detector by its name."""
        found = self.runbook.detector(name)
        assert found is not None, name
        return found


@frozen
class State:
    """All of it. `advance` makes a new one from an old one and an event."""

    plan: Plan
    recovering: bool = True  # false at the first look of an `apply`: cursors and holds only
    stopping: bool = False
    incidents: Mapping[Key, Incident] = field(default_factory=dict)
    ended: Mapping[str, Incident] = field(default_factory=dict)  # by id: those that ended in this run
    holds: Mapping[Key, Hold] = field(default_factory=dict)
    said: Mapping[tuple[str, str], Said] = field(default_factory=dict)  # by host and detector
    begun: Mapping[Key, tuple[float, ...]] = field(default_factory=dict)  # recoveries, oldest first
    finished: Mapping[Key, float] = field(default_factory=dict)  # the end of the last recovery
    cleared: Mapping[Key, tuple[float, ...]] = field(default_factory=dict)  # incidents that ended `cured`: when
    people: People = field(default_factory=People)
    leases: Mapping[tuple[str, str], Lease] = field(default_factory=dict)  # by host and subject: what other runs hold
    elsewhere: frozenset[str] = frozenset()  # hosts that other runs have under recovery
    lost: Mapping[str, str] = field(default_factory=dict)  # by id: who took an incident's subject from this run
    unreached: Mapping[str, str] = field(default_factory=dict)  # by host: why it could not be reached the last time
    awaited: frozenset[str] = frozenset()  # hosts that have not answered in this round of looks
    round: float = 0.0  # when that began
    judged: Mapping[tuple[str, str], bool] = field(default_factory=dict)  # host and detector: this run has looked at it
    due: frozenset[tuple[str, str]] = frozenset()  # those of them whose incidents are not decided yet
    noted: Mapping[tuple[str, str], float] = field(
        default_factory=dict
    )  # by detector and kind: what people are to be told, and when
    failed: Mapping[Key, str] = field(default_factory=dict)  # the incident that was recovered last, in vain
    vain: Mapping[Key, tuple[str, float]] = field(
        default_factory=dict
    )  # the same, where people were told of it by `tell`: its incident, and when that was
    past: Mapping[str, Incident] = field(default_factory=dict)  # by id: those that ended shortly before this run
    attempts: Mapping[tuple[str, str], tuple[Attempt, ...]] = field(default_factory=dict)  # by host and component
    active: Mapping[tuple[str, str], str] = field(default_factory=dict)  # by host and pool: the member in use
    left: Mapping[tuple[str, str], tuple[Left, ...]] = field(
        default_factory=dict
    )  # by host and operation: what earlier runs have sent
    catching: Mapping[tuple[str, str], float] = field(default_factory=dict)  # since when logs are being caught up with
    steps: Mapping[tuple[str, str, str], tuple[float, ...]] = field(
        default_factory=dict
    )  # host, path of the step, subject: begun at
    tasks: Mapping[str, Task] = field(default_factory=dict)
    works: Mapping[str, Work] = field(default_factory=dict)
    once: Mapping[str, tuple[str, OperationState | None]] = field(
        default_factory=dict
    )  # by operation with `run_once`: the host that carries it out, and how it ended there
    counter: int = 0

    @property
    def wake(self) -> float | None:
        """When time alone is the next event, if ever."""
        times = [
            thing.wake
            for group in (self.incidents, self.tasks, self.works)
            for thing in group.values()
            if thing.wake is not None
        ]
        if times or self.tasks or self.plan.settings.settle:  # else a pass is at its end, and waits for no message
            times += self.noted.values()
        return min(times, default=None)

    @property
    def quiet(self) -> bool:
        """Nothing is in flight and nothing waits for time."""
        return not self.tasks and self.wake is None


_PLAIN = ("recovering", "stopping", "counter", "people", "elsewhere", "lost", "awaited", "round", "due", "noted")
_LARGE = frozenset({"said", "judged"})  # each look of each host changes them


class Turn:
    """One call of `advance` while it runs: what is known so far, and the commands. Copies a mapping when it changes."""

    def __init__(self, state: State, now: float) -> None:
        self._state = state
        self._own: dict[str, MutableMapping[Any, Any]] = {}
        self.now = now
        self.plan = state.plan
        self.recovering = state.recovering
        self.stopping = state.stopping
        self.counter = state.counter
        self.people = state.people
        self.elsewhere = state.elsewhere
        self.lost = state.lost
        self.awaited = state.awaited
        self.round = state.round
        self.due = state.due
        self.noted = state.noted
        self.freed = False  # an incident ended in this turn: its host may make room for another
        self.commands: list[Command] = []
        self._looks: dict[str, list[str]] = {}

    def read(self, group: str) -> Mapping[Any, Any]:
        """Return one of the state's mappings as it is now."""
        found: Mapping[Any, Any] = self._own[group] if group in self._own else getattr(self._state, group)
        return found

    def changed(self, group: str) -> list[Any]:
        """Return what in one of the state's mappings is another than before this turn."""
        before, now = getattr(self._state, group), self.read(group)
        return [] if now is before else [value for key, value in now.items() if before.get(key) is not value]

    def write(self, group: str) -> MutableMapping[Any, Any]:
        """Return one of the state's mappings for changing."""
        if group not in self._own:
            found: Mapping[Any, Any] = getattr(self._state, group)
            if isinstance(found, Shards):
                self._own[group] = found.copy()
            else:
                self._own[group] = Shards(found) if group in _LARGE else dict(found)
        return self._own[group]

    def incident(self, key: Key) -> Incident | None:
        """Return the live incident of that key."""
        found: Incident | None = self.read("incidents").get(key)
        return found

    def put(self, incident: Incident) -> Incident:
        """Keep an incident as it is now."""
        live = self.write("incidents")
        if incident.closed is None:
            live[incident.key] = incident
        else:
            known = live.get(incident.key)
            if known is not None and known.id == incident.id:  # another may have opened about the same since
                del live[incident.key]
            self.write("ended")[incident.id] = incident
        return incident

    def work(self, host: str) -> Work:
        """Return a host's way through the operations."""
        found: Work = self.read("works").get(host) or Work(host)
        return found

    def put_work(self, work: Work) -> Work:
        """Keep a host's way through the operations as it is now."""
        self.write("works")[work.host] = work
        return work

    def look(self, host: str, detector: str) -> None:
        """Ask for a look at one detector, or at the members of a correlation; those of a host go out together."""
        asked = self.plan.detector(detector)
        if asked.members and asked.subject is not None:  # it joins across hosts: all of them are looked at
            self.awaited |= frozenset(self.plan.scopes)
        for place in sorted(self.plan.scopes) if asked.subject is not None else (host,):
            for name in asked.members:
                self.look(place, name)
        wanted = self._looks.setdefault(host, [])
        if not asked.members and detector not in wanted:
            wanted.append(detector)

    def tell(self, kind: str, about: Incident | None = None, *, host: str = "", **data: Any) -> None:
        """Tell the journal what happened, to an incident or to a host."""
        named: dict[str, str] = {name: data.pop(name) for name in NAMED if name in data}
        if about is not None:
            named |= {"detector": about.detector, "subject": about.subject, "incident": about.id}
            host = about.host
        self.commands.append(Happened(kind, host, data=data, **named))

    def number(self) -> int:
        """Return the next number of this run."""
        self.counter += 1
        return self.counter

    def end(self) -> tuple[State, tuple[Command, ...]]:
        """Return the new state and the commands, the wish to be woken among them."""
        own = {name: getattr(self, name) for name in _PLAIN} | dict(self._own)
        state = replace(self._state, **own)
        looks = tuple(LookAt(host, tuple(wanted)) for host, wanted in self._looks.items() if wanted)
        waits = (Wait(state.wake),) if state.wake is not None else ()
        return state, (*self.commands, *looks, *waits)
