"""What one `apply` or `check` comes to: the document of `--format json`, and what the text is written from."""

from __future__ import annotations

from collections.abc import Collection, Mapping  # noqa: TC003 -- dataclass fields
from typing import Any, Final

from runbook.modules.frozen import field, frozen

SCHEMA: Final = 1
BAD: Final = frozenset({"open", "recovering", "unhealed", "unverified", "interrupted", "observed", "suppressed"})
UNFINISHED: Final = frozenset({"waiting", "verifying"})
_IN_HAND: Final = frozenset({"recovering"})  # no fault of a host that was cut off: the next pass asks for the step
LOST: Final = frozenset({"failed", "interrupted"})  # of operations
_FAILED_STEPS: Final = frozenset({"failed", "refused", "timeout", "lost"})


@frozen
class StepReport:
    """A step that ran, or (`planned`) would run."""

    module: str
    state: str
    title: str = ""
    changed: bool = False
    duration: float = 0.0
    error: str = ""
    diff: str = ""
    output: str = ""
    exit_code: int | None = None
    actions: tuple[Mapping[str, Any], ...] = ()
    phase: str = ""  # recover, cured or unhealed: which list of the detector it stands in
    rung: int = 0

    @property
    def failed(self) -> bool:
        """It did not do what it should."""
        return self.state in _FAILED_STEPS


@frozen
class IncidentReport:
    """A detector that fired about one subject."""

    id: str
    detector: str
    subject: str
    state: str
    severity: str = "medium"
    evidence: str = ""  # what was seen when it opened, as a sentence
    fields: Mapping[str, Any] = field(default_factory=dict)  # the record that opened it
    reason: str = ""
    steps: tuple[StepReport, ...] = ()
    after: str = ""  # what was seen at the end
    duration: float | None = None  # from opening to end
    recovery: float | None = None  # of that, from the begin of the recovery on: nothing that a person was waited for
    verified: float | None = None  # how long the verification took
    since: float | None = None
    hold: float | None = None  # of a pending one: how long it must hold
    held: float | None = None
    count: int = 1
    wanted: int = 1  # of a pending one: how many times it must be seen
    category: str = ""
    when: str = ""  # the condition, as it stands in the runbook
    root: str = ""  # what it follows from

    @property
    def spent(self) -> float | None:
        """How long it took to heal it, or to fail at that; where nothing was begun, how long it lasted."""
        return self.duration if self.recovery is None else self.recovery

    @property
    def by_itself(self) -> bool:
        """It was over before anything was done about it."""
        return self.state == "cured" and "by itself" in self.reason


@frozen
class AttemptReport:
    """One attempt of an operation."""

    ok: bool
    error: str = ""
    duration: float = 0.0
    delay: float | None = None  # until the next one
    member: str = ""  # of the pool, that was asked


@frozen
class RefusedReport:
    """An attempt that a breaker did not let through."""

    component: str
    reason: str
    until: float | None = None  # in seconds since the epoch


@frozen
class UndoneReport:
    """A step that was undone, or could not be."""

    state: str
    error: str = ""
    actions: tuple[Mapping[str, Any], ...] = ()


@frozen
class OperationReport:
    """An operation of the runbook."""

    name: str
    state: str
    attempts: int = 0
    duration: float = 0.0
    error: str = ""
    tries: tuple[AttemptReport, ...] = ()
    steps: tuple[StepReport, ...] = ()
    member: str = ""  # of its pool, whose answer counted; of a majority all of them
    fallback: str = ""  # the one that did it
    after: str = ""  # why it came to that
    refused: tuple[RefusedReport, ...] = ()
    undone: tuple[UndoneReport, ...] = ()  # of a rollback, in its order
    hindered: bool = False  # of a skipped one: another host was to do it for all, and did not

    @property
    def would(self) -> bool:
        """Of a planned one: it would do something, as far as its step could tell."""
        acts = any(action.get("action") != "nothing" for step in self.steps for action in step.actions)
        return not self.steps or acts or any(step.diff or step.changed for step in self.steps)


@frozen
class Unseen:
    """A detector that could not look (unknown), or whose target the host lacks (absent)."""

    detector: str
    reason: str
    subjects: tuple[str, ...] = ()  # that it is about, where others could be seen


@frozen
class Well:
    """A subject that a detector looked at and found no fault with.

    An input has no recovery and is a part of a correlation: that its condition holds, or does not, is no fault.
    """

    detector: str
    subject: str
    evidence: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    holds: bool = False
    is_input: bool = False
    when: str = ""  # the condition, as it stands in the runbook


@frozen
class HostReport:
    """One host of a run."""

    name: str
    operations: tuple[OperationReport, ...] = ()
    incidents: tuple[IncidentReport, ...] = ()
    unknown: tuple[Unseen, ...] = ()
    absent: tuple[Unseen, ...] = ()
    well: tuple[Well, ...] = ()  # told by `check`
    steps: tuple[StepReport, ...] = ()  # of `finally`, and of `runbook run`
    unreachable: str = ""  # the reason
    told: tuple[Mapping[str, Any], ...] = ()  # messages to channels: channel status reason message cured

    @property
    def state(self) -> str:
        """The worst that can be said of it: unreachable, unhealthy, unknown, waiting, healed or well."""
        states = {incident.state for incident in self.incidents}
        if self.unreachable:
            return "unreachable"
        failed = any(one.state in LOST for one in self.operations) or any(step.failed for step in self.steps)
        if failed or states & BAD:
            return "unhealthy"
        if self.unknown:
            return "unknown"
        if states & UNFINISHED or any(one.state == "waiting" for one in self.operations):
            return "waiting"
        healed = any(one.state == "cured" and not one.by_itself for one in self.incidents)
        return "healed" if healed else "well"


@frozen
class RunReport:
    """One runbook's pass over its hosts."""

    runbook: str
    run_id: str
    started: float
    duration: float
    hosts: Mapping[str, HostReport] = field(default_factory=dict)
    check: bool = False
    command: str = ""
    detectors: int = 0
    order: tuple[str, ...] = ()  # the names of its detectors, as far as they are known
    planned: tuple[str, ...] = ()  # the names of its operations, as far as they are known
    looked: Collection[str] | None = None  # the hosts that were looked at, where the run tells of that
    halted: str = ""  # why it ended before its end
    late: float = 0.0  # how long recoveries waited for the looks of some hosts
    late_for: tuple[str, ...] = ()  # these
    watched: bool = False  # a watch looks after it meanwhile
    aside: int = 0  # how many operations it has that were not looked at, since only detectors were asked

    @property
    def in_vain(self) -> bool:
        """A message was all that was asked for (`run notify`), and no channel took it."""
        told = [one["status"] for host in self.hosts.values() for one in host.told]
        return self.command == "run" and bool(told) and "sent" not in told


@frozen
class PassReport:
    """All that one command did."""

    runs: tuple[RunReport, ...] = ()
    stopped: bool = False  # by a signal

    @property
    def hosts(self) -> list[HostReport]:
        """The hosts of all runs, one after the other."""
        return [host for run in self.runs for host in run.hosts.values()]

    @property
    def untold(self) -> list[str]:
        """The channels that did not take a message."""
        failed = (str(one["channel"]) for host in self.hosts for one in host.told if one["status"] == "failed")
        return list(dict.fromkeys(failed))

    @property
    def exit_code(self) -> int:
        """130 stopped, 2 a fault is left, 4 something could not be seen, 3 only waiting, 0 well."""
        states = {host.state for host in self.hosts}
        if self.stopped:
            return 130
        if any(_faulty(host) for host in self.hosts) or any(run.in_vain for run in self.runs):
            return 2
        if states & {"unreachable", "unknown"} or any(run.halted for run in self.runs):
            return 4
        return 3 if "waiting" in states else 0


def _faulty(host: HostReport) -> bool:
    return (
        any(one.state in BAD - (_IN_HAND if host.unreachable else set()) for one in host.incidents)
        or any(one.state in LOST for one in host.operations)
        or any(step.failed for step in host.steps)
    )
