"""Correlations with a `subject:`: their members join on its value, on whatever hosts they hold, such as one job."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from runbook.engine.detect import correlate as joining
from runbook.engine.detect.judge import disjunction
from runbook.engine.errors import RenderError
from runbook.engine.language.names import members as typed
from runbook.engine.model import UNKNOWN, Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook.engine.detect.correlate import Said
    from runbook.engine.detect.judge import Verdict
    from runbook.engine.model import Detector
    from runbook.engine.recover.state import Turn


def say(turn: Turn, detector: Detector, host: str, judged: Mapping[str, Sequence[Verdict] | None]) -> None:
    """Remember what a host's look says of each value that members join on; None = nothing is known of a member."""
    said = turn.write("said")
    for name in set(detector.members) & judged.keys():
        verdicts = judged[name]
        by_value: dict[str, list[Verdict]] = defaultdict(list)
        for verdict in verdicts or ():
            value = _value(turn, detector, name, host, verdict)
            if value:
                by_value[value].append(verdict)
        known = {parts[2] for _, parts in _of(turn, detector, host) if parts[0] == name}
        for value in known | by_value.keys():
            found = by_value[value]
            holds = UNKNOWN if verdicts is None else disjunction(verdict.holds for verdict in found)
            place = (host, joining.place(name, detector.name, value))
            said[place] = joining.say(said.get(place), found, holds, turn.now)


def correlate(turn: Turn, detector: Detector) -> dict[str, list[Verdict]]:
    """Return what the correlation says of each value, by the host that it belongs to.

    That is where its incident or its hold is, else the first of the hosts where a member holds. While hosts have yet to
    answer in this round, nothing is said.
    """
    found: dict[str, list[Verdict]] = {host: [] for host, _ in _homes(turn, detector)}
    if turn.awaited:
        return {}
    for value, words in _by_value(turn, detector).items():
        home = _home(turn, detector, value, words)
        own = turn.read("said").get((home, joining.place(detector.name, detector.name, value)))
        said = {name: joining.together(list(by_host.values())) for name, by_host in words.items()}
        verdict = joining.correlate(detector, said | ({detector.name: own} if own is not None else {}), turn.now)
        found.setdefault(home, []).append(replace(verdict, subject=value))
        _remember(turn, detector, home, value, verdict, words)
    return found


def _remember(
    turn: Turn, detector: Detector, home: str, value: str, verdict: Verdict, words: Mapping[str, Mapping[str, Said]]
) -> None:
    """Keep the correlation's own word of a value while it means something, and forget what nobody tells of any more."""
    said = turn.write("said")
    place = (home, joining.place(detector.name, detector.name, value))
    horizon = turn.now - (detector.within or 0.0)
    every = [each for by_host in words.values() for each in by_host.values()]
    if any(each.holds is not False or (each.true_at or 0.0) > horizon for each in every):
        said[place] = joining.say(said.get(place), [verdict], verdict.holds, turn.now)
    elif turn.incident((home, detector.name, value)) is None:
        said.pop(place, None)
        for name, by_host in words.items():
            for host in by_host:
                said.pop((host, joining.place(name, detector.name, value)), None)


def _value(turn: Turn, detector: Detector, member: str, host: str, verdict: Verdict) -> str:
    """Return what a member's record joins on; empty where it has no such thing."""
    assert detector.subject is not None
    fields = typed(turn.plan.detector(member).probe, verdict.record.fields)
    try:
        named = detector.subject.evaluate(turn.plan.scopes[host].bind(record=fields))
    except RenderError:
        return ""
    return "" if named is None or isinstance(named, Unknown) else str(named)


def _of(turn: Turn, detector: Detector, host: str | None = None) -> list[tuple[str, tuple[str, str, str]]]:
    """Return what is remembered for a correlation: hosts, and member, correlation and value."""
    return [
        (place, parts)
        for place, name in turn.read("said")
        if host in (None, place) and (parts := joining.parted(name)) is not None and parts[1] == detector.name
    ]


def _by_value(turn: Turn, detector: Detector) -> dict[str, dict[str, dict[str, Said]]]:
    """Return what was said: by value, by member, by host."""
    found: defaultdict[str, dict[str, dict[str, Said]]] = defaultdict(dict)
    for host, (name, _, value) in sorted(_of(turn, detector)):
        if name != detector.name:
            said = turn.read("said")[host, joining.place(name, detector.name, value)]
            found[value].setdefault(name, {})[host] = said
    return dict(sorted(found.items()))


def _home(turn: Turn, detector: Detector, value: str, words: Mapping[str, Mapping[str, Said]]) -> str:
    known = next((host for host, subject in _homes(turn, detector) if subject == value), None)
    holding = [host for by_host in words.values() for host, said in by_host.items() if said.holds is True]
    return known or min(holding, default=min(host for by_host in words.values() for host in by_host))


def _homes(turn: Turn, detector: Detector) -> list[tuple[str, str]]:
    """Return host and value of each incident and hold of a correlation."""
    keys = [*turn.read("incidents"), *turn.read("holds")]
    return sorted({(host, subject) for host, name, subject in keys if name == detector.name})
