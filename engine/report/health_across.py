"""The rows of the health report of many hosts: a row for each finding, of as many as have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runbook.engine.report import evidence, folded, words
from runbook.engine.report.blocks import pending
from runbook.engine.report.health_rows import Row, since
from runbook.engine.report.ranges import written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbook.engine.report.folded import Group
    from runbook.engine.report.passes import IncidentReport, RunReport, Well

_NAMED: Final = 160  # columns of names of hosts in one row


def rows(run: RunReport) -> list[Row]:
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
    return Row(one.state, one.detector, _hosts(group.hosts), told, since(min(begun, default=None), run.started))


def _unseen(run: RunReport) -> Iterator[Row]:
    for detectors, hosts, reason in folded.unknown(run):
        yield Row("unknown", _first(detectors), _hosts(hosts), _told(words.one_line(reason), [], hosts))
    for detectors, hosts, reason in folded.absent(run):
        yield Row("absent", _first(detectors), _hosts(hosts), words.one_line(reason))
    for hosts, reason in folded.unreachable(run):
        what = reason.splitlines()[0].partition(": ")[0]  # the rest stands in a block below the table
        yield Row("unreachable", "", _hosts(hosts), _told(what, [], hosts))


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
