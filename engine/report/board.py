"""A pass over many hosts while it runs, on a terminal: a line for each host that matters now, counts for the rest."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.report import words
from runbook.engine.report.bars import bar
from runbook.engine.report.lines import SIGNS
from runbook.engine.report.paint import WIDEST
from runbook.engine.report.ranges import written
from runbook.engine.report.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TextIO

    from runbook.engine.journal.facts import Fact
    from runbook.engine.report.paint import Paint
    from runbook.engine.report.passes import HostReport

_FRAME: Final = 0.25  # seconds
_MOMENT: Final = 0.5  # seconds that a pass may take before anything is shown
_MOST: Final = 14  # lines, so that a terminal that is made smaller loses none
_HOST: Final = 24  # columns of a host's name
_BAR: Final = 10
_LISTED: Final = 200  # hosts that are awaited and named
_BEGIN: Final = frozenset({"step.begun", "attempt.begun", "attempt.delayed"})
_END: Final = frozenset({"step.ended", "attempt.ended"})
_ILL: Final = {"unhealthy": "failed", "unreachable": "unreachable", "unknown": "unknown", "waiting": "waiting"}
_COUNTED: Final = (("healed", "cured"), *reversed(_ILL.items()))  # with the state whose sign it has


class Task:
    """What goes on on a host."""

    def __init__(self, said: str, begun: float) -> None:
        self.said = said
        self.begun = begun
        self.far = ""
        self.share: float | None = None


class Board:
    """Shows the hosts of a run; the thread of the pass tells it what happens, one of its own draws."""

    def __init__(self, stream: TextIO, paint: Paint, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._paint = paint
        self._clock = clock
        self._screen = Screen(stream)
        self._lock = threading.RLock()  # a signal's handler may write in the middle of anything
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._title = ""
        self._begun = 0.0
        self._awaited: dict[str, None] = {}  # hosts that were not looked at yet
        self._tasks: dict[str, dict[str, Task]] = {}  # by host, and by title or incident
        self._states: dict[str, str] = {}  # of hosts that are not well
        self._ill: dict[str, str] = {}  # what is wrong on a host, as it was told last
        self._stderr: TextIO | None = None

    def begin(self, title: str, hosts: Mapping[str, HostReport]) -> None:
        """A run begins: show its hosts from now on."""
        self.end()
        with self._lock:
            self._title, self._begun = title, self._clock()
            self._awaited = dict.fromkeys(hosts)
            self._tasks, self._states, self._ill = {}, {}, {}
        self._over.clear()
        self._thread = threading.Thread(target=self._show, name="board", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Take it away; nothing of it is left on the terminal."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.hide()

    def follow(self, fact: Fact, host: HostReport) -> None:
        """Take in what happened, and how its host stands since then."""
        with self._lock:
            if fact.kind in ("host.looked", "host.unreachable"):
                self._awaited.pop(fact.host, None)
            self._follow(fact)
            if fact.kind == "host.reached" and fact.host not in self._states:
                return
            self._states.pop(fact.host, None)
            if (state := host.state) != "well":
                self._states[fact.host] = state
                self._say(fact, host)

    def update(self, host: str, title: str, text: str, *, share: float | None = None) -> None:
        """Take in how far a step is."""
        with self._lock:
            if (task := self._tasks.get(host, {}).get(title)) is not None:
                task.far, task.share = text, share

    def hide(self) -> None:
        """Clear the terminal for somebody else's words; the next frame draws it anew."""
        with self._lock:
            self._screen.clear()

    def lines(self, columns: int, rows: int) -> list[str]:
        """Return what is to be seen now, on a terminal of this size."""
        columns = min(columns - 1, WIDEST)
        paint = replace(self._paint, columns=columns)
        now = self._clock()
        took = words.duration(int(now - self._begun))
        title = words.cut(words.printable(self._title), columns - len(took) - 2)
        gap = " " * (columns - words.width(title) - len(took))
        shown = [paint(title, "bold") + gap + paint(took, "dim"), self._counts(paint)]
        room = min(_MOST, rows - 2) - len(shown) - 2
        about = list(self._rows(paint, now, max(1, room)))
        shown += about
        if self._awaited and len(self._awaited) <= _LISTED:
            names = "awaited: " + written(self._awaited, columns - len("  awaited: "))
            shown.append("  " + paint(words.cut(names, columns - 2), "dim"))
        return [paint.fit(line) for line in shown]

    def _follow(self, fact: Fact) -> None:
        if fact.kind in _BEGIN:
            title = _title(fact)
            said = f"next attempt in {words.duration(fact.data.get('delay', 0))}" if "delay" in fact.data else title
            self._take(fact, title, said)
        elif fact.kind in _END:
            self._drop(fact.host, _title(fact))
        elif fact.kind == "incident.changed" and fact.data.get("to") == "verifying":
            self._take(fact, fact.incident, "looking whether it is cured")
        elif fact.kind in ("incident.changed", "incident.ended"):
            self._drop(fact.host, fact.incident)

    def _take(self, fact: Fact, key: str, said: str) -> None:
        about = dict.fromkeys(words.printable(part) for part in (fact.detector or fact.operation, said) if part)
        self._tasks.setdefault(fact.host, {})[key] = Task(": ".join(about), self._clock())

    def _drop(self, host: str, key: str) -> None:
        tasks = self._tasks.get(host, {})
        tasks.pop(key, None)
        if not tasks:
            self._tasks.pop(host, None)

    def _say(self, fact: Fact, host: HostReport) -> None:
        """Keep what a host's line says: the last thing that went wrong."""
        self._ill.pop(fact.host, None)
        if host.unreachable:
            self._ill[fact.host] = host.unreachable
        elif host.unknown:
            self._ill[fact.host] = f"{host.unknown[-1].detector}: {host.unknown[-1].reason}"
        for one in reversed(host.incidents):
            if one.state not in ("cured", "pending"):
                self._ill[fact.host] = f"{one.detector}: {one.reason or one.evidence or one.state}"
                return

    def _counts(self, paint: Paint) -> str:
        counts = Counter(self._states.values())
        total = len(self._title) and self._total()
        well = total - len(self._awaited) - len(self._states.keys() - self._awaited.keys())
        said = [("✔", "green", f"{well} well")] if well else []
        said += [(*SIGNS[sign], f"{counts[state]} {state}") for state, sign in _COUNTED if counts[state]]
        said += [("…", "cyan", f"{len(self._tasks)} at work")] if self._tasks else []
        said += [("-", "dim", f"{len(self._awaited)} to come")] if self._awaited else []
        line, wide = "", 0
        for sign, colour, text in said:
            if wide + len(text) + 4 > paint.columns:
                break
            line += f"  {paint(sign, colour)} {text}"
            wide += len(text) + 4
        return line
