"""What goes on right now on one host, in one moving line of a terminal; rich is loaded only when that takes a while."""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING, Any

from runbook.engine.report import words

if TYPE_CHECKING:
    from typing import TextIO

    from rich.progress import BarColumn, Progress, Task, TaskID

    from runbook.engine.journal.facts import Fact

_BEGIN = frozenset({"step.begun", "attempt.begun", "attempt.delayed"})
_END = frozenset({"step.ended", "attempt.ended"})
_ROOM = 60  # columns, beside the clock
_BAR = 12  # columns of a bar, where a step's share is known
_BESIDE = 14  # columns of the sign before and the clock behind
_LEAST = 16  # columns of a title beside it
_LOOKING = "looking whether it is cured"


class Live:
    """Shows the steps in hand with a clock each; hidden while a block is written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._running: dict[tuple[str, str], str] = {}  # host and title: what is shown
        self._progress: Progress | None = None
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def follow(self, fact: Fact) -> None:
        """Take up what began, and drop what ended."""
        title = str(fact.data.get("title") or fact.data.get("module") or fact.operation)
        if fact.kind in _BEGIN:
            said = f"next attempt in {words.duration(fact.data.get('delay', 0))}" if "delay" in fact.data else title
            self._begin((fact.host, words.printable(title)), fact, said)
        elif fact.kind in _END:
            self._end((fact.host, words.printable(title)))
        elif fact.kind == "incident.changed" and fact.data.get("to") == "verifying":
            self._begin((fact.host, fact.incident), fact, _LOOKING)
        elif fact.kind in ("incident.changed", "incident.ended"):
            self._end((fact.host, fact.incident))

    def _begin(self, key: tuple[str, str], fact: Fact, said: str) -> None:
        about = [words.printable(part) for part in (fact.detector or fact.operation, said) if part]
        self._end(key)
        self._running[key] = words.cut(": ".join(dict.fromkeys(about)), _ROOM)
        self._show()

    def _end(self, key: tuple[str, str]) -> None:
        self._running.pop(key, None)
        if (task := self._tasks.pop(key, None)) is not None and self._progress:
            self._progress.remove_task(task)
        if not self._running:
            self.hide()

    def update(self, host: str, title: str, text: str, *, share: float | None = None) -> None:
        """Show how far a step is: in words, and with a bar where its share from 0 to 1 is known."""
        key = (host, title)
        if key in self._running and self._progress and key in self._tasks:
            if share is None:
                shown = words.cut(f"{self._running[key]}: {text}", _ROOM)
                self._progress.update(self._tasks[key], description=shown)
            else:
                room = max(_ROOM, self._progress.console.width - _BESIDE) - _BAR
                title = words.cut(self._running[key], max(_LEAST, room - len(text) - 2))
                shown = words.cut(f"{title}: {text}", room)
                self._progress.update(self._tasks[key], description=shown, total=1.0, completed=share)

    def hide(self) -> None:
        """Clear the line."""
        if self._progress:
            self._progress.stop()
            self._progress = None
            self._tasks.clear()

    def _show(self) -> None:
        if self._progress is None:
            from rich.console import Console
            from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            told = TextColumn("{task.description}", markup=False)
            columns = (SpinnerColumn(), _bar(), told, TimeElapsedColumn())
            console = Console(file=self._stream, highlight=False)
            self._progress = Progress(*columns, console=console, transient=True, refresh_per_second=4)
            self._progress.start()
            atexit.register(self.hide)  # whatever ends us, the cursor is shown again
        for key, shown in self._running.items():
            if key not in self._tasks:
                self._tasks[key] = self._progress.add_task(shown, total=None)


def _bar() -> BarColumn:
    """Return a column that is empty for steps that don't know how far they are."""
    from rich.progress import BarColumn

    class Bar(BarColumn):
        def render(self, task: Task) -> Any:
            return super().render(task) if task.total else ""

    return Bar(bar_width=_BAR)
