"""A host's way through the runbook's operations: where it is, what was tried, what failed. Times in seconds."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 -- a frozen class looks at its types
from dataclasses import field
from typing import TYPE_CHECKING, Any

from runbook.engine.model import OperationState
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from runbook.engine.model import Key
    from runbook.engine.recover.redundancy import Answer
    from runbook.engine.recover.retry import Failures


@frozen
class Left:
    """A step of an operation that an earlier run sent, and did not see the end of."""

    intent: str
    at: float  # when
    path: str = ""  # of the step in the runbook, joined with dots
    member: str = ""  # of the operation's pool


@frozen
class Work:
    """Where a host is. What stands below `operation` is about the one in hand, and begins anew with the next."""

    host: str
    index: int = 0
    registers: Mapping[str, Any] = field(default_factory=dict)
    started: bool = False  # an attempt was made
    final: int = 0  # the next step of `finally`
    guards: tuple[str, ...] = ()  # intents of snapshots that operations took, in their order
    # operation
    state: OperationState = OperationState.PENDING
    began: float = 0.0
    attempt: int = 0
    attempt_began: float = 0.0
    resumed: bool = False  # an earlier run began the attempt
    lost: int = 0  # steps of the attempt that were sent anew, since the host knew nothing of them
    calls: Mapping[str, str] = field(default_factory=dict)  # steps of the attempt in flight: the member, by intent
    answers: tuple[Answer, ...] = ()  # of those that ended
    matched: frozenset[str] = frozenset()  # `error` detectors that matched a failure of this attempt
    tried: tuple[str, ...] = ()  # members, in this round over the pool
    failures: Mapping[str, Failures] = field(default_factory=dict)  # by error detector; "" = matched by none
    incident: Key | None = None  # of the error detector whose recovery goes on
    pause: float = 0.0  # until the next attempt, after that recovery
    wake: float | None = None
    error: str = ""
    failed: Mapping[str, Any] = field(default_factory=dict)  # the fields of the last failure, for fallbacks
    fallback: int | None = None  # the one that is tried; None = none yet
    fallen: tuple[str, ...] = ()  # why fallbacks failed
    done: tuple[str, ...] = ()  # intents that may have changed something, in their order
    undoing: tuple[str, ...] = ()  # of these, those still to be undone
    undone: tuple[Mapping[str, Any], ...] = ()  # what became of the others

    def onward(self, state: OperationState = OperationState.PENDING) -> Work:
        """Return the way after this operation."""
        return Work(self.host, self.index + 1, self.registers, self.started, self.final, self.guards, state)
