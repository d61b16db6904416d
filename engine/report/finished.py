"""What a report lacks until nothing more comes: the order of the file, and what was left when a run was stopped."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from runbook.engine.report.passes import OperationReport

if TYPE_CHECKING:
    from runbook.engine.report.passes import RunReport

STOPPED: Final = "the run was stopped"


def ordered(run: RunReport) -> RunReport:
    """Put incidents in the order of their detectors in the file, then of their subjects, however they came."""
    hosts = dict(run.hosts)
    for name, host in run.hosts.items():
        if len(host.incidents) > 1:
            seen = dict.fromkeys((*run.order, *(one.detector for one in host.incidents)))
            place = {detector: number for number, detector in enumerate(seen)}
            incidents = sorted(host.incidents, key=lambda one, place=place: (place[one.detector], one.subject))  # type: ignore[misc]
            hosts[name] = replace(host, incidents=tuple(incidents))
    return replace(run, hosts=hosts)


def cut_short(run: RunReport) -> RunReport:
    """Say of a run that was stopped which operations it left, and which it did not reach."""
    hosts = {}
    for name, host in run.hosts.items():
        known = tuple(replace(one, state="stopped") if one.state == "running" else one for one in host.operations)
        reached = {one.name for one in known}
        left = (OperationReport(each, "skipped", error=STOPPED) for each in run.planned if each not in reached)
        hosts[name] = replace(host, operations=(*known, *left))
    return replace(run, hosts=hosts)
