"""Messages that come one by one (the journal's, the kernel's), matched as the lines of a file are."""

import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from runbook.modules.frozen import frozen
from runbook.modules.logs.cleaning import cleaned
from runbook.modules.logs.events import Known, Recent, joined, merged
from runbook.modules.logs.match import Matcher, TooSlow, matcher
from runbook.modules.logs.patterns import Pattern
from runbook.modules.logs.room import PAUSE, QUIET, STILL, Line, Room
from runbook.modules.logs.tracebacks import HEADER, Traceback, tracebacks

TIME = 5.0  # seconds of processor time for the messages of one look
LINE_TIME = 0.25  # for one message, when that was not enough


class Entry(NamedTuple):
    """One message."""

    text: str
    time: float
    stream: str  # who writes: lines of one writer belong together, whatever stands between them


@frozen
class Taken:
    """What a look makes of messages."""

    lines: Sequence[Line]
    entries: int  # so many were taken in; the next look begins with those behind
    recent: Optional[Mapping[str, Any]]
    passed_over: Sequence[str]


Fetch = Callable[[int], List[Entry]]  # all messages since the look began; told how many there were


class Entries:
    """The messages of one source, in one look."""

    def __init__(
        self, path: str, patterns: Sequence[Pattern], recent: Optional[Mapping[str, Any]], room: Room, now: float
    ) -> None:
        self._path = path
        self._patterns = patterns
        self._known = Known(patterns)
        self._kept = recent
        self._room = room
        self._now = now
        self._began = time.monotonic()
        self._passed_over: List[str] = []

    def take(self, entries: List[Entry], more: Callable[[], List[Entry]]) -> Taken:
        """Match messages; while the last ones seem to go on, ask for more of them, for a moment.

        Args:
            entries: what is new.
            more: returns what came since it was asked last.
        """
        while True:
            held, last = self._unfinished(entries)
            age = self._now + time.monotonic() - self._began - (last or 0.0)
            if age > (STILL if held is None else QUIET):
                held = None  # it has been waiting long enough
                break
            if self._room.patience <= 0 or not self._room.left:
                break
            time.sleep(PAUSE)
            self._room.patience -= PAUSE
            entries += more()
        return self._matched(entries[:held])

    def _unfinished(self, entries: List[Entry]) -> Tuple[Optional[int], Optional[float]]:
        """Return where a traceback begins that has no end yet, and when the last of what may go on was written."""
        lines, owners = _lines(entries)
        begun = [each for each in _tracebacks(lines, owners, entries) if not each.ended]
        if begun:
            within = [owners[each.first] for each in begun if each.within]
            return min(within, default=None), max(entries[owners[each.last]].time for each in begun)
        if entries and any(pattern.event for pattern in self._patterns):
            for hit in self._hits(self._matcher(entries[-40:]), entries[-40:]):
                if self._known.event(hit):
                    return None, entries[-1].time
        return None, None

    def _matcher(self, entries: List[Entry]) -> Matcher:
        return matcher(self._patterns, sum(len(entry.text) for entry in entries))

    def _hits(self, matching: Matcher, entries: List[Entry]) -> List[Any]:
        block = "\n".join(entry.text for entry in entries).encode("utf-8", "replace")
        try:
            return list(matching.hits(block, TIME))
        except TooSlow:
            pass
        found, line = [], 0
        for entry in entries:
            try:
                hits = list(matching.hits(entry.text.encode("utf-8", "replace"), LINE_TIME))
                found += [hit._replace(index=hit.index + line) for hit in hits]
            except TooSlow as slow:
                self._passed_over.append(str(slow))
            line += entry.text.count("\n") + 1
        return found

    def _matched(self, entries: List[Entry]) -> Taken:
        lines, owners = _lines(entries)
        recent = Recent(self._kept, self._now)
        made: List[Line] = []
        taken = len(entries)
        hits = self._hits(self._matcher(entries), entries) if entries else []
        for one in joined(hits, _tracebacks(lines, owners, entries)):
            entry = entries[owners[one.hit.index]]
            event = self._known.event(one.hit)
            within, record = recent.take(event, one.hit.name, one.hit.index, entry.time) if event else (False, None)
            if record is not None:
                made[record] = self._merged(made[record], Line(self._path, None, one.hit, entry.time))
            elif not within:
                if event:
                    recent.begin(event, one.hit.name, one.hit.index, entry.time, len(made), self._now)
                made.append(Line(self._path, None, one.hit, entry.time))
                self._room.take(one.hit)
            if not self._room.holds:
                taken = owners[one.last] + 1
                break
        return Taken(made, taken, recent.keep(len(lines)), self._passed_over)

    def _merged(self, known: Line, other: Line) -> Line:
        if self._known.foremost(known.hit, other.hit) is known.hit:
            return Line(self._path, None, merged(known.hit, other.hit), known.time)
        return Line(self._path, None, merged(other.hit, known.hit), other.time)


def _lines(entries: Sequence[Entry]) -> Tuple[List[str], List[int]]:
    """Return the lines of some messages, and the place of each one's message."""
    lines: List[str] = []
    owners: List[int] = []
    for place, entry in enumerate(entries):
        parts = entry.text.split("\n")
        lines += parts
        owners += [place] * len(parts)
    return lines, owners


def _tracebacks(lines: List[str], owners: List[int], entries: Sequence[Entry]) -> List[Traceback]:
    """Return the tracebacks among the lines, each within what one writer wrote."""
    written: Dict[str, List[int]] = {entries[owners[at]].stream: [] for at, line in enumerate(lines) if HEADER in line}
    for at, owner in enumerate(owners if written else ()):
        if entries[owner].stream in written:
            written[entries[owner].stream].append(at)
    found: List[Traceback] = []
    for places in written.values():
        for each in tracebacks([lines[at] for at in places]):
            own = frozenset(places[at] for at in each.own)
            final = None if each.final is None else places[each.final]
            found.append(Traceback(places[each.first], places[each.last], final, each.ended, own))
    return sorted(found, key=lambda each: each.first)


def cleaned_text(message: bytes) -> str:
    """Return a message as text, without colours and NUL bytes; a carriage return in it ends a line."""
    return cleaned(message).data.decode("utf-8", "replace").replace("\r", "")
