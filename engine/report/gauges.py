"""What is known at the moment, as gauges: computed when somebody asks, from the last state of each runbook."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

from runbook.engine.detect import components
from runbook.engine.model import IncidentState, Severity, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client import Metric

    from runbook.engine.recover.state import State

    Absent = Mapping[tuple[str, str], float]  # by host and detector: when it was lacking last

STANDINGS: Final = ("active", "standby", "observing", "stopped")
DETECTOR: Final = ("well", "holds", "pending", "ill", "unknown", "absent", "unseen")
HOST: Final = ("well", "ill", "waiting", "recovering", "unreachable")
_LIVE: Final = tuple(each.value for each in IncidentState if not each.ended and each is not IncidentState.PENDING)


def build(about: Mapping[str, str]) -> Metric:
    """Return what this program is."""
    return InfoMetricFamily("runbook_build", "The version of runbook.", value=dict(about))


def journal(size: int) -> Metric:
    """Return how large the journal is."""
    return GaugeMetricFamily("runbook_journal_bytes", "The size of the journal, with what is not folded in yet.", size)


def standing(known: Mapping[str, tuple[str, int]]) -> Iterator[Metric]:
    """Yield what the watch does about each runbook."""
    up = GaugeMetricFamily("runbook_watch_up", "1: the watch acts on this runbook; 0: it does not.", labels=["runbook"])
    stands = GaugeMetricFamily(
        "runbook_watch_standing", "1 for what the watch does about a runbook.", labels=["runbook", "standing"]
    )
    epoch = GaugeMetricFamily(
        "runbook_watch_epoch", "Grows by one each time a watch takes the runbook over.", labels=["runbook"]
    )
    for name, (what, number) in sorted(known.items()):
        up.add_metric([name], float(what == "active"))
        epoch.add_metric([name], number)
        for each in STANDINGS:
            stands.add_metric([name, each], float(each == what))
    yield from (up, stands, epoch)


def states(known: Mapping[str, State], absent: Mapping[str, Absent]) -> Iterator[Metric]:
    """Yield what is known of each runbook's detectors, incidents, hosts and components."""
    detectors = GaugeMetricFamily(
        "runbook_detectors", "On how many hosts a detector is in a state.", labels=["runbook", "detector", "state"]
    )
    incidents = GaugeMetricFamily(
        "runbook_incidents", "Incidents that are not over.", labels=["runbook", "state", "severity"]
    )
    hosts = GaugeMetricFamily("runbook_hosts", "How many hosts are in a state.", labels=["runbook", "state"])
    errors = GaugeMetricFamily(
        "runbook_component_error_ratio",
        "How many of the last attempts failed, 0 to 1.",
        labels=["runbook", "component"],
    )
    levels = GaugeMetricFamily(
        "runbook_component_level", "1 for the health level of a component, at its worst on any host.",
        labels=["runbook", "component", "level"],
    )  # fmt: skip
    for name, state in sorted(known.items()):
        for (detector, what), count in sorted(_detectors(state, absent.get(name, {})).items()):
            detectors.add_metric([name, detector, what], count)
        live = Counter((each.state.value, each.severity) for each in state.incidents.values())
        for what in _LIVE:
            for severity in Severity:
                incidents.add_metric([name, what, severity.value], live[what, severity.value])
        there = Counter(_hosts(state).values())
        for what in HOST:
            hosts.add_metric([name, what], there[what])
        for component, (ratio, level) in sorted(_components(state).items()):
            errors.add_metric([name, component], ratio)
            for each in components.LEVELS:
                levels.add_metric([name, component, each], float(each == level))
    yield from (detectors, incidents, hosts, errors, levels)


def _detectors(state: State, absent: Absent) -> Counter[tuple[str, str]]:
    """Count by detector and state the hosts that it looks at."""
    plan = state.plan
    found: Counter[tuple[str, str]] = Counter()
    ill = {key[:2] for key in state.incidents}
    pending = {key[:2] for key in state.holds}
    for detector in plan.runbook.detectors:
        name = detector.name
        if not plan.chosen(detector) or detector.probe == "error":
            continue
        found.update({(name, what): 0 for what in DETECTOR})
        for host in plan.scopes:
            if not plan.concerns(detector, host):
                continue
            said = state.said.get((host, name))
            if (host, name) in ill:
                what = "ill"
            elif said is None:
                what = "unseen"
            elif isinstance(said.holds, Unknown):
                what = "unknown"
            elif absent.get((host, name)) == said.at:
                what = "absent"
            elif said.holds and detector.is_input:
                what = "holds"
            else:
                what = "pending" if (host, name) in pending else "well"
            found[name, what] += 1
    return found


def _hosts(state: State) -> dict[str, str]:
    found = dict.fromkeys(state.plan.scopes, "well")
    for incident in state.incidents.values():
        if incident.host in found:
            what = "waiting" if incident.state is IncidentState.WAITING else "recovering" if incident.busy else "ill"
            found[incident.host] = max(found[incident.host], what, key=HOST.index)
    return found | {host: "unreachable" for host in state.unreached if host in found}


def _components(state: State) -> dict[str, tuple[float, str]]:
    """Return by component the share of the attempts of all hosts that failed, and the worst level that any gives."""
    found: dict[str, tuple[float, str]] = {}
    runbook, resets = state.plan.runbook, state.people.resets
    for name in components.fed(runbook):
        window = components.window(runbook, name)
        seen = [
            components.health(components.since(tried, name, host, resets)[-window:])
            for (host, component), tried in state.attempts.items()
            if component == name
        ]
        attempts = sum(each.attempts for each in seen)
        if attempts:
            failed = sum(each.attempts * (each.error_rate or 0.0) / 100.0 for each in seen)
            level: str | None = None
            for each in seen:
                level = components.worse(level, each.level)
            found[name] = (failed / attempts, level or "healthy")
    return found
