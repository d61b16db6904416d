"""A pass over many hosts while it runs, on a terminal: a line for each host that matters now, counts for the rest."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from runbook.engine.report import words
from runbook.engine.report.bars import bar
from runbook.engine.report.folded import alike
from runbook.engine.report.lines import SIGNS
from runbook.engine.report.paint import WIDEST
from runbook.engine.report.ranges import written
from runbook.engine.report.screen import Aside, Screen
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TextIO

    from runbook.engine.journal.facts import Fact
    from runbook.engine.report.paint import Paint
    from runbook.engine.report.passes import HostReport

_FRAME: Final = 0.25  # seconds
_MOMENT: Final = 1.0  # seconds that a run may take before anything is shown
_HOST: Final = 24  # columns of a host's name
_BAR: Final = 10
_NAMED: Final = 500  # hosts that are awaited, of which the names are told: they are sorted for each frame
_SAID: Final = 2  # lines of the standard error
_BEGIN: Final = frozenset({"step.begun", "attempt.begun", "attempt.delayed"})
_END: Final = frozenset({"step.ended", "attempt.ended"})
_SIGNS: Final = {  # how hosts stand that are not well, the best first, with the state whose sign it has
    "healed": "cured",
    "waiting": "waiting",
    "unknown": "unknown",
    "unreachable": "unreachable",
    "unhealthy": "failed",
}
_SHOWN: Final[set[Board]] = set()  # what has the terminal now, of which there is one
_RANKS: Final = {state: rank for rank, state in enumerate(reversed(_SIGNS))}


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """Have the terminal for a question; what goes on is shown again afterwards."""
    shown = tuple(_SHOWN)
    for board in shown:
        board.pause(pausing=True)
    try:
        yield
    finally:
        for board in shown:
            board.pause(pausing=False)


def leave() -> None:
    """Give the terminal back at once: something went wrong, and a person is to read it."""
    for board in tuple(_SHOWN):
        board.end()


class Task:
    """What goes on on a host."""

    def __init__(self, said: str, begun: float) -> None:
        self.said = said
        self.begun = begun
        self.share: float | None = None
        self.far = ""


@frozen
class Ill:
    """How a host stands that is not well."""

    state: str
    told: str  # what is wrong
    kind: str  # what is the same for all hosts that tell the like


class Board:
    """Shows the hosts of a run: the thread of the pass tells it what happens, one of its own draws."""

    def __init__(self, stream: TextIO, paint: Paint, clock: Callable[[], float] = time.monotonic) -> None:
        self._paint = paint
        self._clock = clock
        self._screen = Screen(stream)
        self._lock = threading.RLock()  # a signal's handler writes in the middle of anything
        self._over = threading.Event()
        self._aside: Aside | None = None
        self._paused = False
        self._thread: threading.Thread | None = None
        atexit.register(self.end)  # whatever ends us, the terminal is given back
        self._title = ""
        self._begun = 0.0
        self._hosts = 0
        self._awaited: dict[str, None] = {}  # hosts that were not looked at yet, and have nothing to tell
        self._tasks: dict[str, dict[str, Task]] = {}  # by host, and by title or incident
        self._ill: dict[str, Ill] = {}  # hosts that are not well
        self._waits = False  # recoveries wait for those that are awaited

    def begin(self, title: str, hosts: Iterable[str]) -> None:
        """A run begins: show its hosts from now on, where it takes more than a moment."""
        self.end()
        with self._lock:
            self._title, self._begun = title, self._clock()
            self._awaited, self._tasks, self._ill = dict.fromkeys(hosts), {}, {}
            self._waits = False
            self._hosts = len(self._awaited)
        self._over.clear()
        self._thread = threading.Thread(target=self._show, name="board", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Take it away; nothing of it is left on the terminal."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def follow(self, fact: Fact, host: HostReport) -> None:
        """Take in what happened, and how its host stands since then."""
        with self._lock:
            self._task(fact)
            if fact.kind == "host.looked" or fact.kind in _END:  # it answers
                self.done(fact.host)
            if fact.kind in ("decisions.held", "recovery.begun"):
                self._waits = fact.kind == "decisions.held"
            if fact.kind in ("host.looked", "decisions.held"):
                return
            state = host.state
            if state == "well":
                self._ill.pop(fact.host, None)
            elif fact.kind not in _BEGIN:
                self._awaited.pop(fact.host, None)
                told = _told(host)
                self._ill[fact.host] = Ill(state, told, alike(told, fact.host))

    def done(self, host: str) -> None:
        """Take in that a host is well, or need not be awaited any more."""
        with self._lock:
            self._awaited.pop(host, None)

    def update(self, host: str, title: str, text: str, *, share: float | None = None) -> None:
        """Take in how far a step is."""
        with self._lock:
            if (task := self._tasks.get(host, {}).get(title)) is not None:
                task.far, task.share = text, share

    def pause(self, *, pausing: bool) -> None:
        """Give the terminal back for a while, and take it again."""
        with self._lock:
            self._paused = pausing
            if pausing:
                self._screen.leave()

    def lines(self, columns: int, rows: int) -> list[str]:
        """Return what is to be seen now, on a terminal of this size."""
        paint = replace(self._paint, columns=min(columns - 1, WIDEST))
        now = self._clock()
        head = self._line(paint, words.printable(self._title), words.duration(int(now - self._begun)), "bold")
        shown = [head, *self._counts(paint)]
        said = [words.cut(words.printable(line), paint.columns) for line in self._said()]
        awaited = [host for host in self._awaited if host not in self._tasks]
        room = rows - 2 - len(shown) - bool(awaited) - len(said)
        shown += self._rows(paint, now, max(1, room))
        if awaited:
            before = " before recoveries begin" if self._waits else ""
            begin = f"  awaited{before}: {words.amount(len(awaited), 'host')}"
            names = f", {written(awaited, paint.columns - len(begin) - 2)}" if len(awaited) <= _NAMED else ""
            shown.append(paint(begin + names, "dim"))
        return [paint.fit(line) for line in (*shown, *said)][: max(1, rows - 1)]

    def _show(self) -> None:
        if self._over.wait(_MOMENT):
            return
        if sys.stderr is not None and sys.stderr.isatty():
            self._aside = sys.stderr = Aside(sys.stderr)
        _SHOWN.add(self)
        try:
            while True:
                with self._lock:
                    if not self._paused:
                        size = self._screen.size()
                        self._screen.draw(self.lines(*size), size)
                if self._over.wait(_FRAME):
                    return
        finally:
            _SHOWN.discard(self)
            self._screen.leave()
            if self._aside is not None:
                sys.stderr = self._aside.stream
                self._aside.give()
                self._aside = None

    def _said(self) -> list[str]:
        """Return the last lines that somebody wrote to the standard error, which is out of sight."""
        return self._aside.text.rstrip("\n").splitlines()[-_SAID:] if self._aside is not None else []

    def _task(self, fact: Fact) -> None:
        title = words.printable(str(fact.data.get("title") or fact.data.get("module") or fact.operation))
        if fact.kind in _BEGIN:
            said = f"next attempt in {words.duration(fact.data.get('delay', 0))}" if "delay" in fact.data else title
            self._take(fact, title, said)
        elif fact.kind in _END:
            self._drop(fact.host, title)
        elif fact.kind == "incident.changed" and fact.data.get("to") == "verifying":
            self._take(fact, fact.incident, "looking whether it is cured")
        elif fact.kind in ("incident.changed", "incident.ended"):
            self._drop(fact.host, fact.incident)
        elif fact.kind == "host.unreachable":
            self._tasks.pop(fact.host, None)

    def _take(self, fact: Fact, key: str, said: str) -> None:
        about = dict.fromkeys(part for part in (words.printable(fact.detector or fact.operation), said) if part)
        self._tasks.setdefault(fact.host, {})[key] = Task(": ".join(about), self._clock())

    def _drop(self, host: str, key: str) -> None:
        tasks = self._tasks.get(host, {})
        tasks.pop(key, None)
        if not tasks:
            self._tasks.pop(host, None)

    def _counts(self, paint: Paint) -> list[str]:
        """Return how many hosts stand how, in as many lines as it takes."""
        counts = Counter(one.state for one in self._ill.values())
        busy = sum(host not in self._ill and host not in self._awaited for host in self._tasks)
        well = self._hosts - len(self._awaited) - len(self._ill) - busy
        said = [("✔", "green", f"{well} well")] if well > 0 else []
        said += [(*SIGNS[sign], f"{counts[state]} {state}") for state, sign in _SIGNS.items() if counts[state]]
        said += [("…", "cyan", f"{len(self._tasks)} at work")] if self._tasks else []
        lines, wide = [""], 0
        for sign, colour, text in said:
            if wide + len(text) + 4 > paint.columns:
                lines, wide = [*lines, ""], 0
            lines[-1] += f"  {paint(sign, colour)} {text}"
            wide += len(text) + 4
        return lines if said else []

    def _rows(self, paint: Paint, now: float, room: int) -> Iterator[str]:
        """Yield the hosts at work, the longest first, then what is wrong, the worst and latest first."""
        busy = sorted(self._tasks, key=lambda host: min(task.begun for task in self._tasks[host].values()))
        wrong: dict[tuple[int, str], list[str]] = {}
        for host, one in reversed(self._ill.items()):
            if one.state != "healed" and host not in self._tasks:
                wrong.setdefault((_RANKS[one.state], one.kind), []).append(host)
        those = [*([host] for host in busy), *(wrong[kind] for kind in sorted(wrong, key=lambda kind: kind[0]))]
        shown = those if len(those) <= room else those[: room - 1]
        names = [words.printable(hosts[0]) if len(hosts) == 1 else f"{len(hosts)} hosts" for hosts in shown]
        wide = min(max(map(words.width, names), default=0), _HOST, paint.columns // 3)
        for hosts, name in zip(shown, names, strict=True):
            cell = words.cut(name, wide)
            cell += " " * (wide - words.width(cell))
            if hosts[0] in self._tasks:
                yield self._busy(paint, cell, self._tasks[hosts[0]], now)
            else:
                one = self._ill[hosts[0]]
                sign, colour = SIGNS[_SIGNS[one.state]]
                yield f"{paint(sign, colour)} {cell}  {words.cut(one.told, paint.columns - wide - 4)}"
        left = those[len(shown) :]
        if at_work := sum(hosts[0] in self._tasks for hosts in left):
            yield paint(f"  … {at_work} more at work", "dim")
        elif left:
            yield paint(f"  … {sum(map(len, left))} more hosts", "dim")

    def _busy(self, paint: Paint, name: str, tasks: dict[str, Task], now: float) -> str:
        *others, task = tasks.values()
        said = ": ".join(part for part in (task.said, task.far) if part)
        took = words.duration(int(now - min(each.begun for each in tasks.values())))
        right = f"{bar(paint, task.share, _BAR)} {took:>6}" if task.share is not None else f"{took:>6}"
        more = f" (and {len(others)} more)" if others else ""
        room = paint.columns - words.width(name) - 4 - len(right) - 2
        text = words.cut(said, room - len(more)) + more
        return f"{paint('…', 'cyan')} {name}  {text}{' ' * (room - words.width(text))}  {paint(right, 'dim')}"

    def _line(self, paint: Paint, left: str, right: str, style: str) -> str:
        left = words.cut(left, paint.columns - len(right) - 2)
        return paint(left, style) + " " * (paint.columns - words.width(left) - len(right)) + paint(right, "dim")


def _told(host: HostReport) -> str:
    """Return in one line what is wrong on a host: the last thing that is not over."""
    if host.unreachable:
        return words.printable(words.one_line(host.unreachable))
    for one in reversed(host.incidents):
        if one.state not in ("cured", "pending"):
            said = one.reason or one.evidence
            return words.printable(words.one_line(f"{one.detector}: {one.state}{', ' if said else ''}{said}"))
    failed = itertools.chain(
        ((one.name, one.error or one.state) for one in host.operations if one.state not in ("succeeded", "planned")),
        ((one.title or one.module, one.error or one.state) for one in host.steps if one.failed),
        ((one.detector, one.reason) for one in host.unknown),
    )
    return words.printable(words.one_line(": ".join(next(failed, ("", "")))))
