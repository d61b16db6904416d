"""Who is told what happens in a watch, and what none of them may see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language import render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from runbook.engine.driver import Observer
    from runbook.engine.journal.facts import Fact


class Hidden:
    """Takes secrets out of texts: those of all runbooks that are, or were, watched.

    Example:
        >>> hidden = Hidden()
        >>> hidden.add(["hunter2hunter2"])
        >>> "hunter2" in hidden("the password is hunter2hunter2")
        False
    """

    def __init__(self) -> None:
        self._values: dict[str, None] = {}
        self._redact: Callable[[str], str] = str

    def add(self, values: Iterable[str]) -> None:
        """Learn secrets."""
        self._values |= dict.fromkeys(values)
        self._redact = render.redactor(list(self._values))

    def __call__(self, text: str) -> str:
        """Return a text without them."""
        return self._redact(text)


class Audience:
    """Tells several observers of what happens."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._all = tuple(observers)

    def fact(self, fact: Fact) -> None:
        """Tell them."""
        for each in self._all:
            each.fact(fact)

    def progress(self, host: str, title: str, text: str, share: float | None = None) -> None:
        """Tell them how far a long step is."""
        for each in self._all:
            each.progress(host, title, text, share)
