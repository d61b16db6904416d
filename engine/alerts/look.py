"""What alerts say of one host: a look like any other, made of what was heard and of what an earlier look remembered.

What fires is a state that the sender tells of when it changes, and now and then again. So it is remembered in the
detector's cursor, and a watch that was away goes on from there: what was resolved meanwhile an Alertmanager tells until
it is heard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runbook.engine.alerts.inbox import FORGOTTEN
from runbook.engine.alerts.payload import Alert, restored
from runbook.engine.errors import RenderError
from runbook.engine.language import params, render
from runbook.engine.model import UNKNOWN, Lacking, NotSeen, Record, Seen
from runbook.modules.probes.alert import Alert as AlertProbe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runbook.engine.alerts.homes import Homes
    from runbook.engine.alerts.inbox import Inbox
    from runbook.engine.model import Detector, Look
    from runbook.engine.recover.state import Plan

PROBE: Final = "alert"
DEAF: Final = "only `runbook watch --alerts ADDRESS` hears alerts"
OVER: Final = 86400.0  # seconds for which it is remembered that an alert was resolved
MOST: Final = 300  # alerts of one detector on one host
_SEVERAL: Final = 2.0  # repetitions without a word after which nothing is known any more
_LONGEST: Final = 160  # characters of a subject


def look(
    plan: Plan, detector: Detector, host: str, homes: Homes, inbox: Inbox | None, cursor: Mapping[str, Any], now: float
) -> Look:
    """Return what is known of a host by the alerts that a detector asks for.

    Args:
        plan: the run's.
        detector: of the probe `alert`.
        host: the host's name.
        homes: tells which host an alert is about.
        inbox: what was heard; None = nothing listens.
        cursor: what the look before remembered.
        now: seconds since the epoch.
    """
    if not plan.concerns(detector, host):
        return Lacking(f"its `hosts: {detector.hosts}` leave {host} out")
    if inbox is None:
        return Lacking(DEAF)
    try:
        given = wanted(plan, detector, host)
    except (RenderError, params.Wrong) as error:
        return NotSeen(str(error))
    known = {kept.fingerprint: kept for each in cursor.get("alerts", ()) if (kept := restored(each)) is not None}
    for alert in inbox.alerts(given.receiver):
        earlier = known.get(alert.fingerprint)
        if (earlier is None or earlier.heard <= alert.heard) and concerns(given, alert, homes) == host:
            known[alert.fingerprint] = alert
    groups = inbox.groups(given.receiver)
    alerts = [_left_out(each, groups) for each in known.values() if not _is_old(each, now)]
    if not alerts:
        return Seen()
    alerts = sorted(sorted(alerts, key=lambda each: each.heard)[-MOST:], key=lambda each: each.fingerprint)
    records = tuple(_record(each, given, now) for each in alerts)
    return Seen(records, {"alerts": [each.kept() for each in alerts]})


def wanted(plan: Plan, detector: Detector, host: str) -> AlertProbe:
    """Return what a detector asks for, filled in.

    Raises:
        RenderError: it can't be.
        Wrong: a value does not fit.
    """
    given = render.probe(PROBE, detector.params, plan.scopes[host], path=detector.path)
    made: AlertProbe = params.build(AlertProbe, given)
    return made


def concerns(given: AlertProbe, alert: Alert, homes: Homes) -> str | None:
    """Return the host that an alert is about, where a detector asks for such; empty: none of ours; None: not asked."""
    labels = alert.labels
    names = given.alertname
    if names and labels.get("alertname") not in names:
        return None
    if any(labels.get(name) != str(value) for name, value in given.labels.items()):
        return None
    return homes.home(labels.get(given.host_label, "")) or ""


def detectors(plan: Plan, names: Iterable[str] | None = None) -> list[Detector]:
    """Return the detectors of a plan that ask for alerts; of some names, or all that are chosen."""
    found = [each for each in plan.runbook.detectors if each.probe == PROBE]
    return [each for each in found if (plan.chosen(each) if names is None else each.name in names)]


def subject(alert: Alert, host_label: str) -> str:
    """Return what tells an alert from others about its host: its name, and the labels that are left.

    The severity is no such: a warning and the same thing when it is critical are about one subject.
    """
    aside = {"alertname", "severity", host_label}
    more = ", ".join(f"{name}={value}" for name, value in alert.labels.items() if name not in aside)
    text = alert.labels.get("alertname", "") + (f"{{{more}}}" if more else "")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 20]}… {alert.fingerprint[:18]}"


def _record(alert: Alert, given: AlertProbe, now: float) -> Record:
    about = subject(alert, given.host_label)
    silent = alert.status == "firing" and (alert.left_out or now - alert.heard > _SEVERAL * given.repeat)
    fields = {
        "alert": about,
        "name": alert.labels.get("alertname", ""),
        "status": UNKNOWN if silent else alert.status,
        "severity": alert.labels.get("severity", ""),
        "summary": alert.summary,
        "instance": alert.labels.get("instance", ""),
        "job": alert.labels.get("job", ""),
        "starts_at": alert.starts_at,
        "age": max(0.0, now - alert.starts_at),
        "silent_for": max(0.0, now - alert.heard),
        "description": alert.description,
        "labels": dict(alert.labels),
        "fingerprint": alert.fingerprint,
        "generator_url": alert.generator_url,
        "receiver": given.receiver,
    }
    return Record(about, fields)


def _left_out(alert: Alert, groups: Mapping[str, float]) -> Alert:
    """Mark what its group's last message did not name: somebody silenced it, or its end was never told."""
    told = groups.get(alert.group)
    if alert.left_out or alert.status != "firing" or told is None or told <= alert.heard:
        return alert
    return Alert(**{**alert.kept(), "left_out": True})


def _is_old(alert: Alert, now: float) -> bool:
    return now - alert.heard > (OVER if alert.status == "resolved" else FORGOTTEN)
