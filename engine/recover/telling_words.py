"""What the messages of `tell` say. What hosts wrote is in them as text, and nothing else."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.decide.guards import moment
from runbook.engine.language import params
from runbook.engine.language.amounts import format_duration, format_size
from runbook.engine.model import IncidentState
from runbook.modules import catalogue
from runbook.modules.declare import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook.engine.language.params import Parameter
    from runbook.engine.model import Detector
    from runbook.engine.recover.state import Incident

_LISTED: Final = 20  # hosts, or subjects, that a message names
_LONGEST: Final = 200  # characters of a value
_SAID: Final = {"waiting": "waits for a person", "remind": "is still there", "unhealed": "was not cured",
                "cured": "is over", "well": "is over"}  # fmt: skip
_GOES_ON: Final = {
    IncidentState.OPEN: "nothing is done yet",
    IncidentState.OBSERVED: "it is only observed",
    IncidentState.SUPPRESSED: "its recovery is held back",
    IncidentState.WAITING: "it waits for a person",
    IncidentState.RECOVERING: "its recovery is going on",
    IncidentState.VERIFYING: "its recovery is done, and whether that helped is being looked at",
    IncidentState.CURED: "it is over already",
}


def written(detector: Detector, kind: str, incidents: Sequence[Incident], now: float) -> tuple[str, str]:
    """Return title and message about incidents of one detector.

    Args:
        detector: whose they are.
        kind: open, waiting, remind, unhealed, cured, or well: what was in vain is well again.
        incidents: at least one, in order.
        now: seconds since the epoch.
    """
    hosts = [*dict.fromkeys(incident.host for incident in incidents)]
    where = hosts[0] if len(hosts) == 1 else f"{len(hosts)} hosts"
    said = _SAID.get(kind, "")
    title = " ".join(part for part in (detector.name, f"on {where}", said) if part)
    if len(incidents) == 1:
        lines = [_about(detector, incidents[0]), *_more(detector, kind, incidents[0], now)]
    else:
        shown = [_about(detector, incident) for incident in incidents[:_LISTED]]
        rest = len(incidents) - len(shown)
        lines = [*shown, *([f"and {rest} more"] if rest else []), *_together(kind, incidents)]
    return title, "\n".join(lines)


def _about(detector: Detector, incident: Incident) -> str:
    subject = f" · {_short(incident.subject)}" if incident.subject not in {"", incident.host} else ""
    known = params.record_fields(catalogue.probe(detector.probe))
    seen = ", ".join(
        f"{name.removesuffix('_percent').replace('_', ' ')} {_valued(known.get(name), value)}"
        for name, value in _evidence(detector, incident)
    )
    return f"{incident.host}{subject}" + (f": {seen}" if seen else "")


def _evidence(detector: Detector, incident: Incident) -> list[tuple[str, Any]]:
    """Return the fields that the condition is about, as they were seen; without a condition, what tells most."""
    names = detector.when.names if detector.when is not None else ("summary", "message", "line")
    return [(name, incident.fields[name]) for name in sorted(names) if incident.fields.get(name) not in (None, "")]


def _more(detector: Detector, kind: str, incident: Incident, now: float) -> list[str]:
    since = f"since {moment(incident.since)} ({format_duration(round(now - incident.since))})"
    if kind == "well":
        return [f"it is well again, {format_duration(round(now - incident.since))} after it was told last"]
    if kind == "cured":
        how = "" if incident.begun is not None else ", by itself"
        return [f"it lasted {format_duration(round((incident.closed or now) - incident.since))}{how}"]
    if kind == "unhealed":
        why = incident.reason or "; ".join(incident.errors) or incident.state.value
        return [since, f"{incident.state.value}: {_short(why)}"]
    if kind == "waiting" or incident.state is IncidentState.WAITING:
        steps = ", ".join(str(each.get("step") or each.get("module")) for each in incident.asked)
        return [since, f"runbook approve {incident.id}" + (f"   # {_short(steps)}" if steps else "")]
    goes_on = _GOES_ON.get(incident.state, incident.state.value)
    if not detector.recover and incident.state is IncidentState.OPEN:
        goes_on = "its detector has no `recover`: nothing is done about it"
    reason = f": {_short(incident.reason)}" if incident.reason and incident.state is not IncidentState.CURED else ""
    return [since, f"{goes_on}{reason}"]


def _together(kind: str, incidents: Sequence[Incident]) -> list[str]:
    if kind in {"cured", "well"}:
        return []
    states = Counter(incident.state.value for incident in incidents)
    lines = [", ".join(f"{count} {state}" for state, count in states.most_common())]
    return [*lines, "see `runbook approvals`"] if states.get("waiting") else lines


def _valued(field: Parameter | None, value: Any) -> str:
    """Return a field's value in the unit that it is of."""
    if field is None or isinstance(value, bool) or not isinstance(value, int | float):
        return _short(value)
    if field.kind is Kind.SIZE:
        return format_size(value)
    if field.kind is Kind.DURATION:
        return format_duration(round(value, 1))
    if field.kind is Kind.PERCENT:
        return f"{value:.4g}%"
    return _short(value)


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
