"""What comes in and what goes out of `advance`: events, and the commands that only the drivers perform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from runbook.engine.model import Key, Look, Order, Outcome, Truth


@frozen
class Looked:
    """A host answered: each detector's look, by its name."""

    host: str
    looks: Mapping[str, Look]


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


@frozen
class Recover:
    """From now on what fires is recovered, too."""


@frozen
class Stop:
    """Begin nothing new: somebody pressed Ctrl-C."""


@frozen
class Resume:
    """A run begins: what became of the steps that an earlier one left in flight, by intent."""

    outcomes: Mapping[str, Outcome]


Event = Looked | Probed | Ended | Woke | Operate | Finish | Recover | Stop | Resume


@frozen
class LookAt:
    """Ask a host for the looks of these detectors, or (with `intent`) one probe for a step that waits."""

    host: str
    detectors: tuple[str, ...] = ()
    intent: str | None = None
    probe: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)


@frozen
class Act:
    """Send a step to a host; its intent is durable before that."""

    intent: str
    host: str
    subject: str
    order: Order
    key: Key | None = None
    operation: str = ""


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


Command = LookAt | Act | Wait | Notify | Happened
