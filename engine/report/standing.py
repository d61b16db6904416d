"""How things stand, as `status` tells people, and in one exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runbook.engine.journal.ask.left import RELEASED, STOPPED
from runbook.engine.report import evidence, words
from runbook.engine.report.bars import bar
from runbook.engine.report.clock import moment
from runbook.engine.report.following import asked, following
from runbook.engine.report.levels import levels
from runbook.engine.report.lines import head, row
from runbook.engine.report.passes import BAD, UNFINISHED
from runbook.engine.report.table import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbook.engine.journal.ask.runs import LastRun
    from runbook.engine.journal.ask.standing import Held, Standing
    from runbook.engine.journal.facts import IncidentRow
    from runbook.engine.report.levels import Level
    from runbook.engine.report.paint import Paint

_COLOURS: Final = {0: "green", 3: "cyan", 4: "yellow"}
_LEVELS: Final = {"healthy": "green", "degraded": "yellow", "unhealthy": "red", "critical": "red"}
_ILL: Final = BAD | {RELEASED}
_MOST: Final = 10  # steps of one incident, components
_SHOWN: Final = 50  # incidents


def exit_code(stands: Standing) -> int:
    """Return 2 where a fault is left, 4 where something was not seen, 3 where it only waits, else 0."""
    states = {one.state for one in stands.incidents}
    if states & _ILL or any(one.state != "waiting" for one in stands.undone):
        return 2
    if stands.blind or stands.unended:
        return 4
    return 3 if states & UNFINISHED or any(one.state == "waiting" for one in stands.undone) else 0


def summary(stands: Standing, now: float) -> str:
    """Return the last line: what there is, and what is next."""
    counts: dict[str, int] = {}
    roots, followers = _parted(stands.incidents)
    for one in roots:
        counts[one.state] = counts.get(one.state, 0) + 1
    said = [f"{number} {state}" for state, number in sorted(counts.items(), key=lambda each: -each[1])]
    said += [f"{len(followers)} following"] if followers else []
    failed = sum(one.state != "waiting" for one in stands.undone)
    said += [f"{words.amount(failed, 'operation')} not done"] if failed else []
    said += [f"{len(stands.blind)} unknown"] if stands.blind else []
    late = [one for one in stands.passes if one.overdue(now) is not None]
    said += [f"{words.amount(len(late), 'runbook')} overdue"] if late else []
    again = len(stands.unended)
    said += [f"{again} {'pass' if again == 1 else 'passes'} did not end"] if again else []
    if not said:
        return "all is well" + (f", {len(stands.pending)} pending" if stands.pending else "")
    allowed = {name for name, word in stands.people.approvals.items() if word.granted and word.until > now}
    for state in ("interrupted", "waiting"):
        mine = (one for one in stands.incidents if one.state == state and not one.data.get("root"))
        first = next((one for one in mine if one.id not in allowed), None)
        if first is not None:
            command = "approve" if state == "waiting" else "release"
            return f"{', '.join(said)}: runbook {command} {first.id}"
    first = next((one for one in stands.incidents if one.state in BAD), None)
    if first is not None:
        return f"{', '.join(said)}: runbook explain {first.id}"
    if again:
        return f"{', '.join(said)}: run {'it' if again == 1 else 'them'} again"
    released = any(one.state == RELEASED for one in stands.incidents)
    return ", ".join(said) + (": the next pass decides anew" if released else "")


def lines(paint: Paint, stands: Standing, now: float) -> Iterator[str]:
    """Yield the text of `status`."""
    parts = [
        list(_passes(paint, stands, now)),
        *_incidents(paint, stands, now),
        *([line] for line in _pending(paint, stands.pending, now)),
        *_unseen(paint, stands),
        list(_components(paint, stands, now)),
        list(_pools(paint, stands, now)),
        list(_people(paint, stands, now)),
    ]
    for place, part in enumerate(part for part in parts if part):
        yield from ([""] if place else [])
        yield from part
    if stands.passes:
        colour = _COLOURS.get(exit_code(stands), "red")
        yield ""
        yield from (paint(line, "bold", colour) for line in words.wrapped(summary(stands, now), paint.columns))


def at_work(one: LastRun, stands: Standing) -> bool:
    """Tell whether a pass has not ended, and lives."""
    return one.ended is None and one.id not in stands.unended


def _passes(paint: Paint, stands: Standing, now: float) -> Iterator[str]:
    passes = stands.passes
    if not passes:
        return
    wide = min(max(len("RUNBOOK"), *(words.width(words.printable(one.runbook)) for one in passes)), 30)
    yield paint(f"{'RUNBOOK':<{wide}}  LAST PASS", "dim")
    for one in passes:
        name = words.cut(words.printable(one.runbook), wide)
        came = f"exit {one.exit_code}" if one.exit_code is not None else "ended" if one.ended else ""
        when = f"{words.duration(now - one.started)} ago" if now - one.started >= 1 else "now"
        took = f" in {words.duration(one.ended - one.started)}" if one.ended is not None else ""
        if one.ended is None:
            came = paint("at work", "cyan") if at_work(one, stands) else paint("did not end", "yellow")
        elif one.exit_code == STOPPED:
            came = paint("was stopped before its end", "yellow")
        said = f"{when} ({moment(one.started, now)}), {one.command}{took}, {came}"
        if (late := one.overdue(now)) is not None:
            said += paint(f", OVERDUE by {words.duration(late)}", "red")
        elif one.every is not None:
            said += f", every {words.duration(one.every)}"
        yield f"{name}{' ' * (wide - words.width(name))}  {said}"


def _incidents(paint: Paint, stands: Standing, now: float) -> Iterator[list[str]]:
    several = len({one.runbook for one in stands.passes}) > 1
    roots, _ = _parted(stands.incidents)
    for one in roots[:_SHOWN]:
        data = one.data
        title = f"{one.id}  {words.printable(one.detector)}"
        if one.subject and one.subject != one.host:
            title += f" · {words.cut(words.printable(one.subject), 60)}"
        title += f" on {words.printable(one.host)}" + (f" ({words.printable(one.runbook)})" if several else "")
        since = data.get("since")
        begun = float(since) if isinstance(since, int | float) else one.opened
        shown = [head(paint, one.state, title, f"{one.state}, {words.duration(now - begun)}")]
        about = {"fields": data.get("fields"), "when": stands.conditions.get(one.id, "")}
        seen = evidence.sentence(about, subject=one.subject)
        times = f" ({data['count']} times)" if isinstance(data.get("count"), int) and data["count"] > 1 else ""
        shown += row(paint, "saw", seen + times) if seen else []
        shown += row(paint, "why", words.printable(str(data["reason"]))) if data.get("reason") else []
        for step in asked(one)[:_MOST]:
            shown += row(paint, "would", f"{told(step)}")
        if folded := data.get("folded"):
            shown += row(paint, "led to", _folded(folded))
        shown += row(paint, "next", following(one, stands.people, now, free=one.id in stands.free))
        yield shown
    if len(roots) > _SHOWN:
        yield [paint(f"… {len(roots) - _SHOWN} more (--host and --runbook narrow it, --format json has all)", "dim")]


def _parted(incidents: Sequence[IncidentRow]) -> tuple[list[IncidentRow], list[IncidentRow]]:
    """Return those that stand by themselves, and those that follow from one of them, which is told with its root."""
    shown = {one.id for one in incidents}
    follows = [one.data.get("root") in shown for one in incidents]
    roots = [one for one, later in zip(incidents, follows, strict=True) if not later]
    return roots, [one for one, later in zip(incidents, follows, strict=True) if later]


def told(step: Any) -> str:
    """Return a step that waits for a person, as one line: its name, what it is given, its impact."""
    params = step.get("params") or {}
    given = ", ".join(f"{name} {words.value(name, value)}" for name, value in params.items())
    name = str(step.get("step") or step.get("module") or "")
    return words.printable(f"{name}{': ' + given if given else ''} ({step.get('impact') or 'impact unknown'})")


def _folded(folded: Any) -> str:
    named = [f"{one.get('signature') or one.get('detector')} on {one.get('host')}" for one in folded]
    more = f", {len(named) - 3} more" if len(named) > 3 else ""
    return words.printable(", ".join(named[:3]) + more)


def _pending(paint: Paint, pending: Sequence[Held], now: float) -> Iterator[str]:
    for one in pending:
        title = " · ".join(part for part in (one.detector, one.subject) if part and part != one.host)
        wanted, hold = one.data.get("count"), one.data.get("hold")
        far = words.duration(max(0.0, one.seen - one.since)) + (f" of {words.duration(hold)}" if hold else "")
        if isinstance(wanted, int) and wanted > 1:
            far = f"{one.data.get('counted', 1)} of {wanted} times"
        ago = words.duration(now - one.seen) if now - one.seen >= 1 else ""
        far += f" when last seen, {ago} ago" if ago else ""
        yield head(paint, "pending", words.printable(f"{title} on {one.host}"), f"pending, {far}")


def _unseen(paint: Paint, stands: Standing) -> Iterator[list[str]]:
    for one in stands.blind:
        title = words.printable(f"{one.detector} on {one.host}" if one.detector else one.host)
        state = "unknown" if one.detector else "unreachable"
        yield [head(paint, state, title, state), *row(paint, "why", words.printable(one.reason))]
    for operation in stands.undone:
        right = "waiting for approval" if operation.state == "waiting" else operation.state
        title = words.printable(f"{operation.operation} on {operation.host}")
        why = row(paint, "why", words.printable(" ".join(operation.error.split()))) if operation.error else []
        yield [head(paint, operation.state, title, right), *why]


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
