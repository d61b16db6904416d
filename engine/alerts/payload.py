"""What an Alertmanager sends to a webhook, made into alerts of a bounded size. All of it is text of somebody else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping  # noqa: TC003 -- a frozen class looks at its types
from datetime import UTC, datetime
from typing import Any, Final

from runbook.modules.frozen import frozen

MOST: Final = 1000  # alerts of one message
LABELS: Final = 64  # of one alert
_KEY: Final = 128  # characters of a label's name
_VALUE: Final = 512  # of its value
_TEXT: Final = 2048  # of an annotation
_SHORT: Final = 200  # of a fingerprint, a group's key


class Unfit(ValueError):
    """This is no message of an Alertmanager; says why."""


@frozen
class Alert:
    """One alert, as it was last heard of. Times in seconds since the epoch."""

    fingerprint: str
    status: str  # firing or resolved
    labels: Mapping[str, str]
    summary: str
    description: str
    starts_at: float
    generator_url: str
    group: str  # the key of the group that it was told in
    heard: float
    left_out: bool = False  # of that group's last message

    def kept(self) -> dict[str, Any]:
        """Return it as a cursor holds it."""
        return dict(vars(self), labels=dict(self.labels))


@frozen
class Message:
    """One message about one group of alerts."""

    receiver: str
    group: str
    alerts: tuple[Alert, ...]
    whole: bool  # it names all that fires of its group
    at: float


def message(body: bytes, receiver: str, now: float) -> Message:
    """Return what a webhook's body says.

    Args:
        body: JSON, as Alertmanager has it.
        receiver: the one in the URL; empty: the one that the body names.
        now: when it came.

    Raises:
        Unfit: it is something else.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unfit("this is no JSON") from error
    if not isinstance(data, dict) or not isinstance(data.get("alerts"), list):
        raise Unfit("this is no message of an Alertmanager: it has no list `alerts`")
    given = data["alerts"]
    if len(given) > MOST:
        raise Unfit(f"{len(given)} alerts in one message; {MOST} are taken: set `max_alerts` or group them finer")
    group = _short(data.get("groupKey"))
    named = receiver or _short(data.get("receiver"))
    if not named:
        raise Unfit("no receiver is named: let the URL end with /alerts/NAME")
    alerts = tuple(_alert(each, group, now) for each in given)
    return Message(named, group, alerts, whole=data.get("truncatedAlerts") in (0, None), at=now)


def restored(kept: Mapping[str, Any]) -> Alert | None:
    """Return an alert as a cursor has it; None where that is of another version."""
    try:
        return Alert(**kept)
    except TypeError:
        return None


def _alert(given: Any, group: str, now: float) -> Alert:
    if not isinstance(given, dict) or not isinstance(given.get("labels"), dict):
        raise Unfit("an alert has no labels")
    status = given.get("status")
    if status not in {"firing", "resolved"}:
        raise Unfit("the status of an alert is neither firing nor resolved")
    if len(given["labels"]) > LABELS:
        raise Unfit(f"an alert has more than {LABELS} labels")
    labels = {str(name)[:_KEY]: str(value)[:_VALUE] for name, value in sorted(given["labels"].items())}
    told = given.get("annotations")
    annotations = told if isinstance(told, dict) else {}
    return Alert(
        fingerprint=_short(given.get("fingerprint")) or _fingerprint(labels),
        status=status,
        labels=labels,
        summary=str(annotations.get("summary") or "")[:_TEXT],
        description=str(annotations.get("description") or "")[:_TEXT],
        starts_at=_time(given.get("startsAt"), now),
        generator_url=str(given.get("generatorURL") or "")[:_TEXT],
        group=group,
        heard=now,
    )


def _fingerprint(labels: Mapping[str, str]) -> str:
    """Name a set of labels, where whoever sent it did not."""
    return hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()[:16]


def _time(given: Any, otherwise: float) -> float:
    """Return a time; one that can't be is the one at which it was heard."""
    try:
        found = datetime.fromisoformat(str(given))
    except ValueError:
        return otherwise
    at = found.replace(tzinfo=found.tzinfo or UTC).timestamp()
    return at if 0.0 < at <= otherwise else otherwise


def _short(given: Any) -> str:
    """Return a name; a longer one by its hash, so that two stay two."""
    text = str(given or "")
    return text if len(text) <= _SHORT else hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
