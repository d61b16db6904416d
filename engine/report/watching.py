"""The log of a watch: a line for each fact that matters, for months; nothing is collected."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import OrderedDict
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.journal import codec
from runbook.engine.report import reading, watch_words, words
from runbook.engine.report.document import encode
from runbook.engine.report.events import event
from runbook.engine.report.log_lines import LogLines
from runbook.engine.report.paint import Paint, on_terminal, paint_for
from runbook.engine.report.watch_words import DEBUG, ERROR, INFO, LEVELS, WARNING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

    from runbook.engine.journal.facts import Fact
    from runbook.engine.report.watch_words import Line

FOLD: Final = 600.0  # seconds in which the same line is said once
_FOLDED: Final = 500  # lines that are remembered for that
_RUNS: Final = 256  # of which the runbook is remembered
_LONGEST: Final = 2000  # characters of a line
_UNFOLDED: Final = ("run.", "watch.")  # how the kinds begin of what is said each time
_MOST: Final = {-1: WARNING, 0: INFO}  # by verbosity; beyond: all
_STYLES: Final = {ERROR: ("red",), WARNING: ("yellow",), DEBUG: ("dim",)}


@contextlib.contextmanager
def watching(
    form: str = "text", *, file: str | None = None, verbosity: int = 0, redact: codec.Redact = codec.as_is
) -> Iterator[WatchLog]:
    """Give the log of a watch, and close it.

    Args:
        form: text, or jsonl: an object a line.
        file: where it goes; None = stdout. It may be rotated at any time.
        verbosity: -1 only what is wrong, 0, 1 with what is mostly of no interest.
        redact: takes the secrets out of a text.

    Raises:
        UserError: the file can't be written.
    """
    log = WatchLog(form, LogLines(sys.stdout, file), paint_for(sys.stdout), verbosity=verbosity, redact=redact)
    log.stamped = file is not None or not _to_journald(sys.stdout)
    log.short = file is None and on_terminal(sys.stdout)
    if file is not None:
        log.paint = Paint()
    try:
        yield log
    finally:
        log.close()


class WatchLog:
    """Prints what happens.

    Args:
        form: text or jsonl.
        lines: where to.
        paint: how.
        verbosity: how much.
        redact: takes the secrets out of a text.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        form: str,
        lines: LogLines,
        paint: Paint,
        *,
        verbosity: int = 0,
        redact: codec.Redact = codec.as_is,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.stamped = True  # each line begins with its time; the systemd journal has its own, and wants a priority
        self.short = False  # of it, the time of day alone
        self.paint = paint
        self._jsonl = form == "jsonl"
        self._lines = lines
        self._most = _MOST.get(verbosity, DEBUG)
        self._redact = redact
        self._clock = clock
        self._runbooks: OrderedDict[str, str] = OrderedDict()  # by run
        self._said: OrderedDict[str, list[Any]] = OrderedDict()  # text → when, how often since, level
        self._over: dict[str, tuple[Fact, Line]] = {}  # by runbook: runs that have just ended

    def fact(self, fact: Fact) -> None:
        """Print what happened, where it matters."""
        fact = reading.clean(fact, self._redact)
        if fact.kind == "run.begun":
            fact = self._begun(fact)
        line = watch_words.line(fact)
        if line is None or line.level > self._most:
            return
        runbook = self._runbooks.get(fact.run, "")
        if self._jsonl:
            told = {"level": LEVELS[line.level], "message": words.printable(line.text)}
            self._lines.write(encode({**event(fact), **({"runbook": runbook} if runbook else {}), **told}))
            return
        if fact.kind == "run.ended":  # a reload begins another at once
            self._over[runbook] = (fact, line)
            return
        self._end_all()
        self._repeated(fact.at)
        self._say(fact, line, runbook)

    def _begun(self, fact: Fact) -> Fact:
        """Remember of which runbook a run is; of one that was watched before, it is a reload."""
        runbook = str(fact.data.get("runbook") or "")
        again = self._over.pop(runbook, None) is not None
        self._runbooks[fact.run] = runbook
        while len(self._runbooks) > _RUNS:
            self._runbooks.popitem(last=False)
        return replace(fact, data={**fact.data, "again": True}) if again else fact

    def _end_all(self) -> None:
        """Say of what is watched no more."""
        for runbook, (fact, line) in self._over.items():
            self._say(fact, line, runbook)
        self._over.clear()

    def progress(self, host: str, title: str, text: str, share: float | None = None) -> None:
        """How far a step is, is for who looks on; a log is read later."""

    def close(self) -> None:
        """Say what was folded, and close the file."""
        self._end_all()
        self._repeated(float("inf"))
        self._lines.close()

    def _say(self, fact: Fact, line: Line, runbook: str) -> None:
        about = watch_words.about(fact, "" if fact.data.get("whole") else runbook)
        text = words.cut(words.printable(words.one_line(line.text)), _LONGEST)
        named = f" [{fact.incident}]" if fact.incident and fact.incident not in text else ""
        whole = f"{about}: {text}{named}" if about else f"{text}{named}"
        if not fact.kind.startswith(_UNFOLDED):
            if (before := self._said.get(whole)) is not None:
                before[1] += 1
                return
            self._said[whole] = [fact.at, 0, line.level]
            if len(self._said) > _FOLDED:
                self._tell_repeats(*self._said.popitem(last=False))
        self._put(fact.at, line.level, whole)
        for each in line.below:
            self._put(fact.at, line.level, f"    {words.cut(words.printable(each), _LONGEST)}")

    def _repeated(self, now: float) -> None:
        """Say how often lines came again, of which the time is over; they are said anew from then on."""
        while self._said:
            whole, told = next(iter(self._said.items()))
            if abs(now - told[0]) < FOLD:  # a clock may be put back
                return
            del self._said[whole]
            self._tell_repeats(whole, told)

    def _tell_repeats(self, whole: str, told: list[Any]) -> None:
        at, times, level = told
        if times:
            since = f"{datetime.fromtimestamp(at).astimezone():%H:%M:%S}"
            self._put(self._clock(), level, f"said {words.amount(times, 'time')} more since {since}: {whole}")

    def _put(self, at: float, level: int, text: str) -> None:
        painted = self.paint(self.paint.fit(text), *_STYLES.get(level, ()))
        if not self.stamped:
            self._lines.write(f"<{level}>{painted}")
            return
        moment = datetime.fromtimestamp(at).astimezone()
        stamp = f"{moment:%H:%M:%S}" if self.short else f"{moment:%Y-%m-%dT%H:%M:%S%z} {LEVELS[level]:<7}"
        self._lines.write(f"{self.paint(stamp, 'dim')} {painted}")


def _to_journald(stream: TextIO) -> bool:
    """Tell whether a stream is the one that systemd reads into its journal."""
    named = os.environ.get("JOURNAL_STREAM", "")
    try:
        held = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return named == f"{held.st_dev}:{held.st_ino}"
