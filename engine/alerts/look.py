"""What alerts say of one host: a look like any other, made of what was heard and of what an earlier look remembered.

What fires is a state that the sender tells of when it changes, and now and then again. So it is remembered in the
detector's cursor, and a watch that was away goes on from there: what was resolved meanwhile an Alertmanager tells until
it is heard.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.alerts.inbox import FORGOTTEN
from runbook.engine.alerts.payload import Alert, restored
from runbook.engine.errors import RenderError
from runbook.engine.language import params, render
from runbook.engine.model import UNKNOWN, Lacking, NotSeen, Record, Seen
from runbook.modules.probes.alert import Alert as AlertProbe

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from runbook.engine.alerts.residents import Residents
    from runbook.engine.model import Detector, Look
    from runbook.engine.recover.state import Plan

PROBE: Final = "alert"
DEAF: Final = "only `runbook watch --alerts ADDRESS` hears alerts"
OVER: Final = 86400.0  # seconds for which it is remembered that an alert was resolved
MOST: Final = 300  # alerts of one detector on one host
APART: Final = 50  # subjects of one detector on one host that are told apart: what is limited is limited for each
OTHERS: Final = "other alerts"  # the subject of all that come beyond
_SEVERAL: Final = 2.0  # repetitions without a word after which nothing is known any more
_LONGEST: Final = 160  # characters of a subject


def look(
    plan: Plan, detector: Detector, host: str, residents: Residents | None, cursor: Mapping[str, Any], now: float
) -> Look:
    """Return what is known of a host by the alerts that a detector asks for.

    Args:
        plan: the run's.
        detector: of the probe `alert`.
        host: the host's name.
        residents: what was heard; None = nothing listens.
        cursor: what the look before remembered.
        now: seconds since the epoch.
    """
    if not plan.concerns(detector, host):
        return Lacking(f"its `hosts: {detector.hosts}` leave {host} out")
    if residents is None:
        return Lacking(DEAF)
    try:
        given = wanted(plan, detector, host)
    except (RenderError, params.Wrong) as error:
        return NotSeen(str(error))
    known = {kept.fingerprint: kept for each in cursor.get("alerts", ()) if (kept := restored(each)) is not None}
    for alert in residents.alerts(host, given.receiver, given.host_label):
        earlier = known.get(alert.fingerprint)
        if (earlier is None or earlier.heard <= alert.heard) and asks(given, alert):
            known[alert.fingerprint] = alert
    groups = residents.groups(given.receiver)
    alerts = [_left_out(each, groups) for each in known.values() if not _is_old(each, now)]
    alerts = sorted(sorted(alerts, key=lambda each: each.heard)[-MOST:], key=_rank)
    apart = _apart(alerts, cursor.get("subjects") or {}, now)
    if not alerts and not apart:
        return Seen()
    records = tuple(_record(each, given, now, apart) for each in alerts)
    return Seen(records, {"alerts": [each.kept() for each in alerts], "subjects": apart})


def wanted(plan: Plan, detector: Detector, host: str) -> AlertProbe:
    """Return what a detector asks for, filled in.

    Raises:
        RenderError: it can't be.
        Wrong: a value does not fit.
    """
    given = render.probe(PROBE, detector.params, plan.scopes[host], path=detector.path)
    made: AlertProbe = params.build(AlertProbe, given)
    return made


def asks(given: AlertProbe, alert: Alert) -> bool:
    """Tell whether a detector asks for such an alert."""
    labels = alert.labels
    if given.alertname and labels.get("alertname") not in given.alertname:
        return False
    return all(labels.get(name) == str(value) for name, value in given.labels.items())


def detectors(plan: Plan, names: Iterable[str] | None = None) -> list[Detector]:
    """Return the detectors of a plan that ask for alerts; of some names, or all that are chosen."""
    found = [each for each in plan.runbook.detectors if each.probe == PROBE]
    return [each for each in found if (plan.chosen(each) if names is None else each.name in names)]


def subject(alert: Alert) -> str:
    """Return what several alerts are one by: the alert's name and the instance, as far as there are any.

    Not by all labels: limits are counted per subject, and whoever can choose a label would choose how many there are.
    """
    instance = alert.labels.get("instance", "")
    text = alert.labels.get("alertname", "") + (f"{{instance={instance}}}" if instance else "")
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST - 20]}… {hashlib.sha256(text.encode()).hexdigest()[:18]}"


def _apart(alerts: Iterable[Alert], before: Mapping[str, float], now: float) -> dict[str, float]:
    """Return the subjects that are told apart, and when they were heard of last.

    Whoever can choose an alert's instance, and has them come and go, makes no more of them than this in a week.
    """
    found = {about: heard for about, heard in before.items() if now - heard <= FORGOTTEN}
    for alert in alerts:
        about = subject(alert)
        if about in found or len(found) < APART:
            found[about] = max(found.get(about, 0.0), alert.heard)
    return found


def _rank(alert: Alert) -> tuple[bool, float, str]:
    """Order alerts: of several of one subject that fire, the one that has for longest stands for all."""
    return alert.status != "firing", alert.starts_at, alert.fingerprint


def _record(alert: Alert, given: AlertProbe, now: float, apart: Collection[str]) -> Record:
    about = subject(alert)
    if about not in apart:
        named = alert.labels.get("alertname", "")
        about = f"{OTHERS}: {named}" if named in given.alertname else OTHERS
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
