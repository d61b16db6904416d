"""The blocks of `status`: what is open, pending or not seen; what is alike on many hosts is told once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runbook.engine.report import evidence, words
from runbook.engine.report.folded import Group, alike, grouped, spent
from runbook.engine.report.following import asked, following
from runbook.engine.report.lines import head, named, room, row
from runbook.engine.report.ranges import written

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from runbook.engine.journal.ask.standing import Held, Standing
    from runbook.engine.journal.facts import IncidentRow
    from runbook.engine.report.paint import Paint

_MOST: Final = 10  # steps of one incident
_SHOWN: Final = 50  # blocks
_IDS: Final = 4  # of incidents that are alike


def incidents(paint: Paint, stands: Standing, now: float) -> Iterator[list[str]]:
    """Yield a block for each incident, of as many hosts as have the like."""
    several = len({one.runbook for one in stands.passes}) > 1
    roots, _ = parted(stands.incidents)
    hosts = len({one.host for one in roots})

    def kind(host: str, one: IncidentRow) -> Hashable:
        steps = tuple(map(told, asked(one)))
        following_ = alike(following_of(one, stands, now), host)
        if one.data.get("folded"):
            return one.id
        about = alike(one.subject, host) if hosts > 1 else one.subject
        return one.runbook, one.detector, about, one.state, alike(_why(one), host), steps, following_

    groups = grouped(((one.host, one) for one in roots), kind)
    for group in groups[:_SHOWN]:
        yield _incident(paint, group, stands, now, several=several)
    if left := sum(len(group.members) for group in groups[_SHOWN:]):
        yield [paint(f"… {left} more (--host and --runbook narrow it, --format json has all)", "dim")]


def pending(paint: Paint, found: Sequence[Held], now: float) -> Iterator[str]:
    """Yield a line for each condition that has not held long enough, of as many hosts as have the like."""
    hosts = len({one.host for one in found})
    groups = grouped(
        ((one.host, one) for one in found),
        lambda host, one: (
            one.detector,
            alike(one.subject, host) if hosts > 1 else one.subject,
            one.data.get("hold"),
            _far(one),
        ),
    )
    for group in groups:
        one = group.first
        same = all(each.subject == one.subject for _, each in group.members)
        about = one.subject if same and one.subject != one.host else ""
        title = " · ".join(part for part in (one.detector, about) if part)
        hold = one.data.get("hold")
        far = _far(one) or spent(max(0.0, each.seen - each.since) for _, each in group.members)
        far += f" of {words.duration(hold)}" if hold and not _far(one) else ""
        latest = max(each.seen for _, each in group.members)
        far += f" when last seen, {words.duration(now - latest)} ago" if now - latest >= 1 else ""
        block = _headed(paint, "pending", title, f"pending, {far or '0s'}")
        yield from named(paint, block, group.hosts)


def unseen(paint: Paint, stands: Standing) -> Iterator[list[str]]:
    """Yield a block for each detector and host that the last pass could not see, and for operations it left."""
    for group in grouped(
        ((one.host, one) for one in stands.blind), lambda host, one: (one.detector, alike(one.reason, host))
    ):
        blind = group.first
        state = "unknown" if blind.detector else "unreachable"
        headed = named(paint, _headed(paint, state, blind.detector, state), group.hosts)
        yield [*headed, *row(paint, "why", words.printable(words.one_line(blind.reason)))]
    for undone in grouped(
        ((one.host, one) for one in stands.undone),
        lambda host, one: (one.operation, one.state, alike(one.error, host)),
    ):
        operation = undone.first
        right = "waiting for approval" if operation.state == "waiting" else operation.state
        why = row(paint, "why", words.printable(" ".join(operation.error.split()))) if operation.error else []
        yield [*named(paint, _headed(paint, operation.state, operation.operation, right), undone.hosts), *why]


def parted(incidents: Sequence[IncidentRow]) -> tuple[list[IncidentRow], list[IncidentRow]]:
    """Return those that stand by themselves, and those that follow from one of them, which is told with its root."""
    shown = {one.id for one in incidents}
    follows = [one.data.get("root") in shown for one in incidents]
    roots = [one for one, later in zip(incidents, follows, strict=True) if not later]
    return roots, [one for one, later in zip(incidents, follows, strict=True) if later]


def following_of(one: IncidentRow, stands: Standing, now: float) -> str:
    """Return what is next about an incident, as things stand."""
    return following(one, stands.people, now, free=one.id in stands.free, watched=one.runbook in stands.watched)


def told(step: Any) -> str:
    """Return a step that waits for a person, as one line: its name, what it is given, its impact."""
    params = step.get("params") or {}
    given = ", ".join(f"{name} {words.value(name, value)}" for name, value in params.items())
    name = str(step.get("step") or step.get("module") or "")
    return words.printable(f"{name}{': ' + given if given else ''} ({step.get('impact') or 'impact unknown'})")


def _incident(paint: Paint, group: Group[IncidentRow], stands: Standing, now: float, *, several: bool) -> list[str]:
    one, alone = group.first, len(group.members) == 1
    title = f"{one.id}  {one.detector}" if alone else one.detector
    subjects = {each.subject for host, each in group.members if each.subject not in ("", host)}
    if len(subjects) == 1:
        title += f" · {words.cut(words.printable(*subjects), 60)}"
    of = f" ({one.runbook})" if several else ""
    lasts = spent(now - _begun(each) for _, each in group.members)
    shown = named(paint, _headed(paint, one.state, title, f"{one.state}, {lasts}", of), group.hosts)
    seen = _seen(group, stands)
    times = f" ({one.data['count']} times)" if alone and _count(one) > 1 else ""
    shown += row(paint, "about", written(subjects, room(paint))) if len(subjects) > 1 else []
    shown += row(paint, "saw", seen + times) if seen else []
    shown += row(paint, "why", words.printable(_why(one))) if _why(one) else []
    for step in asked(one)[:_MOST]:
        shown += row(paint, "would", f"{told(step)}")
    if folded := one.data.get("folded"):
        shown += row(paint, "led to", _led(folded))
    if alone:
        return [*shown, *row(paint, "next", following_of(one, stands, now))]
    return [*shown, *_together(paint, group, stands, now)]


def _together(paint: Paint, group: Group[IncidentRow], stands: Standing, now: float) -> list[str]:
    """Return what is next about incidents that are alike, and their ids."""
    one = group.first
    said = following_of(one, stands, now)
    ids = [each.id for _, each in group.members]
    listed = " ".join(ids[:_IDS])
    more = f" and {len(ids) - _IDS} more (--host shows them)" if len(ids) > _IDS else ""
    if one.id not in said:
        return [*row(paint, "next", said), *row(paint, "ids", listed + more)]
    first, _, behind = said.partition("`, or `")
    whole = first.replace(one.id, listed)
    whole += f"`, or `{behind.replace(one.id, listed)}" if behind and len(ids) <= _IDS else "`" if behind else ""
    return row(paint, "next", whole + more)


def _headed(paint: Paint, state: str, title: str, right: str, behind: str = "") -> Any:
    """Return what makes the headline of a block with a host's name, or words in its place."""

    def block(host: str) -> list[str]:
        on = f"{title} on {host}" if title else host
        return [head(paint, state, words.printable(on + behind), right)]

    return block


def _seen(group: Group[IncidentRow], stands: Standing) -> str:
    """Return what was seen; of several hosts, between what and what."""
    ones = [one for _, one in group.members]
    texts = [
        evidence.sentence(
            {"fields": one.data.get("fields"), "when": stands.conditions.get(one.id, "")}, subject=one.subject
        )
        for one in ones
    ]
    if len(set(texts)) == 1:
        return texts[0]
    fields = [found if isinstance(found := one.data.get("fields"), dict) else {} for one in ones]
    return evidence.between(fields, stands.conditions.get(ones[0].id, ""), [one.subject for one in ones])


def _begun(one: IncidentRow) -> float:
    since = one.data.get("since")
    return float(since) if isinstance(since, int | float) else one.opened


def _count(one: IncidentRow) -> int:
    count = one.data.get("count")
    return count if isinstance(count, int) else 1


def _why(one: IncidentRow) -> str:
    return str(one.data.get("reason") or "")


def _far(one: Held) -> str:
    wanted = one.data.get("count")
    return f"{one.data.get('counted', 1)} of {wanted} times" if isinstance(wanted, int) and wanted > 1 else ""


def _led(folded: Any) -> str:
    said = [f"{one.get('signature') or one.get('detector')} on {one.get('host')}" for one in folded]
    more = f", {len(said) - 3} more" if len(said) > 3 else ""
    return words.printable(", ".join(said[:3]) + more)
