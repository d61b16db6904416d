"""What many hosts have in common: findings that are alike, of as many hosts as have them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from runbook.engine.report import evidence, words
from runbook.engine.report.ranges import natural
from runbook.modules.frozen import frozen, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from runbook.engine.report.passes import IncidentReport, OperationReport, RunReport, StepReport

One = TypeVar("One")

_RANKS: Final = {  # the worst stands last, next to the last line
    state: rank
    for rank, states in enumerate((
        ("succeeded", "cured", "planned", "skipped"),
        ("pending", "running", "stopped"),
        ("waiting", "verifying", "recovering"),
        ("observed", "suppressed", "open"),
        ("unverified", "interrupted"),
        ("unhealed", "failed"),
    ))
    for state in states
}  # fmt: skip
_ID: Final = re.compile(r"\b(?=[a-f]*[0-9])[0-9a-f]{8,}\b")
_AMOUNT: Final = re.compile(r"(?:[0-9]+(?:[.,:][0-9]+)*(?: ?(?:[kMGTPE]?i?B|ms|[smhd%]|°C)(?![A-Za-z]))?)+")
_PARTS: Final = 2  # subjects that are told apart
_LONGEST: Final = 500  # characters of a text that are compared


@frozen
class Group(Generic[One]):
    """Findings of several hosts that are alike."""

    members: tuple[tuple[str, One], ...]  # with their hosts, in natural order

    @property
    def first(self) -> One:
        """The one that stands for all."""
        return self.members[0][1]

    @property
    def hosts(self) -> tuple[str, ...]:
        """Whose they are."""
        return tuple(dict.fromkeys(host for host, _ in self.members))


def incidents(run: RunReport) -> list[Group[IncidentReport]]:
    """Return a run's incidents, the alike in groups; about one subject where that is alike too."""
    found = [(host.name, one) for host in run.hosts.values() for one in host.incidents]
    groups = [one for group in grouped(found, _kind) for one in _by_subject(group)]
    place = {name: number for number, name in enumerate(run.order)}
    return sorted(
        groups,
        key=lambda group: (rank(group), place.get(group.first.detector, len(place)), group.first.detector),
    )


def operations(run: RunReport) -> list[Group[OperationReport]]:
    """Return a run's operations, the alike in groups; a host that can't be reached has nothing to tell of one."""
    found = [(host.name, one) for host in run.hosts.values() for one in host.operations
             if not (host.unreachable and one.state == "running")]  # fmt: skip
    place = {name: number for number, name in enumerate(run.planned)}
    kind = _said if run.command == "run" else _operated
    return sorted(
        grouped(found, kind),
        key=lambda group: (place.get(group.first.name, len(place)), _RANKS.get(group.first.state, 0)),
    )


def steps(run: RunReport) -> list[Group[StepReport]]:
    """Return the steps that stand by themselves, the alike in groups."""
    found = [(host.name, one) for host in run.hosts.values() for one in host.steps]
    return grouped(found, _stepped)


def unknown(run: RunReport) -> list[tuple[tuple[str, ...], tuple[str, ...], str]]:
    """Return detectors, hosts that they could not see, and why not."""
    return _unseen(run, "unknown")


def absent(run: RunReport) -> list[tuple[tuple[str, ...], tuple[str, ...], str]]:
    """Return detectors, hosts that lack what they look at, and what is lacking."""
    return _unseen(run, "absent")


def unreachable(run: RunReport) -> list[tuple[tuple[str, ...], str]]:
    """Return hosts that did not answer, and why not."""
    found = [(host.name, host.unreachable) for host in run.hosts.values() if host.unreachable]
    return [(group.hosts, group.first) for group in grouped(found, lambda host, reason: alike(reason, host))]


def messages(said: Iterable[tuple[str, str]]) -> list[Group[str]]:
    """Return messages of hosts, the alike in groups."""
    return grouped(said, lambda host, text: alike(text, host))


def merged(group: Group[IncidentReport]) -> IncidentReport:
    """Return one incident that says what is true of all of a group."""
    ones = [one for _, one in group.members]
    first = ones[0]
    fields = {name: value for name, value in first.fields.items() if all(one.fields.get(name) == value for one in ones)}
    return replace(
        first,
        id="",
        subject=_same("" if one.subject == host else one.subject for host, one in group.members) or "",
        evidence=_between(ones),
        fields=fields,
        reason=_typical([one.reason for one in ones], group.hosts[0]),
        after=_typical([one.after for one in ones], group.hosts[0]),
        steps=tuple(
            _step([one.steps[place] for one in ones], group.hosts[0]) for place in range(len(first.steps))
        ),
        count=_same(one.count for one in ones) or 1,
        duration=None,
        recovery=None,
        verified=None,
    )  # fmt: skip


def operated(group: Group[OperationReport]) -> OperationReport:
    """Return one operation that says what is true of all of a group."""
    ones = [one for _, one in group.members]
    host = group.hosts[0]
    several = range(len(group.first.steps))
    steps = tuple(_step([one.steps[place] for one in ones], host) for place in several)
    error = group.first.error
    named = re.search(rf"(?<![\w-]){re.escape(host)}(?![\w-])", error)
    return replace(group.first, steps=steps, error=error if named else _typical([one.error for one in ones], host))


def spent(durations: Iterable[float | None]) -> str:
    """Return how long it took: `2s`, or `2s to 5m` where it took longer here than there."""
    known = sorted(one for one in durations if one is not None)
    if not known:
        return ""
    least, most = words.duration(known[0]), words.duration(known[-1])
    return least if least == most else f"{least} to {most}"


def alike(text: str, host: str = "") -> str:
    """Return a text without what differs between hosts that say the same: their names, ids and amounts."""
    text = text[:_LONGEST]
    if host and host in text:
        text = re.sub(rf"(?<![\w-]){re.escape(host)}(?![\w-])", "@", text)
    return _AMOUNT.sub("#", _ID.sub("#", text))


def grouped(found: Iterable[tuple[str, One]], kind: Callable[[str, One], Hashable]) -> list[Group[One]]:
    """Return what hosts have in groups of the same kind, in the order in which the kinds occur."""
    groups: dict[Hashable, list[tuple[str, One]]] = {}
    for host, one in found:
        groups.setdefault(kind(host, one), []).append((host, one))
    return [Group(tuple(sorted(group, key=lambda each: natural(each[0])))) for group in groups.values()]


def _by_subject(group: Group[IncidentReport]) -> list[Group[IncidentReport]]:
    """Part a group where a few subjects occur on several hosts each; else it is about all of them together."""
    parts = grouped(group.members, _about)
    several = [part for part in parts if len(part.hosts) > 1]
    if not several or len(several) > _PARTS:
        return [group]
    others = [member for part in parts if len(part.hosts) == 1 for member in part.members]
    return [*several, *([Group(tuple(others))] if others else [])]


def rank(group: Group[IncidentReport]) -> int:
    """Return how bad it is."""
    return _RANKS.get(group.first.state, 0)


def _about(host: str, one: IncidentReport) -> str:
    return "" if one.subject == host else one.subject


def _kind(host: str, one: IncidentReport) -> Hashable:
    told = tuple(_stepped(host, step) for step in one.steps)
    signature = one.fields.get("signature") if isinstance(one.fields.get("signature"), str) else ""
    return one.detector, one.state, one.by_itself, bool(one.root), signature, alike(one.reason, host), told


def _operated(host: str, one: OperationReport) -> Hashable:
    told = tuple(_stepped(host, step) for step in one.steps)
    return one.name, one.state, one.fallback, one.would, alike(one.error, host), one.attempts > 1, told


def _said(host: str, one: OperationReport) -> Hashable:
    """Of a step by itself, what it printed and changed is what was asked for: to the letter."""
    return _operated(host, one), tuple((step.output, step.diff, step.exit_code) for step in one.steps)


def _stepped(host: str, one: StepReport) -> Hashable:
    done = ", ".join(f"{each.get('action')} {each.get('what')}" for each in one.actions)
    said = alike(one.output, host) if one.failed else ""
    return one.title or one.module, one.state, one.phase, one.changed, alike(one.error, host), alike(done, host), said


def _unseen(run: RunReport, which: str) -> list[tuple[tuple[str, ...], tuple[str, ...], str]]:
    reasons: dict[tuple[str, str], dict[str, str]] = {}  # by detector and reason: each host's own words
    for host in run.hosts.values():
        for one in getattr(host, which):
            reasons.setdefault((one.detector, alike(one.reason, host.name)), {})[host.name] = one.reason
    together: dict[tuple[tuple[str, ...], str], tuple[list[str], str]] = {}
    for (detector, reason), hosts in reasons.items():
        names = tuple(sorted(hosts, key=natural))
        detectors, _ = together.setdefault((names, reason), ([], hosts[names[0]]))
        detectors.append(detector)
    return [(tuple(detectors), names, reason) for (names, _), (detectors, reason) in together.items()]


def _between(ones: Sequence[IncidentReport]) -> str:
    same = _same(one.evidence for one in ones)
    if same is not None:
        return same
    return evidence.between([one.fields for one in ones], ones[0].when, [one.subject for one in ones])


def _step(steps: Sequence[StepReport], host: str) -> StepReport:
    first = steps[0]
    whats: list[Sequence[Mapping[str, Any]]] = [one.actions for one in steps]
    actions = first.actions
    if actions and any(other != actions for other in whats):
        note = f"{actions[-1].get('what', '')} (on {host}, the others alike)"
        actions = (*actions[:-1], {**actions[-1], "what": note})
    longest = max(one.duration for one in steps)
    return replace(first, actions=actions, error=_typical([one.error for one in steps], host), duration=longest)


def _typical(texts: Sequence[str], host: str) -> str:
    """Return what all say, or what the first one says, with whose words they are."""
    same = _same(texts)
    return same if same is not None else f"{texts[0]} (on {host}, the others alike)" if texts[0] else ""


def _same(values: Iterable[One]) -> One | None:
    """Return the one value that all have, or None."""
    found = list(dict.fromkeys(values))
    return found[0] if len(found) == 1 else None
