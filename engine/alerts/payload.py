"""What an Alertmanager sends to a webhook, made into alerts of a bounded size. All of it is text of somebody else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping  # noqa: TC003 -- a frozen class looks at its types
from datetime import UTC, datetime
from typing import Any, Final

from runbook.modules.frozen import frozen

MOST: Final = 1000  # alerts of one message
LABELS: Final = 32  # of one alert
_KEY: Final = 64  # characters of a label's name
_VALUES: Final = (200, 100, 50)  # of its value: the first by which all labels have room
_ROOM: Final = 1500  # bytes of JSON for all labels
_WHOLE: Final = 1800  # and for what else is told: 300 alerts are to fit into a cursor
_TEXT: Final = 500  # characters of an annotation
_SHORT: Final = 200  # bytes of a fingerprint, a group's key


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
    notes: tuple[str, ...] = ()  # what of it could not be taken in, for people


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
    named = _text(receiver) or _short(data.get("receiver"))
    if not named:
        raise Unfit("no receiver is named: let the URL end with /alerts/NAME")
    found = [_alert(each, group, now) for each in given]
    alerts = tuple(each for each in found if isinstance(each, Alert))
    notes = tuple(dict.fromkeys(each for each in found if isinstance(each, str)))
    whole = data.get("truncatedAlerts") in (0, None) and not notes
    return Message(named, group, alerts, whole=whole, at=now, notes=notes)


def restored(kept: Mapping[str, Any]) -> Alert | None:
    """Return an alert as a cursor has it; None where that is of another version."""
    try:
        return Alert(**kept)
    except TypeError:
        return None


def _alert(given: Any, group: str, now: float) -> Alert | str:
    """Return an alert; or why it alone is left out, so that the others of its message are heard."""
    if not isinstance(given, dict) or not isinstance(given.get("labels"), dict):
        raise Unfit("an alert has no labels")
    status = given.get("status")
    if status not in {"firing", "resolved"}:
        raise Unfit("the status of an alert is neither firing nor resolved")
    labels = _labels(given["labels"])
    if labels is None:
        name = _text(given["labels"].get("alertname"))[:_KEY]
        return f"`{name}` is ignored: it has more than {LABELS} labels, or too long ones"
    left = _WHOLE - _weight(labels)
    told = given.get("annotations")
    annotations = told if isinstance(told, dict) else {}
    texts = []
    for each in (annotations.get("summary"), annotations.get("description"), given.get("generatorURL")):
        text = _cut(_text(each)[:_TEXT], left)
        left -= _weight(text)
        texts.append(text)
    summary, description, url = texts
    return Alert(
        fingerprint=_short(given.get("fingerprint")) or _fingerprint(labels),
        status=status,
        labels=labels,
        summary=summary,
        description=description,
        starts_at=_time(given.get("startsAt"), now),
        generator_url=url,
        group=group,
        heard=now,
    )


def _labels(given: Mapping[Any, Any]) -> dict[str, str] | None:
    """Return labels, long values cut; None where they are too many or too long."""
    if len(given) > LABELS:
        return None
    for most in _VALUES:
        found = {_text(name)[:_KEY]: _text(value)[:most] for name, value in sorted(given.items())}
        if _weight(found) <= _ROOM:
            return found
    return None


def _weight(given: object) -> int:
    """Return how many bytes something is in a cursor."""
    return len(json.dumps(given))


def _cut(text: str, most: int) -> str:
    """Return what of a text fits into bytes of a cursor."""
    while text and _weight(text) > most:
        text = text[: min(len(text) - 1, len(text) * max(most, 0) // _weight(text))]
    return text


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
    text = _text(given)
    return text if _weight(text) <= _SHORT else hashlib.sha256(text.encode()).hexdigest()


def _text(given: Any) -> str:
    """Return a text that can be stored and printed: JSON can name half a character."""
    return "" if given is None else str(given).encode("utf-8", "replace").decode()
