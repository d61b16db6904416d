"""Steps whose end is asked for: those that earlier runs sent, and those whose host was cut off in the middle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from runbook.engine.fleet import messages
from runbook.engine.fleet.connection import Gone
from runbook.engine.model import Outcome, StepStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runbook.engine.fleet.connection import Fleet

    Place = tuple[str, str]  # the host that carries it out, and under whom

EVERY: Final = 1.0  # seconds between two questions about one step


@dataclass
class _Followed:
    place: Place
    at: float | None  # when it was sent
    due: float  # when to ask
    until: float | None = None  # how long an absent host is waited for; None = not at all
    every: float = EVERY


class Following:
    """The steps whose end is asked for. Times in seconds since the epoch."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._steps: dict[str, _Followed] = {}  # by intent
        self._asked: dict[int, str] = {}  # questions without an answer yet, by their numbers

    def __bool__(self) -> bool:
        """Tell whether there is one that is not over."""
        return bool(self._steps)

    @property
    def due(self) -> float | None:
        """When the next question is to be asked, if ever."""
        asked = set(self._asked.values())
        return min((each.due for intent, each in self._steps.items() if intent not in asked), default=None)

    def begin(
        self, intent: str, place: Place, now: float, *, at: float | None = None, until: float | None = None,
        every: float = EVERY,
    ) -> None:  # fmt: skip
        """Ask about a step from now on.

        Args:
            intent: which.
            place: the host that carries it out, and under whom.
            now: the first question.
            at: when it was sent.
            until: how long to ask a host that does not answer; None = a host that does not answer is told at once.
            every: seconds between two questions.
        """
        self._steps[intent] = _Followed(place, at, now, until, every)

    def leave(self, intents: Iterable[str] | None = None) -> None:
        """Ask no more: they go on without us, and the next run asks again."""
        for intent in list(self._steps if intents is None else intents):
            self._steps.pop(intent, None)

    def ask(self, now: float) -> None:
        """Ask about those for which it is time."""
        asked = set(self._asked.values())
        for intent, step in self._steps.items():
            if now >= step.due and intent not in asked:
                host, user = step.place
                self._asked[self._fleet.send(host, messages.ask(intent, step.at), user)] = intent

    def hears(self, number: int) -> bool:
        """Tell whether an answer is to a question of ours."""
        return number in self._asked

    def heard(self, number: int, answer: Mapping[str, object] | Gone, now: float) -> tuple[str, Outcome | None] | None:
        """Take an answer in.

        Returns:
            The intent with its outcome, or with None where its host can't be asked; nothing while it goes on.
        """
        intent = self._asked.pop(number)
        step = self._steps.get(intent)
        if step is None:
            return None
        if isinstance(answer, Gone):
            if step.until is not None and now < step.until:
                step.due = now + step.every
                return None
            del self._steps[intent]
            return intent, None
        outcome = self._fleet.outcome(answer)
        if outcome.status is StepStatus.RUNNING:
            step.due = now + step.every
            return None
        del self._steps[intent]
        return intent, outcome
