"""The controller's end of one connection to an agent, however it was made."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from runbook.engine.fleet import messages
from runbook.engine.fleet.conversation import START, Conversation
from runbook.engine.model import StepStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runbook.engine.fleet.messages import Spec
    from runbook.engine.model import Look, Order, Outcome

_PATIENCE = 30.0  # seconds over the time that a request may take by itself


class Agent(Conversation):
    """One agent. `send` and `receive` never block for an answer; `probe`, `run`, `ask` and `undo` do.

    Made by a transport (`local.connect`), with what a `Conversation` takes.
    """

    def probe(self, specs: Iterable[Spec]) -> dict[str, Look]:
        """Look, and return what was seen by the specs' ids."""
        asked = list(specs)
        seq = self.send(messages.probe(asked))
        return messages.looks(self._answer(seq, sum(spec.deadline for spec in asked)))

    def run(self, intent: str, order: Order, *, progress: Callable[[str], None] | None = None, **about: Any) -> Outcome:
        """Carry out a step and return how it ended; `about` is what else an `Errand` has."""
        return messages.outcome(self._answer(self.submit(intent, order, **about), order.timeout, progress))

    def submit(self, intent: str, order: Order, **about: Any) -> int:
        """Send a step and return the number that its answers will bear, for who waits for several."""
        return self.send(messages.run(messages.Errand(intent, order, **about)))

    @staticmethod
    def looks(message: Mapping[str, Any]) -> dict[str, Look]:
        """Return what an answer to a probe request says was seen, by the specs' ids."""
        return messages.looks(message)

    @staticmethod
    def outcome(message: Mapping[str, Any]) -> Outcome:
        """Return how a step ended, by an answer that is not progress."""
        return messages.outcome(message)

    def ask(self, intent: str, at: float | None = None) -> Outcome:
        """Return what became of an intent that was made then: its result, RUNNING or LOST (and never to begin)."""
        return messages.outcome(self._answer(self.send(messages.ask(intent, at)), 0.0))

    def await_intent(
        self, intent: str, at: float | None = None, *, within: float = 60.0, every: float = 0.1
    ) -> Outcome:
        """Return what became of an intent, waiting for one that still runs; RUNNING when it runs for longer."""
        deadline = time.monotonic() + within
        while True:
            outcome = self.ask(intent, at)
            if outcome.status is not StepStatus.RUNNING or time.monotonic() >= deadline:
                return outcome
            time.sleep(every)

    def undo(self, intent: str, writable: Sequence[str]) -> Outcome:
        """Undo an intent, the last action first."""
        return messages.outcome(self._answer(self.send(messages.undo(intent, writable)), 600.0))

    def _answer(self, seq: int, timeout: float, progress: Callable[[str], None] | None = None) -> dict[str, Any]:
        """Wait for one answer; others are kept for `receive`."""
        deadline = time.monotonic() + timeout + _PATIENCE + (0.0 if self._ready else START)
        others: list[tuple[int, dict[str, Any]]] = []
        try:
            while (rest := deadline - time.monotonic()) > 0:
                for number, message in self.receive(rest):
                    if number != seq:
                        others.append((number, message))
                    elif "progress" in message:
                        if progress is not None:
                            progress(messages.printable(message["progress"]))
                    elif "error" in message:
                        raise self._unreachable(f"the agent can't do that: {message['error']}")
                    else:
                        return message
        finally:
            self._arrived.extendleft(reversed(others))
        raise self._unreachable(f"the agent gave no answer within {timeout + _PATIENCE:g} s")
