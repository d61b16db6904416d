"""What waits for a person, as `approvals` tells it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from runbook.engine.report import words
from runbook.engine.report.clock import moment
from runbook.engine.report.folded import Group, alike, grouped, spent
from runbook.engine.report.following import asked, following
from runbook.engine.report.lines import INDENT, head, named, room, row
from runbook.engine.report.passes import SCHEMA
from runbook.engine.report.ranges import written
from runbook.engine.report.standing_blocks import told

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from runbook.engine.journal.facts import IncidentRow
    from runbook.engine.people import People
    from runbook.engine.report.paint import Paint


def allowed(one: IncidentRow, people: People, now: float) -> bool:
    """Tell whether a person has allowed what waits, so that only the next pass is needed."""
    said = people.approvals.get(one.id)
    return said is not None and said.granted and said.until > now and said.digest == one.data.get("digest")


def lines(paint: Paint, waiting: Sequence[IncidentRow], people: People, now: float) -> Iterator[str]:
    """Yield the text; the same steps about the same thing on many hosts are told once."""
    several = len({one.host for one in waiting}) > 1

    def kind(host: str, one: IncidentRow) -> Hashable:
        if one.id in people.approvals:
            return one.id
        steps = tuple(map(told, asked(one)))  # to the letter: they are what is approved
        about = alike(one.subject, host) if several else one.subject
        return one.runbook, one.detector, about, alike(str(one.data.get("reason") or ""), host), steps

    for place, group in enumerate(grouped(((one.host, one) for one in waiting), kind)):
        if place:
            yield ""
        yield from _block(paint, group, people, now, whole=_whole(group, waiting))


def _whole(group: Group[IncidentRow], waiting: Sequence[IncidentRow]) -> bool:
    """Tell whether a group is all that waits of its detector."""
    return len(group.members) == sum(one.detector == group.first.detector for one in waiting)


def _block(paint: Paint, group: Group[IncidentRow], people: People, now: float, *, whole: bool) -> Iterator[str]:
    one, ids = group.first, [each.id for _, each in group.members]
    subjects = {each.subject for host, each in group.members if each.subject not in ("", host)}
    about = f" · {words.cut(one.subject, 60)}" if len(subjects) == 1 else ""
    name = f"{one.id}  {one.detector}{about}" if len(ids) == 1 else f"{one.detector}{about}"
    waits = spent(now - each.opened for _, each in group.members)

    def headed(host: str) -> list[str]:
        return [head(paint, "waiting", words.printable(f"{name} on {host} ({one.runbook})"), waits)]

    yield from named(paint, headed, group.hosts)
    if len(subjects) > 1:
        yield from row(paint, "about", written(subjects, room(paint)))
    if one.data.get("reason"):
        yield from row(paint, "why", words.printable(str(one.data["reason"])))
    for step in asked(one):
        yield from row(paint, "would", told(step))
    said = people.approvals.get(one.id)
    if said is not None:
        word = "approved" if said.granted else "rejected"
        over = "which is over" if said.until <= now else f"until {moment(said.until, now)}"
        why = f": {said.reason}" if said.reason else ""
        yield from row(paint, "said", words.printable(f"{word} by {said.by} {moment(said.at, now)}, {over}{why}"))
    if len(ids) == 1:
        yield from row(paint, "next", following(one, people, now))
    else:
        every = (
            f"`runbook approve --detector {words.printable(shlex.quote(one.detector))}` allows all; " if whole else ""
        )
        some = f"`runbook approve ID …`, or `runbook reject ID …`, with any of these {len(ids)}:"
        yield from row(paint, "next", every + some)
        yield from (INDENT + line for line in words.wrapped(" ".join(ids), paint.columns - len(INDENT)))


def document(waiting: Sequence[IncidentRow], people: People, now: float) -> dict[str, Any]:
    """Return the document of `approvals --format json`."""
    return {"schema": SCHEMA, "now": now, "approvals": [_one(one, people, now) for one in waiting]}


def _one(one: IncidentRow, people: People, now: float) -> dict[str, Any]:
    said = people.approvals.get(one.id)
    return {
        "id": one.id,
        "runbook": one.runbook,
        "host": one.host,
        "detector": one.detector,
        "subject": one.subject,
        "severity": one.severity,
        "opened": one.opened,
        "reason": one.data.get("reason") or None,
        "digest": one.data.get("digest") or None,
        "steps": [dict(step) for step in asked(one)],
        "allowed": allowed(one, people, now),
        "said": None if said is None else
        {"granted": said.granted, "by": said.by, "at": said.at, "until": said.until, "digest": said.digest,
         "reason": said.reason or None},
        "command": f"runbook approve {one.id}",
    }  # fmt: skip
