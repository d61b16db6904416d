"""The report of `runbook drill`: a table for people, one line a fault; a document for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runbook.engine.report import evidence, words
from runbook.engine.report.document import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook.engine.drill.verdict import Verdict
    from runbook.engine.language.drill_words import Drill, Fault
    from runbook.engine.report.paint import Paint

_TIMES: Final = 7  # columns of a duration
_VERDICT: Final = 11
_GAP: Final = "  "
_STYLES: Final = {"healed": "green", "as expected": "green", "not shown": "yellow", "noisy": "yellow"}


class Table:
    """Lines about faults, each written when it is over."""

    def __init__(self, paint: Paint, faults: Sequence[Fault]) -> None:
        self._paint = paint
        room = paint.columns - 2 * _TIMES - _VERDICT - 4 * len(_GAP) - len(_GAP)
        longest = [max(words.width(name) for name in (head, *names)) for head, names in (
            ("fault", [fault.name for fault in faults]), ("seen by", [fault.about for fault in faults]),
        )]  # fmt: skip
        self._about = min(longest[1], max(room // 3, room - longest[0]))
        self._name = min(longest[0], room - self._about)

    def head(self) -> str:
        """Return the columns' heads."""
        return self._paint(self._line(" ", "fault", "seen by", "seen", "healed", "verdict"), "dim")

    def now(self, fault: Fault) -> str:
        """Return the line that stands while a fault is at work."""
        shown = words.cut(words.printable(fault.name), self._paint.columns - 3)
        return self._paint.fit(self._paint(f"… {shown}", "dim"))

    def row(self, verdict: Verdict, *, detailed: bool = False) -> list[str]:
        """Return the line of a fault, and below it why it went wrong."""
        mark = self._paint("✔", "green") if verdict.good else self._paint("✘", "red")
        line = self._line(" ", verdict.fault, verdict.about, _after(verdict.seen), _after(verdict.healed), "")
        found = [f"{mark}{line[1:]}{_GAP}{self._paint(verdict.word, _STYLES.get(verdict.word, 'red'))}"]
        return [self._paint.fit(each) for each in (*found, *_below(self._paint, verdict, detailed=detailed))]

    def _line(self, mark: str, name: str, about: str, seen: str, healed: str, verdict: str) -> str:
        times = [f"{each:>{_TIMES}}" for each in (seen, healed)]
        cells = [_padded(name, self._name), _padded(about, self._about), *times, verdict]
        return f"{mark} {_GAP.join(cells)}".rstrip()


def _below(paint: Paint, verdict: Verdict, *, detailed: bool) -> list[str]:
    found = []
    if not verdict.good:
        found.append(words.printable(verdict.reason))
        seen = evidence.sentence(verdict.evidence)
        if seen:
            found.append(f"{'it saw' if verdict.word == 'noisy' else 'the last look saw'} {seen}")
    if (detailed or not verdict.good) and verdict.steps:
        found.append(f"steps: {', '.join(map(words.printable, verdict.steps))}")
    if (detailed or not verdict.good) and verdict.also:
        found.append(f"fired too: {', '.join(map(words.printable, verdict.also))}")
    if detailed and verdict.state:
        found.append(f"ended {verdict.state}, {words.duration(verdict.took)} in all")
    return [paint(f"    {part}", "dim") for line in found for part in words.wrapped(line, paint.columns - 4)]


def ending(paint: Paint, drill: Drill, verdicts: Sequence[Verdict]) -> str:
    """Return what stands below the table: what has no fault, what was faked, and how many were healed."""
    found: list[str] = []
    whole = {verdict.fault for verdict in verdicts} == {fault.name for fault in drill.faults}
    if whole and drill.uncovered:
        found.append(f"no fault for: {'; '.join(map(words.printable, drill.uncovered))}")
    if whole and drill.undrilled:
        found.append(f"not drilled: {'; '.join(map(words.printable, drill.undrilled))}")
    faked = list(dict.fromkeys(name for verdict in verdicts for name in verdict.faked))
    if faked:
        found.append(f"faked: {', '.join(map(words.printable, faked))}")
    counts: dict[str, int] = {}
    for verdict in verdicts:
        counts[verdict.word] = counts.get(verdict.word, 0) + 1
    said = ", ".join(f"{count} {word}" for word, count in counts.items())
    good = all(verdict.good for verdict in verdicts)
    took = sum(verdict.took for verdict in verdicts)
    total = f"{words.amount(len(verdicts), 'fault')} in {words.duration(took)}: {said}"
    below = [part for line in found for part in words.wrapped(line, paint.columns)]
    return "\n".join(paint.fit(line) for line in (*(paint(line, "dim") for line in below),
                                                  paint(total, "green" if good else "red")))  # fmt: skip


def document(drill: Drill, verdicts: Sequence[Verdict], exit_code: int) -> dict[str, Any]:
    """Return the document of a drill."""
    return {
        "schema": 1,
        "exit_code": exit_code,
        "runbook": drill.runbook.file,
        "drill": drill.file,
        "faults": [
            {
                "name": one.fault,
                "about": one.about,
                "verdict": one.word,
                "reason": one.reason or None,
                "seen_after_s": _seconds(one.seen),
                "healed_after_s": _seconds(one.healed),
                "state": one.state or None,
                "steps": list(one.steps),
                "also": list(one.also),
                "evidence": evidence.sentence(one.evidence) or None,
                "faked": list(one.faked),
                "duration_s": _seconds(one.took),
            }
            for one in verdicts
        ],
        "uncovered": list(drill.uncovered),
        "undrilled": dict(drill.undrilled),
    }


def listing(drill: Drill, faults: Sequence[Fault], *, detailed: bool) -> dict[str, Any]:
    """Return what a drill holds, without doing any of it."""
    return {
        "schema": 1,
        "runbook": drill.runbook.file,
        "drill": drill.file,
        "faults": [
            {
                "name": fault.name,
                "about": fault.about,
                "expect": fault.expect,
                "within_s": fault.within,
                **({"given": _given(fault), "inject": [one.said for one in fault.injections]} if detailed else {}),
            }
            for fault in faults
        ],
        "uncovered": list(drill.uncovered),
        "undrilled": dict(drill.undrilled),
    }


def listed(paint: Paint, found: dict[str, Any]) -> str:
    """Return a listing as text."""
    lines = []
    for one in found["faults"]:
        about = f"{words.printable(one['about'])}: {one['expect']} within {words.duration(one['within_s'])}"
        lines.append(f"{paint(words.printable(one['name']), 'bold')}  {paint(about, 'dim')}")
        lines += [f"    given   {words.printable(each)}" for each in one.get("given", ())]
        lines += [f"    inject  {words.printable(each)}" for each in one.get("inject", ())]
    lines += [f"{paint('no fault', 'yellow')}  {words.printable(name)}" for name in found["uncovered"]]
    undrilled = found["undrilled"].items()
    lines += [f"not drilled  {words.printable(name)}: {words.printable(why)}" for name, why in undrilled]
    return "\n".join(paint.fit(line) for line in lines)


def encoded(found: dict[str, Any]) -> str:
    """Return a document as JSON."""
    return encode(found, indent=2)


def _given(fault: Fault) -> list[str]:
    given = fault.given
    found = [f"disk {path} of {words.size(size)}" for path, size in given.disks.items()]
    found += [f"{'directory' if one.folder else 'file'} {one.path}" for one in given.files]
    found += [f"server {one.name} at port {one.port}" for one in given.servers]
    served = {one.name for one in given.servers}
    found += [f"daemon {one.name}: {' '.join(one.start)}" for one in given.daemons if one.name not in served]
    found += [f"{words.amount(len(given.gpus), 'GPU')}, faked"] if given.gpus else []
    found += [f"program {name}, faked" for name in given.programs]
    return [*found, *(f"run {' '.join(argv)}" for argv in given.run)]


def _after(seconds: float | None) -> str:
    return "-" if seconds is None else words.duration(seconds)


def _seconds(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _padded(text: str, width: int) -> str:
    shown = words.cut(words.printable(text), width)
    return shown + " " * (width - words.width(shown))
