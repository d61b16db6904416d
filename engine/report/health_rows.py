"""The rows of the health report: what was seen of each subject, or of all the hosts where it is alike."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from runbook.engine.report import evidence, folded, words
from runbook.engine.report.blocks import pending
from runbook.engine.report.ranges import natural, written
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbook.engine.report.folded import Group
    from runbook.engine.report.passes import HostReport, IncidentReport, RunReport, Well

_DAY: Final = 86400.0
_NAMED: Final = 160  # columns of names of hosts in one row


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
        since = incident.since if incident.since is not None and incident.since < run.started - 1 else None
        saw = (incident.after if incident.state == "cured" else "") or incident.evidence
        saw = saw.removeprefix(f"{words.printable(incident.subject)}: ") if incident.subject else saw
        times = f" ({incident.count} times)" if incident.count > 1 else ""
        if incident.state == "pending":
            times = f" ({pending(incident)})"
        yield Row(incident.state, incident.detector, where(incident.subject), saw + times, _since(since, run.started))
    for state, several_unseen in (("unknown", host.unknown), ("absent", host.absent)):
        for unseen in several_unseen:
            for subject in unseen.subjects or ("",):
                yield Row(state, unseen.detector, where(subject), unseen.reason)
    if host.unreachable:
        yield Row("unreachable", "", host.name, host.unreachable)


def _since(since: float | None, now: float) -> str:
    """Return how long it has been so, with the time of day where it began today; nothing = only now."""
    if since is None:
        return ""
    lasted = words.duration(now - since)
    return f"{datetime.fromtimestamp(since).astimezone():%H:%M}, {lasted}" if now - since < _DAY else lasted


def across(run: RunReport) -> list[Row]:
    """Return a row for each finding, of as many hosts as have it, in the order of the runbook."""
    order = {name: place for place, name in enumerate(run.order)}
    found = [*_well(run), *(_fired(group, run) for group in folded.incidents(run)), *_unseen(run)]
    return sorted(found, key=lambda row: (order.get(row.what.partition(", ")[0], len(order)), row.what))


def _well(run: RunReport) -> Iterator[Row]:
    groups: dict[tuple[str, str], list[tuple[str, Well]]] = {}
    for host in run.hosts.values():
        fired = {(one.detector, one.subject) for one in host.incidents}
        others = {one.detector for group in (host.incidents, host.unknown, host.absent) for one in group}
        others |= {one.detector for one in host.well if one.fields}
        for one in host.well:
            if (one.detector, one.subject) not in fired and (one.fields or one.detector not in others):
                state = "holds" if one.holds else "not so" if one.is_input else "well"
                groups.setdefault((state, one.detector), []).append((host.name, one))
    for (state, detector), members in groups.items():
        ones = [one for _, one in members]
        saw = ones[0].evidence
        if any(one.evidence != saw for one in ones):
            saw = evidence.between([one.fields for one in ones], ones[0].when, [one.subject for one in ones])
        places = [(host, one.subject) for host, one in members]
        hosts = list(dict.fromkeys(host for host, _ in places))
        many = f"{len(places)} times " if len(places) > len(hosts) else ""
        yield Row(state, detector, _hosts(hosts), _told(f"{many}{saw}", places))


def _fired(group: Group[IncidentReport], run: RunReport) -> Row:
    one = folded.merged(group) if len(group.members) > 1 else group.first
    saw = (one.after if one.state == "cured" else "") or one.evidence
    saw += f" ({pending(one)})" if one.state == "pending" else f" ({one.count} times)" if one.count > 1 else ""
    begun = [each.since for _, each in group.members if each.since is not None and each.since < run.started - 1]
    told = _told(saw, [(host, each.subject) for host, each in group.members], group.hosts)
    return Row(one.state, one.detector, _hosts(group.hosts), told, _since(min(begun, default=None), run.started))


def _unseen(run: RunReport) -> Iterator[Row]:
    for detectors, hosts, reason in folded.unknown(run):
        yield Row("unknown", _first(detectors), _hosts(hosts), _told(reason, [], hosts))
    for detectors, hosts, reason in folded.absent(run):
        yield Row("absent", _first(detectors), _hosts(hosts), reason)
    for hosts, reason in folded.unreachable(run):
        yield Row("unreachable", "", _hosts(hosts), _told(reason, [], hosts))


def _first(detectors: Sequence[str]) -> str:
    return detectors[0] if len(detectors) == 1 else f"{detectors[0]}, {len(detectors) - 1} more"


def _hosts(hosts: Sequence[str]) -> str:
    return hosts[0] if len(hosts) == 1 else f"{len(hosts)} hosts"


def _told(saw: str, places: Sequence[tuple[str, str]], hosts: Sequence[str] = ()) -> str:
    """Return what was seen, before it the subject where it is the same on all hosts, and behind it their names."""
    subjects = {"" if subject == host else subject for host, subject in places}
    subject = next(iter(subjects)) if len(subjects) == 1 else ""
    named = f" ({written(hosts, _NAMED)})" if len(hosts) > 1 else ""
    return f"{subject}: {saw}{named}".removeprefix(": ").removesuffix(": ")
