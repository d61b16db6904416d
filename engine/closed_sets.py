"""The closed sets that every room speaks, and the third truth value. Part of the ground."""

from __future__ import annotations

import enum
from typing import Final


class Unknown:
    """The third truth value: our looking failed, or a comparison could not be made."""

    _only: Unknown | None = None

    def __new__(cls) -> Unknown:  # noqa: D102, PYI034 -- there is one
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __bool__(self) -> bool:
        msg = "unknown is neither true nor false"
        raise TypeError(msg)


UNKNOWN: Final = Unknown()
Truth = bool | Unknown


class Ordered(enum.Enum):
    """A closed set whose members have an order, the one in which they are declared."""

    @property
    def rank(self) -> int:
        """The member's place, from 0."""
        return list(type(self)).index(self)


class Severity(Ordered):
    """How bad an incident is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Mode(Ordered):
    """What a detector or step may do by itself."""

    OBSERVE = "observe"
    APPROVE = "approve"
    AUTO = "auto"


class Strategy(enum.Enum):
    """How the rungs of a recovery are climbed."""

    SEQUENCE = "sequence"
    PROGRESSIVE = "progressive"
    PARALLEL = "parallel"


class Backoff(enum.Enum):
    """How the delay between attempts grows."""

    IMMEDIATE = "immediate"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"
    FIBONACCI = "fibonacci"


class IncidentState(enum.Enum):
    """Where an incident stands (DESIGN §3)."""

    PENDING = "pending"
    OPEN = "open"
    WAITING = "waiting"
    OBSERVED = "observed"
    SUPPRESSED = "suppressed"
    RECOVERING = "recovering"
    VERIFYING = "verifying"
    CURED = "cured"
    UNHEALED = "unhealed"
    UNVERIFIED = "unverified"
    INTERRUPTED = "interrupted"

    @property
    def ended(self) -> bool:
        """Nothing more will happen to it by itself."""
        return self in _ENDED


_ENDED = frozenset({IncidentState.CURED, IncidentState.UNHEALED, IncidentState.UNVERIFIED, IncidentState.INTERRUPTED})


class OperationState(enum.Enum):
    """Where an operation of a run stands."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"  # an error detector's recovery wants approval
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"  # an earlier one failed, its `when` does not hold, or tags leave it out
    INTERRUPTED = "interrupted"  # nobody knows how its step ended, and it must not run twice


class StepStatus(enum.Enum):
    """How a step ended."""

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"  # writable, host text, a missing need: nothing was done
    TIMEOUT = "timeout"
    SKIPPED = "skipped"  # its `when` does not hold
    PLANNED = "planned"  # --check
    LOST = "lost"  # the agent knows nothing of it
    RUNNING = "running"
