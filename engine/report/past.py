"""The text of `history` and `stats`: what was, in tables and short blocks."""

from __future__ import annotations

import itertools
from dataclasses import asdict, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from runbook.engine.report import words
from runbook.engine.report.across import Across
from runbook.engine.report.bars import bar
from runbook.engine.report.blocks import Blocks
from runbook.engine.report.clock import moment
from runbook.engine.report.document import run_document
from runbook.engine.report.gather import Gather
from runbook.engine.report.passes import PassReport, RunReport, StepReport
from runbook.engine.report.ranges import natural
from runbook.engine.report.summary import counted
from runbook.engine.report.table import table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from runbook.engine.journal.ask.rates import DetectorRate, Rate, Stats
    from runbook.engine.journal.facts import IncidentRow
    from runbook.engine.journal.queries import PastRun
    from runbook.engine.report.paint import Paint


_BAR = 8  # columns of a bar
_WIDE = 90  # columns from which on there is room for one
_NEWEST = 20  # incidents of one host, of a run that lasts for months
_UNDER = " " * 18  # beneath what follows the clock


def gathered(run: PastRun) -> RunReport:
    """Return what a run of the past came to, as its own report said it."""
    gather = Gather()
    for fact in run.facts:
        gather.add(fact)
    runs = gather.report(stopped=run.stopped).runs
    hosts = dict(sorted(runs[0].hosts.items(), key=lambda each: natural(each[0]))) if runs else {}
    duration = (run.ended if run.ended is not None else run.facts[-1].at if run.facts else run.started) - run.started
    return RunReport(run.runbook, run.id, run.started, duration, hosts)


def history_lines(paint: Paint, runs: Iterable[PastRun], *, limit: int, full: bool = False) -> Iterator[str]:
    """Yield the text of a history, at most `limit` entries; runs that found nothing fold into one line."""
    blocks = Blocks(replace(paint, columns=paint.columns - 2), verbosity=1 if full else 0)
    for number, group in enumerate(_groups(runs)):
        if number == limit:
            yield paint("… more before that (--limit shows them)", "dim")
            return
        if len(group) > 1 or not group[0].facts:
            yield _quiet(paint, group)
        else:
            yield from _entry(paint, blocks, group[0], full=full)


def incident_lines(paint: Paint, incidents: Sequence[IncidentRow], now: float) -> Iterator[str]:
    """Yield the table of `history --incidents`."""
    several = len({one.runbook for one in incidents}) > 1
    rows = []
    for one in incidents:
        about = f" · {one.subject}" if one.subject and one.subject != one.host else ""
        name = f"{one.runbook}: {one.detector}" if several else one.detector
        what = words.printable(f"{one.id}  {name} on {one.host}{about}")  # what is too long is cut at its end
        lasted = words.duration((one.closed if one.closed is not None else now) - one.opened)
        rows.append(
            (what, _ended(one), moment(one.opened, now), lasted if one.closed is not None else f"{lasted} so far")
        )
    if rows:
        yield from table(paint, ("INCIDENT", "state", "opened", "lasted"), rows)


def _ended(one: IncidentRow) -> str:
    return "over by itself" if _by_itself(one) else one.state


def _by_itself(one: IncidentRow) -> bool:
    """Tell whether an incident ended well without a recovery of ours."""
    return one.state == "cured" and one.data.get("begun") is None


def incidents_document(incidents: Sequence[IncidentRow]) -> list[dict[str, Any]]:
    """Return the incidents of `history --incidents --format json`."""
    return [
        {
            "id": one.id,
            "runbook": one.runbook,
            "host": one.host,
            "detector": one.detector,
            "subject": one.subject,
            "state": one.state,
            "by_itself": _by_itself(one),
            "severity": one.severity,
            "opened": one.opened,
            "updated": one.updated,
            "closed": one.closed,
            "count": one.data.get("count", 1),
            "fields": one.data.get("fields") or {},
            "reason": one.data.get("reason") or None,
            "root": one.data.get("root") or None,
        }
        for one in incidents
    ]


def stats_lines(paint: Paint, stats: Stats) -> Iterator[str]:
    """Yield the tables of `stats`."""
    every: list[Rate | DetectorRate] = [*stats.operations, *stats.detectors, *stats.steps, *stats.components]
    several = len({one.runbook for one in every}) > 1
    if stats.detectors:
        heads = ("DETECTOR", "fired", "cured", "unhealed", "open", "rate", "to detect", "to heal", "p95")
        yield from table(
            paint,
            heads,
            [_detector(paint, one, several=several) for one in stats.detectors],
            ("p95", "to detect", "unhealed"),
        )
    begun = bool(stats.detectors)
    for title, rates in (("STEP", stats.steps), ("OPERATION", stats.operations), ("COMPONENT", stats.components)):
        if rates:
            yield from [""] if begun else []
            begun = True
            titles = (title, "attempts", "ok", "failed", "rate", "mean", "p95")
            yield from table(paint, titles, [_rate(paint, one, several=several) for one in rates])


def document(run: PastRun) -> dict[str, Any]:
    """Return a run as `history --format json` has it: as `apply` reported it, with who ran it and how it ended."""
    ending = {"command": run.command, "by": run.by, "ended": run.ended, "exit_code": run.exit_code, "lives": run.lives}
    return {**run_document(gathered(run)), **ending}


def stats_document(stats: Stats) -> dict[str, Any]:
    """Return the tables of `stats --format json`."""
    return {
        "operations": [{**asdict(one), "failures": one.failures, "rate": one.rate} for one in stats.operations],
        "detectors": [{**asdict(one), "rate": one.rate} for one in stats.detectors],
        "steps": [{**asdict(one), "failures": one.failures, "rate": one.rate} for one in stats.steps],
        "components": [{**asdict(one), "failures": one.failures, "rate": one.rate} for one in stats.components],
    }


def _groups(runs: Iterable[PastRun]) -> Iterator[list[PastRun]]:
    quiet: list[PastRun] = []
    for run in runs:
        if _is_quiet(run) and (not quiet or quiet[0].runbook == run.runbook):
            quiet.append(run)
            continue
        if quiet:
            yield quiet
        quiet = [run] if _is_quiet(run) else []
        if not quiet:
            yield [run]
    if quiet:
        yield quiet


def _is_quiet(run: PastRun) -> bool:
    return not run.facts and run.exit_code == 0


def _quiet(paint: Paint, group: Sequence[PastRun]) -> str:
    newest, oldest = group[0], group[-1]
    when, name = _clock(newest.started), words.printable(newest.runbook)
    if len(group) > 1:
        since = _clock(oldest.started, beside=newest.started)
        return f"{when}  {name}: {len(group)} runs since {since}, all well"
    return f"{when}  {_called(newest)}: {_verdict(paint, newest, 'well' if newest.exit_code == 0 else '')}"


def _entry(paint: Paint, blocks: Blocks, run: PastRun, *, full: bool) -> Iterator[str]:
    report = gathered(run)
    done = sum(one.state == "succeeded" for host in report.hosts.values() for one in host.operations)
    came_to = counted(PassReport((report,))) or (f"{words.amount(done, 'operation')} done" if done else "")
    if not came_to and run.ended is not None and not run.stopped:
        came_to = "nothing found"
    if run.stopped:
        came_to = f"stopped, {came_to}" if came_to else "stopped"
    head = f"{_called(run)}: {_verdict(paint, run, came_to)}"
    first, *more = words.wrapped(head, paint.columns - len(_UNDER))
    yield paint(f"{_clock(run.started)}  {first}", "bold")
    yield from (_UNDER + paint(line, "bold") for line in more)
    if run.command == "watch" and not full:
        report, older = _newest(report)
        if older:
            yield paint(f"  … {words.amount(older, 'incident')} before those below (--incidents lists them)", "dim")
    if len(report.hosts) > 1 and not full:
        for lines in Across(blocks.paint, blocks, past=True).findings(report):
            yield from _indented(lines)
        return
    for host in report.hosts.values():
        name = host.name if host.name != "localhost" else ""
        for operation in host.operations:
            lines = blocks.operation(operation, name)
            if operation.state != "skipped":
                yield from _indented(lines if full else lines[:1])
        for reason, group in itertools.groupby(host.operations, key=lambda one: one.state == "skipped" and one.error):
            if reason:
                yield from _indented(blocks.skipped([one.name for one in group], str(reason), name))
        for incident in host.incidents:
            lines = blocks.incident(incident, name)
            yield from _indented(lines if full else [*lines[:1], *_short(blocks, incident.steps)])
        for step in host.steps:
            if step.failed or full:
                lines = blocks.closing(step, name)
                yield from _indented(lines if full else lines[:1])
        for unseen in host.unknown:
            yield from _indented(blocks.unseen("unknown", unseen.detector, name, unseen.reason))
        for one in host.told:
            if one["status"] == "failed":
                yield from _indented(blocks.untold(str(one["channel"]), str(one["reason"] or "")))
    if full:
        yield f"  run {run.id} by {words.printable(run.by)}"


def _newest(report: RunReport) -> tuple[RunReport, int]:
    """Return a watch's report with the newest incidents of each host alone, and how many others there are."""
    hosts = {name: replace(host, incidents=host.incidents[-_NEWEST:]) for name, host in report.hosts.items()}
    total = sum(len(host.incidents) for host in report.hosts.values())
    return replace(report, hosts=hosts), total - sum(len(host.incidents) for host in hosts.values())


def _called(run: PastRun) -> str:
    """Return what was run, and how: `check` that is journalled is `check --fix`, and `run` has no runbook."""
    name = words.printable(run.runbook)
    if run.command == "check":
        return f"{name} check --fix"
    return name if name == run.command else f"{name} {run.command}"


def _short(blocks: Blocks, steps: Sequence[StepReport]) -> Iterator[str]:
    for step in steps:
        yield from blocks.brief(step)


def _indented(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield "  " + line.replace("\n", "\n  ")


def _verdict(paint: Paint, run: PastRun, came_to: str) -> str:
    if run.lives:
        end = paint("goes on", "green")
        return f"{came_to}, {end}" if came_to else end
    if run.ended is None and run.command == "watch":
        end = paint("did not end: it was killed", "yellow")
        return f"{came_to}, {end}" if came_to else end
    if run.ended is not None and run.exit_code is None:
        return f"{came_to or 'nothing found'}, another watch took over ({words.duration(run.ended - run.started)})"
    if run.ended is None:
        end = paint("did not end: it was killed, or runs still", "yellow")
        return f"{came_to}, {end}" if came_to else end
    spent = words.duration(run.ended - run.started)
    return f"{came_to or f'exit code {run.exit_code}'} ({spent})"


def _clock(at: float, *, beside: float | None = None) -> str:
    """Return local time; the day is left out beside a time of the same day."""
    time = datetime.fromtimestamp(at).astimezone()
    same = beside is not None and datetime.fromtimestamp(beside).astimezone().date() == time.date()
    return f"{time:%H:%M}" if same else f"{time:%Y-%m-%d %H:%M}"


def _name(runbook: str, name: str, *, several: bool) -> str:
    return words.printable(f"{runbook}: {name}" if several else name)


def _rate(paint: Paint, one: Rate, *, several: bool) -> tuple[str, ...]:
    counts = (str(one.attempts), str(one.successes), str(one.failures))
    return (
        _name(one.runbook, one.name, several=several),
        *counts,
        _percent(paint, one.rate),
        _spent(one.mean),
        _spent(one.p95),
    )


def _detector(paint: Paint, one: DetectorRate, *, several: bool) -> tuple[str, ...]:
    counts = (str(one.incidents), str(one.cured), str(one.unhealed), str(one.open))
    times = (_spent(one.detect_mean), _spent(one.heal_mean), _spent(one.heal_p95))
    return (_name(one.runbook, one.name, several=several), *counts, _percent(paint, one.rate), *times)


def _percent(paint: Paint, share: float | None) -> str:
    """Return a share, with a small bar where there is room for one."""
    if share is None:
        return "-"
    return f"{bar(paint, share, _BAR)} {share:4.0%}" if paint.columns >= _WIDE else f"{share:.0%}"


def _spent(seconds: float | None) -> str:
    return "-" if seconds is None else words.duration(seconds)
