"""The rows of the health report: what was seen of each subject."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from runbook.engine.report import words
from runbook.engine.report.blocks import pending
from runbook.engine.report.ranges import natural
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from runbook.engine.report.passes import HostReport, IncidentReport, RunReport

_DAY: Final = 86400.0


@frozen
class Row:
    """One subject of one detector on one host."""

    state: str
    what: str
    where: str
    saw: str
    since: str = ""

    @property
    def cells(self) -> tuple[str, str, str]:
        """What stands in columns of their own width."""
        return (self.state, self.what, self.where)


def rows(run: RunReport) -> list[Row]:
    """Return a row for each subject of each detector on each host, in the order of the runbook."""
    order = {name: place for place, name in enumerate(run.order)}
    several = len(run.hosts) > 1
    found = [row for host in run.hosts.values() for row in _of(host, run, several)]
    found.sort(key=lambda row: (order.get(row.what, len(order)), row.what, natural(row.where)))
    return [_folded(list(group)) for _, group in itertools.groupby(found, key=_lacking)]


def _lacking(row: Row) -> object:
    """Return what is the same for detectors that stand in a row and lack the same thing; no two other rows share it."""
    return (row.where, row.saw) if row.state == "absent" else id(row)


def _folded(group: Sequence[Row]) -> Row:
    first = group[0]
    return first if len(group) == 1 else replace(first, what=f"{first.what}, {len(group) - 1} more")


def _of(host: HostReport, run: RunReport, several: bool) -> Iterator[Row]:
    def where(subject: str) -> str:
        return f"{host.name}: {subject}" if several and subject else subject or host.name

    fired = {(one.detector, one.subject) for one in host.incidents}
    others = {one.detector for group in (host.incidents, host.unknown, host.absent) for one in group}
    others |= {one.detector for one in host.well if one.fields}
    for one in host.well:
        if (one.detector, one.subject) not in fired and (one.fields or one.detector not in others):
            nothing = "" if one.subject or one.fields else "nothing new"
            state = "holds" if one.holds else "not so" if one.is_input else "well"
            yield Row(state, one.detector, where(one.subject), one.evidence or nothing)
    for incident in host.incidents:
        begun = incident.since if incident.since is not None and incident.since < run.started - 1 else None
        saw = (incident.after if incident.state == "cured" else "") or incident.evidence
        saw = saw.removeprefix(f"{words.printable(incident.subject)}: ") if incident.subject else saw
        times = f" ({incident.count} times)" if incident.count > 1 else ""
        if incident.state == "pending":
            times = f" ({pending(incident)})"
        yield Row(incident.state, incident.detector, where(incident.subject), saw + times, since(begun, run.started))
    for state, several_unseen in (("unknown", host.unknown), ("absent", host.absent)):
        for unseen in several_unseen:
            for subject in unseen.subjects or ("",):
                yield Row(state, unseen.detector, where(subject), unseen.reason)
    if host.unreachable:
        yield Row("unreachable", "", host.name, host.unreachable)


def since(begun: float | None, now: float) -> str:
    """Return how long it has been so, with the time of day where it began today; nothing = only now."""
    if begun is None:
        return ""
    lasted = words.duration(now - begun)
    return f"{datetime.fromtimestamp(begun).astimezone():%H:%M}, {lasted}" if now - begun < _DAY else lasted


def more_to_say(one: IncidentReport, cut: AbstractSet[str]) -> bool:
    """Tell whether its row has not said everything about an incident; `cut`: the detectors whose rows are cut short."""
    if one.state == "pending":
        return False
    return bool(one.steps or one.reason or "line" in one.fields or one.detector in cut)
