"""What a pass needs of whatever carries its requests to a host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook.engine.fleet.messages import Claim
    from runbook.engine.model import Look, Order, Outcome


class Connection(Protocol):
    """An agent, or what stands in front of one. `send`, `submit` and `receive` never wait for an answer."""

    def send(self, request: Mapping[str, Any]) -> int:
        """Send a request and return the number that its answers bear."""

    def submit(
        self,
        intent: str,
        order: Order,
        *,
        subject: str = "",
        claim: Claim | None = None,
        writable: Sequence[str] = (),
        check: bool = False,
        diff: bool = False,
    ) -> int:
        """Send a step and return the number that its answers will bear."""

    def receive(self, timeout: float | None = 0.0) -> list[tuple[int, dict[str, Any]]]:
        """Return the answers that are there, waiting for the first for at most so many seconds."""

    def looks(self, message: Mapping[str, Any]) -> dict[str, Look]:
        """Return what an answer to a probe request says was seen."""

    def outcome(self, message: Mapping[str, Any]) -> Outcome:
        """Return how a step ended, by an answer that is not progress."""

    def ask(self, intent: str, at: float | None = None) -> Outcome:
        """Return what became of an intent."""

    def await_intent(self, intent: str, at: float | None = None, *, within: float = 60.0) -> Outcome:
        """Return what became of an intent, waiting for one that still runs."""
