"""What a pass needs of whatever carries its requests to hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook.engine.fleet.messages import Errand
    from runbook.engine.model import Look, Outcome


@frozen
class Gone:
    """In place of an answer: the host can't be asked, or was lost before it answered."""

    host: str
    user: str
    reason: str
    mend: str = ""
    sent: bool = False  # the request may have reached it


Answer = tuple[int, "Mapping[str, Any] | Gone"]  # a request's number, and what came


class Fleet(Protocol):
    """Hosts by their names. Nothing here waits for an answer but `receive`.

    `user` says under whom it is done; empty: whoever logs in there.
    """

    def send(self, host: str, request: Mapping[str, Any], user: str = "") -> int:
        """Send a request and return the number that its answers bear."""

    def submit(self, host: str, errand: Errand, user: str = "") -> int:
        """Send a step and return the number that its answers will bear."""

    def receive(self, timeout: float) -> Sequence[Answer]:
        """Return the answers that are there, waiting for the first for at most so many seconds."""

    def up(self, host: str) -> bool:
        """Tell whether a host was reached since this began."""

    def looks(self, message: Mapping[str, Any]) -> dict[str, Look]:
        """Return what an answer to a probe request says was seen."""

    def outcome(self, message: Mapping[str, Any]) -> Outcome:
        """Return how a step ended, by an answer that is not progress."""
