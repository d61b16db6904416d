"""What people said while a runbook is watched: its log tells of that, though other programs wrote it down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.journal.facts import Fact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.people import People
    from runbook.engine.recover.state import State


def spoken(before: People, state: State, now: float) -> Iterator[Fact]:
    """Yield what people have said since, as facts of this run: about its incidents, and about hosts.

    Args:
        before: what was known that they had said.
        state: what is known now.
        now: seconds since the epoch.
    """
    after = state.people
    about = {each.id: each for each in (*state.ended.values(), *state.incidents.values())}

    def fact(kind: str, at: float, incident: str, **data: object) -> Iterator[Fact]:
        one = about.get(incident)
        if one is not None:
            where = (one.host, one.detector, one.subject, incident)
            yield Fact(kind, at, state.plan.run, *where, data=data)

    for name, word in after.approvals.items():
        if word != before.approvals.get(name):
            kind = "approval.given" if word.granted else "approval.refused"
            yield from fact(kind, word.at, name, by=word.by, reason=word.reason, until=word.until)
    for name, ack in after.acks.items():
        if ack != before.acks.get(name):
            yield from fact("incident.acked", ack.at, name, by=ack.by, reason=ack.reason, until=ack.until)
    for name in before.acks.keys() - after.acks.keys():
        if name in about and about[name].closed is None:
            yield from fact("incident.unacked", now, name)
    known = {each.id for each in before.maintenance}
    for each in after.maintenance:
        if each.id not in known:
            data = {"hosts": each.hosts, "by": each.by, "reason": each.reason, "until": each.until}
            yield Fact("maintenance.begun", each.since, state.plan.run, data=data)
    for gone in known - {each.id for each in after.maintenance}:
        hosts = next(each.hosts for each in before.maintenance if each.id == gone)
        yield Fact("maintenance.ended", now, state.plan.run, data={"hosts": hosts})
