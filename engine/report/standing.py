"""How things stand, as `status` tells people, and in one exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runbook.engine.journal.ask.left import RELEASED, STOPPED
from runbook.engine.report import standing_blocks, standing_watches, words
from runbook.engine.report.bars import bar
from runbook.engine.report.clock import moment
from runbook.engine.report.levels import levels
from runbook.engine.report.lines import row
from runbook.engine.report.passes import BAD, UNFINISHED
from runbook.engine.report.standing_blocks import parted
from runbook.engine.report.table import table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.journal.ask.runs import LastRun
    from runbook.engine.journal.ask.standing import Standing
    from runbook.engine.report.levels import Level
    from runbook.engine.report.paint import Paint

_COLOURS: Final = {0: "green", 3: "cyan", 4: "yellow"}
_LEVELS: Final = {"healthy": "green", "degraded": "yellow", "unhealthy": "red", "critical": "red"}
_ILL: Final = BAD | {RELEASED}
_MOST: Final = 10  # components


def exit_code(stands: Standing) -> int:
    """Return 2 where a fault is left or a watch dead, 4 where something was not seen, 3 where it only waits, else 0."""
    states = {one.state for one in stands.incidents}
    if states & _ILL or standing_watches.dead(stands) or any(one.state != "waiting" for one in stands.undone):
        return 2
    if stands.blind or stands.unended:
        return 4
    return 3 if states & UNFINISHED or any(one.state == "waiting" for one in stands.undone) else 0


def summary(stands: Standing, now: float) -> str:
    """Return the last line: what there is, and what is next."""
    counts: dict[str, int] = {}
    roots, followers = parted(stands.incidents)
    for one in roots:
        counts[one.state] = counts.get(one.state, 0) + 1
    said = [f"{number} {state}" for state, number in sorted(counts.items(), key=lambda each: -each[1])]
    said += [f"{len(followers)} following"] if followers else []
    failed = sum(one.state != "waiting" for one in stands.undone)
    said += [f"{words.amount(failed, 'operation')} not done"] if failed else []
    said += [f"{len(stands.blind)} unknown"] if stands.blind else []
    late = [one for one in stands.passes if one.overdue(now) is not None]
    said += [f"{words.amount(len(late), 'runbook')} overdue"] if late else []
    died = standing_watches.dead(stands)
    said = [f"the watch of {words.printable(one.runbook)} {state}" for one, state in died] + said
    again = len(stands.unended)
    said += [f"{again} {'pass' if again == 1 else 'passes'} did not end"] if again else []
    if not said:
        return "all is well" + (f", {len(stands.pending)} pending" if stands.pending else "")
    if died:
        return f"{', '.join(said)}: {standing_watches.remedy(*died[0], stands)}"
    allowed = {name for name, word in stands.people.approvals.items() if word.granted and word.until > now}
    for state in ("interrupted", "waiting"):
        mine = (one for one in stands.incidents if one.state == state and not one.data.get("root"))
        first = next((one for one in mine if one.id not in allowed), None)
        if first is not None:
            command = "approve" if state == "waiting" else "release"
            return f"{', '.join(said)}: runbook {command} {first.id}"
    ill = [one for one in stands.incidents if one.state in BAD]
    first = next((one for one in ill if one.id not in stands.people.acks), next(iter(ill), None))
    if first is not None:
        return f"{', '.join(said)}: runbook explain {first.id}"
    if again:
        return f"{', '.join(said)}: run {'it' if again == 1 else 'them'} again"
    released = any(one.state == RELEASED for one in stands.incidents)
    return ", ".join(said) + (": the next pass decides anew" if released else "")


def lines(paint: Paint, stands: Standing, now: float) -> Iterator[str]:
    """Yield the text of `status`."""
    parts = [
        list(standing_watches.lines(paint, stands, now)),
        list(_passes(paint, stands, now)),
        *standing_blocks.incidents(paint, stands, now),
        *([line] for line in standing_blocks.pending(paint, stands.pending, now)),
        *standing_blocks.unseen(paint, stands),
        list(_components(paint, stands, now)),
        list(_pools(paint, stands, now)),
        list(_people(paint, stands, now)),
    ]
    for place, part in enumerate(part for part in parts if part):
        yield from ([""] if place else [])
        yield from part
    if stands.passes or stands.watches:
        colour = _COLOURS.get(exit_code(stands), "red")
        yield ""
        yield from (paint(line, "bold", colour) for line in words.wrapped(summary(stands, now), paint.columns))


def at_work(one: LastRun, stands: Standing) -> bool:
    """Tell whether a pass has not ended, and lives."""
    return one.ended is None and one.id not in stands.unended


def _passes(paint: Paint, stands: Standing, now: float) -> Iterator[str]:
    told = {watch.run for watch, _ in stands.watches}
    passes = [one for one in stands.passes if one.id not in told]
    if not passes:
        return
    wide = min(max(len("RUNBOOK"), *(words.width(words.printable(one.runbook)) for one in passes)), 30)
    yield paint(f"{'RUNBOOK':<{wide}}  LAST PASS", "dim")
    for one in passes:
        name = words.cut(words.printable(one.runbook), wide)
        came = f"exit {one.exit_code}" if one.exit_code is not None else "ended" if one.ended else ""
        at = one.ended if one.command == "watch" and one.ended is not None else one.started
        when = f"{words.duration(now - at)} ago" if now - at >= 1 else "now"
        took = f" {'for' if at == one.ended else 'in'} {words.duration(one.ended - one.started)}" if one.ended else ""
        if one.ended is None:
            came = paint("at work", "cyan") if at_work(one, stands) else paint("did not end", "yellow")
        elif one.exit_code == STOPPED:
            came = paint("was stopped before its end", "yellow")
        said = f"{when} ({moment(at, now)}), {one.command}{took}, {came}"
        if (late := one.overdue(now)) is not None:
            said += paint(f", OVERDUE by {words.duration(late)}", "red")
        elif one.every is not None:
            said += f", every {words.duration(one.every)}"
        yield f"{name}{' ' * (wide - words.width(name))}  {said}"


def _components(paint: Paint, stands: Standing, now: float) -> Iterator[str]:
    found = levels(stands.components, stands.people.resets, now)
    calm = [one for one in found if one.calm]
    shown = found if len(found) <= _MOST else [one for one in found if not one.calm]
    if shown:
        yield from table(
            paint,
            ("COMPONENT", "level", "errors", "attempts", "mean", "breaker"),
            [_level(paint, one, now) for one in shown],
            ("mean", "attempts"),
        )
    if found and len(shown) < len(found):
        yield paint(f"{words.amount(len(calm), 'component')} well", "dim")


def _level(paint: Paint, one: Level, now: float) -> tuple[str, ...]:
    rate, stands = one.health.error_rate, one.breaker
    until = f", until {moment(stands.until, now)}" if stands is not None and stands.until and stands.until > now else ""
    errors = "-" if rate is None else f"{rate:.0f}% {bar(paint, rate / 100, 8)}"
    name = words.printable(one.name if one.host == "localhost" else f"{one.name} on {one.host}")
    return (
        name,
        one.health.level or "few yet",
        errors,
        str(one.health.attempts),
        "-" if one.health.latency_mean is None else words.duration(one.health.latency_mean),
        "-" if stands is None else stands.position.value + until,
    )


def _pools(paint: Paint, stands: Standing, now: float) -> Iterator[str]:
    rows = [
        (words.printable(one.pool if one.host == "localhost" else f"{one.pool} on {one.host}"),
         words.printable(one.member), moment(one.since, now))
        for one in stands.pools
    ]  # fmt: skip
    if rows:
        yield from table(paint, ("POOL", "active", "since"), rows)


def _people(paint: Paint, stands: Standing, now: float) -> Iterator[str]:
    for one in stands.people.maintenance:
        lasts = f"until {moment(one.until, now)}" if one.until is not None else "until it is taken off"
        said = f"{one.hosts} {lasts}, by {one.by}{': ' + one.reason if one.reason else ''}"
        yield from row(paint, "maint", words.printable(f"{said} (runbook maintenance {one.hosts} --off)"))
