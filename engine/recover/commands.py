"""What comes in and what goes out of `advance`: events, and the commands that only the drivers perform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from runbook.engine.model import Key, Lease, Look, Order, Outcome, Truth
    from runbook.engine.people import People


@frozen
class Looked:
    """A host answered: each detector's look, by its name; or it is told what is known of it without asking."""

    host: str
    looks: Mapping[str, Look]
    answered: bool = True
    aside: bool = False  # it is told beside what the host has yet to answer itself


@frozen
class Probed:
    """The answer to a step that waits for a probe."""

    intent: str
    look: Look


@frozen
class Ended:
    """A step ended. Of a failed attempt the driver also tells which `error` detectors match."""

    intent: str
    outcome: Outcome
    matched: Mapping[str, Truth] = field(default_factory=dict)


@frozen
class Woke:
    """Time has passed."""


@frozen
class Operate:
    """Begin a host's operations."""

    host: str


@frozen
class Finish:
    """Begin a host's `finally` steps."""

    host: str
    begun: bool = False  # its operations were begun by a run before this one


@frozen
class Recover:
    """From now on what fires is recovered, too; or, where the first look at further hosts begins, not yet."""

    on: bool = True


@frozen
class Over:
    """The run ends: what waits to be told together is told now."""


@frozen
class Stop:
    """Begin nothing new: somebody pressed Ctrl-C."""


@frozen
class Resume:
    """A run begins for these hosts: what became of the steps that an earlier one left in flight, by intent."""

    outcomes: Mapping[str, Outcome]
    hosts: frozenset[str] | None = None  # None = all
    known: Mapping[str, Outcome] = field(default_factory=dict)  # of those whose end the journal has already


@frozen
class Told:
    """What people have said and what other runs do, as the journal has it now: at the start, and when it changed.

    `begun` names recoveries that other runs have begun since, by key, where taking a limit or a lease failed for them.
    `lost` says who took the subject of a recovery of ours, while this run was not let run, by the incident's id.
    """

    people: People
    leases: Mapping[tuple[str, str], Lease] = field(default_factory=dict)  # by host and subject: of other runs
    elsewhere: frozenset[str] = frozenset()  # hosts that other runs have under recovery
    begun: Mapping[Key, tuple[float, ...]] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)


@frozen
class Asked:
    """A round of looks begins: these hosts will each answer with `Looked`, or be `Unreachable`.

    What depends on several hosts (`max_unavailable`, which of them began it) is decided when all have answered.
    """

    hosts: frozenset[str]


@frozen
class Unreachable:
    """A host did not answer in this round."""

    host: str
    reason: str


@frozen
class Forget:
    """What counts for no guard any more need not be known any longer: a watch goes on for months."""

    before: float  # recoveries and steps that ended or began before that count no more


@frozen
class Jumped:
    """The clock was put forward: that time has not passed, and nothing has held for so long."""

    by: float  # seconds


@frozen
class Undone:
    """A step was undone, or could not be."""

    intent: str
    outcome: Outcome


Event = (
    Looked
    | Probed
    | Ended
    | Woke
    | Operate
    | Finish
    | Recover
    | Stop
    | Resume
    | Told
    | Asked
    | Unreachable
    | Undone
    | Over
    | Forget
    | Jumped
)


@frozen
class LookAt:
    """Ask a host for the looks of these detectors, or (with `intent`) one probe for a step that waits."""

    host: str
    detectors: tuple[str, ...] = ()
    intent: str | None = None
    probe: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    python: str | None = None  # of the step that waits
    user: str = ""  # the same


@frozen
class Act:
    """Send a step to a host; its intent is durable before that."""

    intent: str
    host: str
    subject: str
    order: Order
    key: Key | None = None
    operation: str = ""
    beside: bool = False  # other steps of the same recovery act on the subject at the same time
    carrier: str = ""  # the host that carries it out, where that is another one
    user: str = ""  # under whom; "" = who logs in


@frozen
class Undo:
    """Have a host undo a step; answered by `Undone`. However often it is asked, a host undoes an intent once."""

    intent: str
    host: str
    subject: str
    key: Key | None = None


@frozen
class Follow:
    """Ask a host, until it is over, for a step that an earlier run sent; answered by `Ended`."""

    intent: str
    host: str
    at: float  # when it was sent


@frozen
class Wait:
    """Wake the machine at this time, in seconds since the epoch."""

    until: float


@frozen
class Notify:
    """Tell people."""

    host: str
    message: str
    title: str = ""
    severity: str = ""
    incident: str = ""
    channels: tuple[str, ...] = ()  # by name; none: the usual ones
    place: str = ""  # the step's path in the runbook
    kind: str = ""  # of `tell`, which decides itself what is told again: open waiting remind unhealed cured


@frozen
class Happened:
    """What the journal is told; reports are read from it."""

    kind: str
    host: str = ""
    detector: str = ""
    subject: str = ""
    incident: str = ""
    operation: str = ""
    step: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


Command = LookAt | Act | Undo | Follow | Wait | Notify | Happened
