"""The report of a run over many hosts: what is alike is told once, and each host stands in one line of the recap."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from runbook.engine.report import folded, words
from runbook.engine.report.health_rows import more_to_say
from runbook.engine.report.lines import SIGNS, named, room, row
from runbook.engine.report.ranges import written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from runbook.engine.report.blocks import Blocks
    from runbook.engine.report.folded import Group
    from runbook.engine.report.paint import Paint
    from runbook.engine.report.passes import HostReport, IncidentReport, RunReport

_FEW: Final = 6  # hosts that are told one by one where each has something of its own to say
_LINES: Final = 3  # of the names of hosts that are not well
_LATE: Final = 3.0  # seconds
_IDS: Final = 4  # incidents that are named in a command
_STANDING: Final = {  # how a host stands, in the order of the recap, with the state whose sign it has
    "well": "cured",
    "done": "done",
    "healed": "cured",
    "not looked at": "skipped",
    "left out": "skipped",
    "pending": "pending",
    "waiting": "waiting",
    "unknown": "unknown",
    "unreachable": "unreachable",
    "unhealthy": "failed",
    "failed": "failed",
}
_CALM: Final = frozenset({"well", "done", "healed", "pending"})
_OF_A_STEP: Final = {"well": "done", "unhealthy": "failed"}  # what is known of a host after a step by itself


class Across:
    """Writes about many hosts for one reader."""

    def __init__(self, paint: Paint, blocks: Blocks, *, verbosity: int = 0, past: bool = False) -> None:
        self._paint = paint
        self._blocks = blocks
        self._named = partial(named, paint, whole=verbosity > 0)
        self._past = past
        self._quiet = verbosity < 0
        self._more = verbosity > 0

    def findings(self, run: RunReport, tabled: AbstractSet[str] | None = None) -> Iterator[list[str]]:
        """Yield a block for each finding, of as many hosts as have it; the worst ones last, of the past first.

        Args:
            run: what is told.
            tabled: the detectors that a table above has cut short; None = there is none.
        """
        parts = [
            self._operations(run),
            self._absent(run) if tabled is None and not self._quiet else (),
            self._incidents(run, tabled),
            self._steps(run),
            self._unknown(run, tabled),
            self._unreachable(run) if tabled is None or "" in tabled else (),
            self._late(run),
        ]
        for part in reversed(parts) if self._past else parts:
            yield from part

    def recap(self, run: RunReport) -> list[str]:
        """Return a line for each way in which hosts stand: how many, and which."""
        stands: dict[str, list[str]] = {state: [] for state in _STANDING}
        for host in run.hosts.values():
            stands[standing(run, host)].append(host.name)
        shown = {state: names for state, names in stands.items() if names and not (self._quiet and state in _CALM)}
        wide = max((len(state) for state in shown), default=0)
        digits = len(str(max((len(names) for names in shown.values()), default=0)))
        lines = []
        for state, names in shown.items():
            sign, colour = SIGNS[_STANDING[state]]
            columns = self._paint.columns - wide - digits - 6
            most = 0 if self._more else columns if state in _CALM else columns * _LINES - 20
            listed = written(names, most)
            first, *rest = words.wrapped(listed, columns)
            lines.append(f"{self._paint(sign, colour)} {state:<{wide}}  {len(names):>{digits}}  {first}")
            lines += [" " * (wide + digits + 6) + line for line in rest]
        return lines

    def _incidents(self, run: RunReport, tabled: AbstractSet[str] | None) -> Iterator[list[str]]:
        groups = folded.incidents(run)
        for group in sorted(groups, key=folded.rank, reverse=True) if self._past else groups:
            calm = group.first.state in ("cured", "pending")
            if not (self._quiet and calm) and (tabled is None or more_to_say(group.first, tabled)):
                yield self._incident(group, run)

    def _unknown(self, run: RunReport, tabled: AbstractSet[str] | None) -> Iterator[list[str]]:
        for detectors, hosts, reason in folded.unknown(run):
            if tabled is None or not tabled.isdisjoint(detectors):
                unseen = partial(self._blocks.unseen, "unknown", ", ".join(detectors), reason=reason)
                yield self._named(unseen, hosts)

    def _unreachable(self, run: RunReport) -> Iterator[list[str]]:
        for hosts, reason in folded.unreachable(run):
            yield self._named(partial(self._blocks.unseen, "unreachable", host="", reason=reason), hosts)

    def _late(self, run: RunReport) -> Iterator[list[str]]:
        """Say for whom recoveries waited: where they share a budget, all hosts are looked at before one begins."""
        if run.late >= _LATE and not self._quiet:
            waited = words.duration(run.late)
            named = words.printable(written(run.late_for, self._paint.columns))
            said = f"recoveries waited {waited} for {named}: who is recovered is decided when all have answered"
            yield [self._paint(line, "dim") for line in words.wrapped(said, self._paint.columns)]

    def _incident(self, group: Group[IncidentReport], run: RunReport) -> list[str]:
        if len(group.members) == 1:
            ((host, one),) = group.members
            return [*self._blocks.incident(one, host), *self._approve(group, run)]
        one = folded.merged(group)
        several = len(group.members) - len(group.hosts)
        times = f" ({len(group.members)} times)" if several and not one.subject else ""
        spent = folded.spent(each.spent for _, each in group.members)
        if len(group.members) > _FEW or one.evidence == group.first.evidence != "":
            first, *rest = self._named(lambda where: self._blocks.incident(one, where + times, spent), group.hosts)
            about = [] if one.subject else self._subjects(group)
            return [first, *rest, *about, *self._approve(group, run)]
        common = replace(one, evidence="")
        first, *rest = self._blocks.incident(common, _count(group.hosts) + times, spent)
        saw = [line for host, each in group.members for line in self._saw(host, each, common)]
        return [first, *saw, *rest, *self._approve(group, run)]

    def _saw(self, host: str, one: IncidentReport, common: IncidentReport) -> list[str]:
        about = f" · {words.printable(one.subject)}" if one.subject not in ("", host, common.subject) else ""
        times = f" ({one.count} times)" if one.count > 1 and one.state != "pending" else ""
        return row(self._paint, "saw", f"{words.printable(host)}{about}: {one.evidence}{times}".removesuffix(": "))

    def _subjects(self, group: Group[IncidentReport]) -> list[str]:
        subjects = [one.subject for host, one in group.members if one.subject not in ("", host)]
        return row(self._paint, "about", written(subjects, room(self._paint))) if subjects else []

    def _approve(self, group: Group[IncidentReport], run: RunReport) -> list[str]:
        """Say what a person can type about those that wait."""
        ids = [one.id for _, one in group.members if one.id]
        if group.first.state != "waiting" or run.check or self._past or not ids:
            return []
        named = " ".join(ids[:_IDS]) if len(ids) <= _IDS else f"{ids[0]} …"
        more = "" if len(ids) <= _IDS else f" (`runbook approvals` shows all {len(ids)})"
        return row(self._paint, "next", f"runbook approve {named}{more}")

    def _operations(self, run: RunReport) -> Iterator[list[str]]:
        for group in folded.operations(run):
            one, hosts = folded.operated(group), group.hosts
            if self._quiet and one.state in ("succeeded", "planned", "skipped"):
                continue
            where = _count(hosts)
            if one.state == "skipped":
                asked_for = not one.error or "--tags" in one.error
                if self._more or not asked_for:
                    yield self._blocks.skipped([one.name], one.error or "its `when` does not hold", where)
                continue
            spent = folded.spent(each.duration for _, each in group.members)
            if len(hosts) in (1, len(run.hosts)):
                yield self._blocks.operation(one, where, spent)
            else:
                yield self._named(partial(self._blocks.operation, one, spent=spent), hosts)

    def _steps(self, run: RunReport) -> Iterator[list[str]]:
        for group in folded.steps(run):
            if group.first.failed or self._more:
                yield self._named(partial(self._blocks.closing, group.first), group.hosts)

    def _absent(self, run: RunReport) -> Iterator[list[str]]:
        found = folded.absent(run)
        if found:
            each = (self._blocks.absent(detectors, reason, _count(hosts)) for detectors, hosts, reason in found)
            yield [line for lines in each for line in lines]


def standing(run: RunReport, host: HostReport) -> str:
    """Return how a host stands, as the recap calls it."""
    state = host.state
    if run.command == "run":
        return _OF_A_STEP.get(state, state)
    if state != "well":
        return state
    if any(one.hindered for one in host.operations):
        return "left out"
    if any(one.state == "pending" for one in host.incidents):
        return "pending"
    return "well" if run.looked is None or host.name in run.looked else "not looked at"


def _count(hosts: Sequence[str]) -> str:
    return hosts[0] if len(hosts) == 1 else f"{len(hosts)} hosts"
