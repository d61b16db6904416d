"""The ground: the frozen types and closed sets that every room speaks.

A `Runbook` is what the loader makes of a YAML file. Records, looks and outcomes are what hosts answer. Nothing here
does anything.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 -- Path and the dataclasses are looked at at run time
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from runbook.engine.closed_sets import (
    UNKNOWN,
    Backoff,
    IncidentState,
    Mode,
    OperationState,
    Ordered,
    Severity,
    StepStatus,
    Strategy,
    Truth,
    Unknown,
)
from runbook.modules.declare import Impact
from runbook.modules.frozen import frozen
from runbook.modules.logs.patterns import Pattern  # noqa: TC001 -- a frozen class looks at its types

Key = tuple[str, str, str]  # what an incident is about: host, detector, subject
Path = tuple[str | int, ...]  # where a value stands in a YAML document: ("detectors", 2, "when")


@frozen
class Span:
    """A stretch of a file; lines and columns count from 1, the end is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@frozen
class Edit:
    """A replacement of characters [start, end) of the file's text; what `lint --fix` applies."""

    start: int
    end: int
    text: str


@frozen
class Finding:
    """One thing lint has to say about a file."""

    code: str  # RB012
    rule: str  # unknown-field
    level: Literal["error", "warning"]
    message: str
    span: Span
    hint: str = ""  # how to mend it
    fixes: tuple[Edit, ...] = ()


class Expression(Protocol):
    """A parsed expression (`when`), or a parsed template (`{{ … }}` in a string); see language/expression.py."""

    @property
    def text(self) -> str:
        """As it stands in the file."""

    @property
    def names(self) -> frozenset[str]:
        """The variables it mentions at its top: `incident` of `incident.path`."""

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """Its value, or UNKNOWN. Raises RenderError where a name is undefined."""


@frozen
class Limit:
    """At most `count` per sliding `per` seconds; None = for ever."""

    count: int
    per: float | None = None


@frozen
class Count:
    """Fires at the `count`th event within `per` seconds."""

    count: int
    per: float


@frozen
class Retry:
    """How an operation is tried again. Seconds; `attempts` counts the first one too."""

    strategy: Backoff = Backoff.EXPONENTIAL
    attempts: int | None = 3  # None = as many as fit into `within`
    base: float = 5.0
    max: float = 60.0
    jitter: float = 0.0  # a share of the delay, 0 to 1, by which it may be longer or shorter
    within: float | None = None  # no attempt begins later than this after the first


@frozen
class Verify:
    """How a cure is checked. Seconds."""

    after: float = 0.0
    every: float = 2.0
    hold: float = 0.0  # `for`
    within: float = 60.0
    detector: str | None = None
    given: bool = False  # the runbook wrote a `verify`


@frozen
class Tell:
    """Whom to tell of a detector's incidents, and when. Seconds."""

    about: frozenset[str] = frozenset({"open", "waiting", "unhealed", "cured"})
    channels: tuple[str, ...] = ()  # by name; none: the usual ones
    remind: float = 4 * 3600.0  # of what still stands; 0 = never
    min_severity: Severity = Severity.LOW


@frozen
class StepCall:
    """One item of a recovery, or an operation's step: a module with its parameters and the common keys.

    `params` holds plain YAML values; a string with a template in it is an `Expression`.
    """

    module: str
    params: Mapping[str, Any]
    path: Path
    name: str = ""
    when: Expression | None = None
    timeout: float | None = None
    register: str | None = None
    become: bool | None = None
    become_user: str | None = None
    python: str | None = None
    delegate_to: str | None = None
    tags: tuple[str, ...] = ()
    mode: Mode | None = None
    limit: Limit | None = None
    holds: tuple[StepCall, ...] = ()  # of `failover`: the `switch` of its pool, which it runs

    @property
    def title(self) -> str:
        """What a person calls it."""
        return self.name or self.module


@frozen
class Lease:
    """Who recovers a subject of a host at the moment. Times in seconds since the epoch."""

    host: str
    subject: str  # "" = the host itself
    run: str
    holder: str  # user@machine and process
    runbook: str = ""
    detector: str = ""
    incident: str = ""
    epoch: int = 0  # grows by one per host and subject with each taking
    taken: float = 0.0
    until: float = 0.0


@frozen
class Rung:
    """A step, or a block of them that succeed or fail together."""

    steps: tuple[StepCall, ...]
    path: Path
    name: str = ""

    @property
    def title(self) -> str:
        """What a person calls it."""
        return self.name or " + ".join(step.title for step in self.steps)


@frozen
class ErrorMatch:
    """Which failures of which operations an `error` detector is about."""

    patterns: tuple[str, ...] = ()
    exit_codes: tuple[int, ...] = ()
    during: tuple[str, ...] = ()  # operations' names; none = all
    signatures: tuple[Pattern, ...] | None = None  # what entries of the catalogue look for; None = none are named


@frozen
class Detector:
    """A probe, a condition over its records, guards, and the recovery it maps to. Times in seconds."""

    name: str
    probe: str  # log, health, …, error, all, any, sequence
    params: Mapping[str, Any]
    path: Path
    when: Expression | None = None
    match: Literal["any", "all"] = "any"  # all = fires once, when every record fulfils it
    subject: Expression | None = None
    hold: float = 0.0  # `for`
    clear: Expression | None = None
    count: Count | None = None
    within: float | None = None
    severity: Severity = Severity.MEDIUM
    category: str = "unknown"
    component: str | None = None
    mode: Mode | None = None
    max_age: float = 600.0
    limit: Limit | None = None
    cooldown: float = 0.0
    strategy: Strategy = Strategy.SEQUENCE
    recover: tuple[Rung, ...] = ()
    verify: Verify = Verify()
    cured: tuple[StepCall, ...] = ()
    unhealed: tuple[StepCall, ...] = ()
    rollback: bool = False
    retry: Retry | Literal[False] | None = None  # of an error detector
    error: ErrorMatch | None = None
    members: tuple[str, ...] = ()  # of all, any, sequence
    hosts: str | None = None
    every: float | str | None = None  # seconds, or a cron expression; None = as the runbook
    tags: tuple[str, ...] = ()
    become: bool | None = None  # for its look, and for its steps unless they say otherwise; None = as the host has it
    become_user: str | None = None
    python: str | None = None  # the interpreter on the host that looks
    is_input: bool = False  # no `recover`, and a member of a correlation or a `verify: {detector: …}`
    tell: Tell | None = None
    origin: str = ""  # the file it was loaded from, when `use` brought it here


@frozen
class Operation:
    """A step that the runbook itself runs, wrapped in retry and recovery."""

    name: str
    step: StepCall
    path: Path
    retry: Retry = Retry(attempts=1)
    component: str | None = None
    timeout: float | None = None
    fallback: tuple[StepCall, ...] = ()
    rollback: bool = False
    redundancy: int = 1
    run_once: bool = False  # on the first host alone; the others go on when it is over there
    pool: str | None = None
    prefer: Expression | None = None


@frozen
class Pool:
    """Members that can stand in for each other."""

    name: str
    members: tuple[Mapping[str, Any], ...]
    switch: tuple[StepCall, ...] = ()
    path: Path = ()


@frozen
class Secret:
    """Where a secret is read from: exactly one is set."""

    name: str
    env: str | None = None
    file: str | None = None
    keyring: str | None = None
    path: Path = ()


@frozen
class Runbook:
    """One loaded, valid runbook."""

    name: str
    file: str
    description: str = ""
    hosts: str = "localhost"
    every: float | str = 30.0  # seconds, or a cron expression
    max_unavailable: str | int | None = None
    serial: tuple[str | int, ...] = ()  # how many hosts at a time, batch by batch; the last counts on
    max_fail_percentage: float | None = None  # of a batch's hosts that may fail before nothing new is begun
    become: bool | None = None
    become_user: str | None = None
    fault_tolerance: str | None = None
    writable: tuple[Any, ...] = ()  # strings or Expressions
    vars: Mapping[str, Any] = field(default_factory=dict)  # values; strings with templates are Expressions
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    operations: tuple[Operation, ...] = ()
    detectors: tuple[Detector, ...] = ()
    recoveries: Mapping[str, tuple[Rung, ...]] = field(default_factory=dict)
    pools: Mapping[str, Pool] = field(default_factory=dict)
    components: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    finally_: tuple[StepCall, ...] = ()  # `finally`: steps that end an `apply`, whatever happened
    use: tuple[str, ...] = ()

    def detector(self, name: str) -> Detector | None:
        """Return the detector of that name."""
        return next((found for found in self.detectors if found.name == name), None)


@dataclass(frozen=True)
class Record:
    """What a probe saw of one subject. A field that could not be seen is UNKNOWN; one without a value is None."""

    subject: str  # "" = the host itself
    fields: Mapping[str, Any]


@frozen
class Seen:
    """A look that worked, with what it saw; no records is a look too."""

    records: tuple[Record, ...] = ()
    state: Mapping[str, Any] = field(default_factory=dict)  # cursor, samples, clocks: for the next look


@frozen
class NotSeen:
    """A look that did not work: nothing is known."""

    reason: str


@frozen
class Lacking:
    """The host lacks what was looked for: no fault, unless expected."""

    reason: str


Look = Seen | NotSeen | Lacking


@frozen
class Outcome:
    """What became of a step. `data` is what `register` makes available."""

    status: StepStatus
    changed: bool = False
    error: str = ""
    output: str = ""
    exit_code: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    actions: tuple[Mapping[str, Any], ...] = ()  # {"action": "delete", "what": "312 files, 1.2 GB below /x"}
    diff: str = ""
    duration: float = 0.0

    @property
    def ok(self) -> bool:
        """It did what it should, or had nothing to do."""
        return self.status in _OK

    @property
    def held(self) -> Mapping[str, Any]:
        """Who recovers the subject by another journal or a later lease (`by`), and until when; nothing was done."""
        found: Mapping[str, Any] = self.data.get("held") or {}
        return found if self.status is StepStatus.REFUSED else {}


_OK = frozenset({StepStatus.DONE, StepStatus.SKIPPED, StepStatus.PLANNED})


@frozen
class Order:
    """A step with its values filled in, ready to be sent: what an intent is about."""

    module: str
    params: Mapping[str, Any]
    host_text: frozenset[str] = frozenset()  # parameters that host text went into
    secret: frozenset[str] = frozenset()  # parameters that a secret went into
    timeout: float = 300.0
    become: bool = False
    become_user: str | None = None
    title: str = ""
    path: Path = ()
    about: Mapping[str, Any] = field(default_factory=dict)  # the host and the incident that it is for
    hide: frozenset[str] = frozenset()  # secrets that a step which gathers what others wrote must take out
    python: str | None = None  # the interpreter on the host that carries it out

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self.title or self.module


__all__ = [
    "UNKNOWN",
    "Backoff",
    "Count",
    "Detector",
    "Edit",
    "ErrorMatch",
    "Expression",
    "Finding",
    "Impact",
    "IncidentState",
    "Lacking",
    "Lease",
    "Limit",
    "Look",
    "Mode",
    "NotSeen",
    "Operation",
    "OperationState",
    "Order",
    "Ordered",
    "Outcome",
    "Path",
    "Pool",
    "Record",
    "Retry",
    "Runbook",
    "Rung",
    "Secret",
    "Seen",
    "Severity",
    "Span",
    "StepCall",
    "StepStatus",
    "Strategy",
    "Tell",
    "Truth",
    "Unknown",
    "Verify",
]  # fmt: skip
