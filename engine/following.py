"""Steps of earlier runs that are asked about until they are over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runbook.engine.fleet import messages
from runbook.engine.model import Outcome, StepStatus

if TYPE_CHECKING:
    from runbook.engine.fleet.connection import Connection

EVERY: Final = 1.0  # seconds between two questions about one step


class Following:
    """The steps that one host has in hand for earlier runs. Times in seconds since the epoch."""

    def __init__(self, agent: Connection) -> None:
        self._agent = agent
        self._due: dict[str, float] = {}  # by intent: when to ask
        self._asked: dict[int, str] = {}  # questions without an answer yet, by their numbers

    def __bool__(self) -> bool:
        """Tell whether there is one that is not over."""
        return bool(self._due)

    def begin(self, intent: str, now: float) -> None:
        """Ask about a step from now on."""
        self._due[intent] = now

    def leave(self) -> None:
        """Ask no more: they go on without us, and the next run asks again."""
        self._due.clear()

    def ask(self, now: float) -> None:
        """Ask about those for which it is time."""
        for intent, due in self._due.items():
            if now >= due and intent not in self._asked.values():
                self._asked[self._agent.send(messages.ask(intent))] = intent

    def hears(self, number: int) -> bool:
        """Tell whether an answer is to a question of ours."""
        return number in self._asked

    def heard(self, number: int, outcome: Outcome, now: float) -> str | None:
        """Take an answer in; return the intent, if it is over."""
        intent = self._asked.pop(number)
        if outcome.status is StepStatus.RUNNING:
            self._due[intent] = now + EVERY
            return None
        return intent if self._due.pop(intent, None) is not None else None
