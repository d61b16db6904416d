"""The text of a scan, for somebody woken at night: the root first, what it led to, what it means, and what to do."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Final

from runbook.engine.report import words
from runbook.engine.report.crash_lines import INDENT, evidence
from runbook.engine.scan.find import STDIN
from runbook.engine.scan.look import needs, signature, spot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook.engine.detect.cascade import Folded, Incident
    from runbook.engine.detect.sightings import Seen
    from runbook.engine.journal.crashes import Past
    from runbook.engine.report.paint import Paint
    from runbook.engine.scan.find import Left
    from runbook.engine.scan.look import Scanned

_SIGNS: Final = {"critical": ("✘", "red"), "high": ("✘", "red"), "medium": ("!", "yellow"), "low": ("-", "dim")}
_FEW: Final = 3  # files, kinds and reasons that are named without -v
_SPANS: Final = 8  # ranks, or unbroken rows of them, that are named
_ADVICE: Final = 2000  # characters


class CrashText:
    """Writes incidents for one reader: this wide, in colours or not, with more or less in them."""

    def __init__(self, paint: Paint, *, verbosity: int = 0, context: int = 2) -> None:
        self._paint = paint
        self._more = verbosity > 0
        self._less = verbosity < 0
        self._context = context

    def lines(self, scanned: Scanned, past: Mapping[tuple[str, str], Past]) -> list[str]:
        """Return the whole report."""
        left = self._left(scanned)
        if self._less:
            brief = [line for one in scanned.incidents for line in self._brief(one)]
            return brief + left + (self._last(scanned) if scanned.stopped else [])
        shown: list[str] = []
        told: set[str] = set()  # of several GPUs with one trouble, what it means and what to do is said once
        for one in scanned.incidents:
            shown += [*self.incident(one, past, told), ""]
        return [*shown, *left, *([""] if left else []), *self._last(scanned)]

    def incident(self, one: Incident, past: Mapping[tuple[str, str], Past], said: set[str] | None = None) -> list[str]:
        """Return the block of an incident; what it means is left out where that was said already."""
        told, (_, advice) = signature(one.root), needs(one)
        lines = [self._head(one.worst.value, told.title, told.id)]
        again = told.meaning in (said or ())
        lines += self._row("where", _where(one.root))
        if who := _who(one.root):
            lines += self._row("who", who)
        lines += evidence(spot(one.root.first), 0 if again else self._context, self._paint)
        if others := _others(one.root, everything=self._more):
            lines += self._row("also", others)
        if told.meaning and not again:
            lines += self._row("means", words.printable(told.meaning))
        if advice:
            same = again and advice in (said or ())
            lines += self._row("do", "the same" if same else words.printable(advice), "bold")
        if said is not None:
            said |= {told.meaning, advice}
        lines += self._cascades("led to", one.later) + self._cascades("earlier", one.earlier)
        if before := _before(past.get(one.root.first.kind)):
            lines += self._row("past", before)
        return lines

    def _head(self, severity: str, title: str, name: str) -> str:
        sign, colour = _SIGNS[severity]
        room = self._paint.columns - 2
        title, right = words.printable(title), f"{severity} · {words.printable(name)}"
        first, *more = words.wrapped(title, room)
        last = more[-1] if more else first
        gap = room - words.width(last) - words.width(right)
        painted = [self._paint(line, "bold") for line in (first, *more)]
        if gap >= 2:  # two spaces part columns
            painted[-1] += " " * gap + self._paint(right, colour)
        else:
            painted.append(" " * max(0, room - words.width(right)) + self._paint(right, colour))
        return f"{self._paint(sign, colour)} " + "\n  ".join(painted)

    def _brief(self, one: Incident) -> list[str]:
        """Return an incident in one line: when, what, where, how often, and how much follows from it."""
        told = signature(one.root)
        place = _place(one.root.first)
        times = f", {one.root.count} times" if one.root.count > 1 else ""
        led = f", led to {_and_more([each.sign.id for each in one.later])}" if one.later else ""
        when = f"{_clock(one.root.first.time)} " if one.root.first.time is not None else ""
        sign, colour = _SIGNS[one.worst.value]
        what = f"{one.worst.value} {words.printable(told.id)}: {words.printable(told.title)}"
        who = f", {_who(one.root)}" if _who(one.root) else ""
        return [f"{self._paint(sign, colour)} {when}{what}, {place}{times}{who}{led}"]

    def _cascades(self, label: str, cascades: Sequence[Folded]) -> list[str]:
        lines: list[str] = []
        for number, one in enumerate(cascades):
            told = signature(one)
            times = f", {one.count} times" if one.count > 1 else ""
            files = f" in {len(one.sources)} files" if len(one.sources) > 1 else ""
            who = f", {_who(one)}" if _who(one) else ""
            said = f"{words.printable(told.id)}: {words.printable(told.title)} ({_place(one.first)}{times}{files}{who})"
            lines += self._row(label if not number else "", said)
        return lines

    def _row(self, label: str, text: str, style: str = "") -> list[str]:
        first, *rest = words.wrapped(words.cut(text, _ADVICE), self._paint.columns - len(INDENT))
        head = f"  {self._paint(f'{label:<7}', 'dim')} {self._paint(first, style) if style else first}"
        return [head, *(INDENT + (self._paint(line, style) if style else line) for line in rest)]

    def _left(self, scanned: Scanned) -> list[str]:
        """Return what was not read: what could not is always named, what is no log only when asked for more."""
        unreadable = scanned.unreadable
        shown = unreadable if self._more else unreadable[:_FEW]
        lines = [self._unread(one) for one in shown]
        notes = [] if self._less else [one for one in scanned.left if one.partly and not one.unreadable]
        lines += [self._paint("-", "dim") + f" {path_shown(one.path)}: {words.printable(one.why)}" for one in notes]
        if len(shown) < len(unreadable):
            lines.append(self._paint(f"  … and {len(unreadable) - len(shown)} more (-v names them)", "dim"))
        skipped = scanned.skipped
        if self._less or not skipped:
            return lines
        if self._more or len(skipped) <= _FEW:
            lines += [
                self._paint("-", "dim") + f" {path_shown(one.path)}: skipped, {words.printable(one.why)}"
                for one in skipped
            ]
            return lines
        kinds = Counter(one.why.partition(":")[0] for one in skipped).most_common(_FEW)
        named = ", ".join(f"{number} {words.printable(why)}" for why, number in kinds)
        lines.append(self._paint("-", "dim") + f" {len(skipped)} files skipped: {named} (-v names them)")
        return lines

    def _unread(self, one: Left) -> str:
        said = (
            one.why.removeprefix(one.path) if one.why.startswith((f"{one.path} ", f"{one.path}:")) else f": {one.why}"
        )
        return self._paint("?", "yellow") + f" {path_shown(one.path)}{words.printable(said)}"

    def _last(self, scanned: Scanned) -> list[str]:
        said, colour = last_line(scanned), {0: "green", 2: "red"}.get(scanned.exit_code, "yellow")
        said = said.replace(": ", ":\n", 1)  # always: the first half's length varies with the time it took
        return [self._paint(part, "bold", colour) for line in said.split("\n")
                for part in words.wrapped(line, self._paint.columns)]  # fmt: skip


def last_line(scanned: Scanned) -> str:
    """Return one line: what the scan came to, and what is next."""
    read = words.amount(len(scanned.files), "file")
    much = f"{words.amount(scanned.lines, 'line')}, {words.size(scanned.bytes)}, {words.duration(scanned.took)}"
    unread = _unread(scanned)
    if scanned.stopped and not scanned.incidents:
        begun = f", and the begin of {words.amount(len(scanned.files) - scanned.whole, 'other')}"
        read = words.amount(scanned.whole, "file") + begun * (len(scanned.files) > scanned.whole)
        if scanned.whole:
            return f"stopped: nothing wrong found so far in {read} ({much}){unread}"
        return f"stopped before any file was read to its end: nothing found so far ({much}){unread}"
    if not scanned.files:
        return f"nothing was read{unread}"
    if not scanned.incidents:
        following = ": see why above, and scan again" if unread else ""
        if not scanned.lines:
            return f"nothing to read in {read} ({much}){unread}{following}"
        nothing = "nothing wrong found" if scanned.whole else "nothing found in what could be read"
        return f"{nothing} in {read} ({much}){unread}{following}"
    first = scanned.incidents[0].root
    counts = Counter(one.worst for one in scanned.incidents)
    kinds = ", ".join(f"{counts[each]} {each.value}" for each in sorted(counts, key=lambda each: -each.rank))
    what = f"{'stopped, ' * scanned.stopped}{words.amount(len(scanned.incidents), 'incident')}"
    what += f" ({kinds})" if len(scanned.incidents) > 1 else ""
    begin = "begin with the first, " if len(scanned.incidents) > 1 else ""
    return f"{what} in {read} ({much}){unread}: {begin}`runbook doc {words.printable(signature(first).id)}` says more"


def _unread(scanned: Scanned) -> str:
    """Return how many files could not be read, or not to their end."""
    partly = sum(one.partly for one in scanned.unreadable)
    unread = len(scanned.unreadable) - partly
    said = f", {unread} could not be read" if unread else ""
    return said + (f", {partly} read in part" if partly else "")


def _where(root: Folded) -> str:
    first, last = root.first, root.last
    said = _place(first)
    if first.time is not None:
        said += f" at {_clock(first.time)}"
    if root.count > 1:
        said += f", the first of {root.count}"
        if len(root.sources) > 1:
            said += f" in {len(root.sources)} files"
        if last.time is not None and first.time is not None and last.time > first.time:
            said += f", the last at {_clock(last.time, beside=first.time)}"
    return said


def _who(one: Folded) -> str:
    """Return which ranks told of it, and which did not, and which hosts; that it is one host goes without saying."""
    ranks = f"rank{'s' * (len(one.ranks) > 1)} {_spans(one.ranks)}" if one.ranks else ""
    silent = sorted(set(range(one.ranks[-1])) - set(one.ranks)) if ranks else []
    if len(one.ranks) > 1 and 0 < len(silent) <= _FEW:
        ranks += f", not {_spans(silent)}"
    hosts = f"on {_and_more(one.hosts)}" if len(one.hosts) > 1 else ""
    return " ".join(filter(None, (ranks, hosts)))


def _spans(numbers: Sequence[int]) -> str:
    """Return numbers in order as `0-3, 5, 7-8`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][-1] + 1:
            spans[-1][1:] = [number]
        else:
            spans.append([number])
    shown = ", ".join("-".join(map(str, span)) for span in spans[:_SPANS])
    return shown + (f" and {len(numbers) - _counted(spans[:_SPANS])} more" if len(spans) > _SPANS else "")


def _counted(spans: Sequence[Sequence[int]]) -> int:
    return sum(1 + span[-1] - span[0] for span in spans)


def _others(root: Folded, *, everything: bool) -> str:
    firsts: dict[str, Seen] = {}
    for one in root.seen:
        if one.source != root.first.source:
            firsts.setdefault(one.source, one)
    shown = list(firsts.values()) if everything else list(firsts.values())[:_FEW]
    said = ", ".join(map(_place, shown))
    more = len(firsts) - len(shown)
    return f"{said} and {words.amount(more, 'file')} more" if more else said


def _before(past: Past | None) -> str:
    if past is None or not past.crashes or past.first is None or past.last is None:
        return ""
    when = f"on {_day(past.last)}" if past.crashes == 1 else f"since {_day(past.first)}, the last on {_day(past.last)}"
    crashes = "1 crash" if past.crashes == 1 else f"{past.crashes} crashes"
    return f"{crashes} before this, {when}"


def path_shown(path: str) -> str:
    """Return a path for people."""
    return "standard input" if path == STDIN else words.printable(path)


def _place(seen: Seen) -> str:
    number = spot(seen).line_no
    path = path_shown(seen.source)
    return path if number is None else f"{path}:{number}"


def _clock(at: float | None, *, beside: float | None = None) -> str:
    """Return local time; the day is left out beside a time of the same day."""
    if at is None:
        return ""
    time = datetime.fromtimestamp(at).astimezone()
    same = beside is not None and datetime.fromtimestamp(beside).astimezone().date() == time.date()
    return f"{time:%H:%M:%S}" if same else f"{time:%Y-%m-%d %H:%M:%S}"


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d}"


def _and_more(names: Sequence[str]) -> str:
    shown = ", ".join(map(words.printable, names[:_FEW]))
    return shown + (f" and {len(names) - _FEW} more" if len(names) > _FEW else "")
