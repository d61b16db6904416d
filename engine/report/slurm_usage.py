"""What `runbook slurm report` shows: by kind of jobs, asked against used, and what to ask for."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.model import UNKNOWN, Seen
from runbook.engine.report import words
from runbook.engine.report.passes import SCHEMA
from runbook.engine.report.ranges import natural
from runbook.modules.slurm import units

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runbook.engine.report.looks import Answer
    from runbook.engine.report.paint import Paint

_HEADS: Final = ("", "asked", "used", "suggested")
_ENDS: Final = ("completed", "out_of_memory", "timeout", "failed", "cancelled")
_NONE: Final = "-"


def text(paint: Paint, answers: Mapping[str, Answer], most: int, *, alone: bool) -> Iterator[str]:
    """Yield the lines for people.

    Args:
        paint: how to write, and how wide.
        answers: by host.
        most: how many kinds are shown of each host.
        alone: no inventory was given, and so no host is named.
    """
    for host in sorted(answers, key=natural):
        answer = answers[host]
        if not alone:
            yield paint(words.printable(host), "bold", "cyan")
        if not isinstance(answer.look, Seen):
            yield from words.wrapped(f"{answer.status}: {words.printable(answer.look.reason)}", paint.columns)
            continue
        kinds = _kinds(answer)
        if not kinds:
            yield "no job ended in that time"
            continue
        for each in kinds[:most]:
            yield from _block(paint, each)
            yield ""
        if len(kinds) > most:
            yield f"and {len(kinds) - most} more kinds, which took less (--top {len(kinds)})"
        yield from _total(paint, kinds)


def document(answers: Mapping[str, Answer]) -> dict[str, Any]:
    """Return the same for programs: bytes, seconds and hours."""
    hosts = {
        host: {
            "status": answers[host].status,
            "reason": "" if isinstance(found := answers[host].look, Seen) else found.reason,
            "kinds": _kinds(answers[host]),
        }
        for host in sorted(answers, key=natural)
    }
    return {"schema": SCHEMA, "exit_code": exit_code(answers), "hosts": hosts}


def table(answers: Mapping[str, Answer], columns: Sequence[str], *, alone: bool) -> str:
    """Return the same as CSV (RFC 4180): bytes, seconds and hours; what nobody knows is an empty cell.

    Args:
        answers: by host.
        columns: the fields of a record.
        alone: no inventory was given, and so there is no column of hosts.
    """
    written = io.StringIO()
    rows = csv.writer(written)
    rows.writerow([*([] if alone else ["host"]), *columns])
    for host in sorted(answers, key=natural):
        for each in _kinds(answers[host]):
            cells = [_cell(each.get(name)) for name in columns]
            rows.writerow([*([] if alone else [host]), *cells])
    return written.getvalue()


def exit_code(answers: Mapping[str, Answer]) -> int:
    """Return 4 where an accounting did not answer, or there is none; else 0."""
    return 0 if all(isinstance(answer.look, Seen) for answer in answers.values()) else 4


def silent(answers: Mapping[str, Answer]) -> Iterator[str]:
    """Yield why hosts did not answer, for standard error beside CSV."""
    for host in sorted(answers, key=natural):
        if not isinstance(found := answers[host].look, Seen):
            yield words.printable(f"{host}: {answers[host].status}: {words.one_line(found.reason)}")


def _kinds(answer: Answer) -> list[dict[str, Any]]:
    if not isinstance(answer.look, Seen):
        return []
    return [
        {name: None if value is UNKNOWN else value for name, value in record.fields.items()}
        for record in answer.look.records
    ]


def _cell(value: Any) -> Any:
    """Return a value for a cell: nothing that a spreadsheet takes for a formula, or a terminal for a command."""
    if isinstance(value, list | tuple):
        value = " ".join(map(str, value))
    if isinstance(value, str):
        value = words.printable(value)
        return f"'{value}" if value[:1] in ("=", "+", "-", "@") else value
    return "" if value is None else value


def _block(paint: Paint, each: Mapping[str, Any]) -> Iterator[str]:
    ends = ", ".join(f"{each[name]} {name.replace('_', ' ')}" for name in _ENDS if each[name])
    yield f"{paint(words.printable(str(each['kind'])), 'bold')}  {words.amount(each['jobs'], 'job')}: {ends}"
    cells = [*_rows(each)]
    shown = [_HEADS, *(row[:4] for row in cells)]
    widths = [max(words.width(row[place]) for row in shown) for place in range(4)]
    room = paint.columns - sum(widths) - 12
    yield paint(f"  {_line(_HEADS, widths)}", "dim")
    for *row, why, changes in cells:
        said = words.wrapped(words.printable(why), max(20, room)) if why else [""]
        line = _line(row, widths)
        yield f"  {paint(line, 'yellow') if changes else line}  {said[0]}".rstrip()
        yield from (f"{'':{sum(widths) + 10}}{more}" for more in said[1:])
    yield from (f"  {line}" for line in words.wrapped(_spent(each), paint.columns - 2))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0] + " " * (widths[0] - words.width(cells[0]))
    return "  ".join([first, *(f"{cell:>{width}}" for cell, width in zip(cells[1:], widths[1:], strict=True))])


def _rows(each: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Yield a row for each resource: its name, three figures, the reason, and whether something is to be changed."""
    for name, write in (("memory", units.shown_memory), ("time", units.shown_time)):
        asked, used, most, wanted = (each[f"{name}_{part}"] for part in ("asked", "used", "most", "suggested"))
        seen = _NONE if used is None and most is None else write(most if used is None else used)
        shown = _NONE if wanted is None else write(wanted)
        none = "no limit" if name == "time" else _NONE
        yield (
            name,
            none if asked is None else write(asked),
            seen,
            shown,
            each[f"{name}_why"],
            wanted not in (None, asked),
        )
    wanted, asked = each["cpus_suggested"], each["cpus_asked"]
    yield (
        "CPUs",
        _plain(asked),
        _plain(each["cpus_used"]),
        _plain(wanted),
        each["cpus_why"],
        wanted not in (None, asked),
    )
    if each["gpus_asked"] is not None:
        busy = _NONE if each["gpu_percent"] is None else f"{each['gpu_percent']:.0f}%"
        wanted, asked = each["gpus_suggested"], each["gpus_asked"]
        took = each["gpu_memory_most"]
        why = each["gpus_why"] + (f"; a task took {units.shown_memory(took)} of memory" if took else "")
        yield "GPUs", _plain(asked), busy, _plain(wanted), why, wanted not in (None, asked)


def _plain(value: float | None) -> str:
    return _NONE if value is None else str(value) if isinstance(value, int) else f"{value:.1f}"


def _spent(each: Mapping[str, Any]) -> str:
    parts = [_of(each, "core")]
    if each["gpu_hours"]:
        parts.append(_of(each, "gpu"))
    return "; ".join(parts)


def _of(each: Mapping[str, Any], what: str) -> str:
    name = "GPU" if what == "gpu" else what
    taken, idle, lost = (each[f"{what}_hours{part}"] for part in ("", "_idle", "_lost"))
    said = [f"{_NONE if idle is None else _hours(idle)} of them idle"]
    said += [f"{_hours(lost)} in jobs that did not complete"] if lost else []
    return f"{_hours(taken)} {name}-hours, {' and '.join(said)}"


def _hours(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _total(paint: Paint, kinds: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what all of them took together, and what is to be known of the figures."""
    names = ("core_hours", "core_hours_idle", "core_hours_lost", "gpu_hours", "gpu_hours_idle", "gpu_hours_lost")
    known = {name: [each[name] for each in kinds if each[name] is not None] for name in names}
    whole = {name: sum(values) if values else None for name, values in known.items()}
    jobs = sum(each["jobs"] for each in kinds)
    said = f"{words.amount(jobs, 'job')} of {words.amount(len(kinds), 'kind')}: {_spent(whole)}"
    yield from (paint(line, "bold") for line in words.wrapped(said, paint.columns))
    if any(each["memory_most"] is not None for each in kinds):
        yield "Peaks of memory are sampled, and may have been higher: go down in steps."
    else:
        yield "This accounting knows no peaks: JobAcctGatherType is not set in slurm.conf."
