"""What a case expects against what came of it: each difference with both sides."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runbook.engine.language.amounts import format_duration
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runbook.engine.rehearse.play import Happened, Played

Actual = dict[str, Any]
_TOLERANCE = 0.001  # seconds


@frozen
class Difference:
    """One thing that is not as expected: lines of both sides, with `-` expected, `+` came, ` ` both."""

    what: str
    lines: tuple[str, ...]


def differences(expect: Mapping[str, Any], played: Played) -> list[Difference]:
    """Return every difference between what a case expects and what came of it."""
    found: list[Difference] = []
    if "incidents" in expect:
        found += _all("incidents", expect["incidents"], incidents(played), _incident)
    if "steps" in expect:
        found += _all("steps", expect["steps"], steps(played), _step)
    if "refused" in expect:
        found += _among("refusals", expect["refused"], refusals(played), _refusal)
    if "notified" in expect:
        wanted = [{"message": pattern} for pattern in expect["notified"]]
        found += _all("notifications", wanted, notified(played), lambda item: str(item["message"]))
    if "operations" in expect:
        found += _operations(expect["operations"], played)
    if "unknown" in expect:
        found += _unknown(expect["unknown"], played)
    return found


def incidents(played: Played) -> list[Actual]:
    """Return the incidents of a case, in the order in which they opened."""
    opened = {told.incident: told.at for told in played.of("incident.opened")}
    return [
        {
            "detector": each.detector,
            "host": each.host,
            "subject": each.subject,
            "state": each.state.value,
            "reason": each.reason,
            "count": each.count,
            "folded": len(each.folded),
            "at": opened.get(each.id, 0.0),
        }
        for each in played.incidents
        if not each.root
    ]


def steps(played: Played) -> list[Actual]:
    """Return the steps of a case that were begun, with how they ended."""
    ended = {told.step: told for told in played.of("step.ended", "attempt.ended")}
    found = []
    for told in played.of("step.begun"):
        if told.data.get("module") == "notify":  # the notifications are listed
            continue
        end = ended.get(told.step)
        status = "running" if end is None else str(end.data.get("status", ""))
        name = told.operation or str(told.data.get("title", ""))
        names = (name, str(told.data.get("title", "")), str(told.data.get("module", "")))
        subject = told.subject
        found.append(
            {"step": name, "names": names, "host": told.host, "subject": subject, "status": status, "at": told.at}
        )
    known = {told.step for told in played.of("step.begun")}
    ended_at_once = [told for told in played.of("step.ended") if told.data.get("status") in {"skipped", "refused"}]
    found += [_unbegun(told) for told in ended_at_once if told.step not in known]
    return sorted(found, key=lambda item: float(item["at"]))


def _unbegun(told: Happened) -> Actual:
    name, module = str(told.data.get("title", "")), str(told.data.get("module", ""))
    status = str(told.data.get("status"))
    subject = told.subject
    return {
        "step": name,
        "names": (name, module),
        "host": told.host,
        "subject": subject,
        "status": status,
        "at": told.at,
    }


def refusals(played: Played) -> list[Actual]:
    """Return the refusals of a case."""
    return [
        {
            "detector": told.detector,
            "host": told.host,
            "guard": str(told.data.get("guard", "")),
            "reason": str(told.data.get("reason", "")),
            "at": told.at,
        }
        for told in played.of("guard.refused")
    ]


def notified(played: Played) -> list[Actual]:
    """Return the notifications of a case."""
    return [{"message": told.data.get("message", ""), "at": told.at} for told in played.of("notified")]


def _fits(wanted: Mapping[str, Any], actual: Actual) -> bool:
    return all(_one_fits(key, value, actual) for key, value in wanted.items())


def _one_fits(key: str, value: Any, actual: Actual) -> bool:
    at = float(actual.get("at", 0.0))
    if key == "at":
        return abs(at - float(value)) <= _TOLERANCE
    if key == "by":
        return at <= float(value) + _TOLERANCE
    if key == "after":
        return at >= float(value) - _TOLERANCE
    if key in {"reason", "message", "error"}:
        return re.search(str(value), str(actual.get(key, ""))) is not None
    if key == "step":
        return value in actual["names"]
    if key == "subject":
        return str(actual.get(key)) in {str(value), str(value).lower() if isinstance(value, bool) else str(value)}
    return bool(actual.get(key) == value)


def _all(
    what: str, wanted: Sequence[Mapping[str, Any]], actual: Sequence[Actual], said: Callable[[Actual], str]
) -> list[Difference]:
    """Hold a whole list against what came."""
    if len(wanted) == len(actual) and all(map(_fits, wanted, actual)):
        return []
    lines = []
    for mark, item in _aligned(wanted, actual):
        lines.append(f"{mark} {_wanted(item) if mark == '-' else said(item)}")
    return [Difference(what, tuple(lines))]


def _aligned(wanted: Sequence[Mapping[str, Any]], actual: Sequence[Actual]) -> list[tuple[str, Any]]:
    """Return both lists as one, with the longest common part of them marked ` `."""
    size = [[0] * (len(actual) + 1) for _ in range(len(wanted) + 1)]
    for i in range(len(wanted) - 1, -1, -1):
        for j in range(len(actual) - 1, -1, -1):
            same = _fits(wanted[i], actual[j])
            size[i][j] = size[i + 1][j + 1] + 1 if same else max(size[i + 1][j], size[i][j + 1])
    found: list[tuple[str, Any]] = []
    i = j = 0
    while i < len(wanted) or j < len(actual):
        if i < len(wanted) and j < len(actual) and _fits(wanted[i], actual[j]):
            found.append((" ", actual[j]))
            i, j = i + 1, j + 1
        elif j >= len(actual) or (i < len(wanted) and size[i + 1][j] >= size[i][j + 1]):
            found.append(("-", wanted[i]))
            i += 1
        else:
            found.append(("+", actual[j]))
            j += 1
    return found


def _among(
    what: str, wanted: Sequence[Mapping[str, Any]], actual: Sequence[Actual], said: Callable[[Actual], str]
) -> list[Difference]:
    """Hold what came against a list of which each must come, in its order; an empty list lets nothing come."""
    if not wanted:
        return [Difference(what, tuple(f"+ {said(item)}" for item in actual))] if actual else []
    at, missing = 0, []
    for item in wanted:
        place = next((number for number in range(at, len(actual)) if _fits(item, actual[number])), None)
        if place is None:
            missing.append(item)
        else:
            at = place + 1
    if not missing:
        return []
    came = [f"  {said(item)}" for item in actual] or ["  (there were none)"]
    return [Difference(what, (*(f"- {_wanted(item)}" for item in missing), *came))]


def _operations(wanted: Mapping[str, Any], played: Played) -> list[Difference]:
    ended: dict[str, Actual] = {}
    for told in played.of("operation.ended"):
        state = str(told.data.get("state", ""))
        ended[told.operation] = {**told.data, "state": state, "at": told.at}
    found = []
    for name, given in wanted.items():
        entry = {"state": given} if isinstance(given, str) else given
        actual = ended.get(name, {"state": "pending", "attempts": 0, "error": ""})
        if not _fits(entry, actual):
            said = f"{name}: {actual['state']} after {actual.get('attempts', 0)} attempts"
            error = f": {actual['error']}" if actual.get("error") else ""
            found.append(Difference("operations", (f"- {name}: {_wanted(entry)}", f"+ {said}{error}")))
    return found


def _unknown(wanted: Sequence[str], played: Played) -> list[Difference]:
    came = {told.detector: str(told.data.get("reason", "")) for told in played.of("look.unknown")}
    missing, extra = [name for name in wanted if name not in came], [name for name in came if name not in wanted]
    if not (missing or extra):
        return []
    lines = [f"- {name}" for name in missing] + [f"+ {name}: {came[name]}" for name in extra]
    return [Difference("unknown", tuple(lines))]


def _wanted(item: Mapping[str, Any]) -> str:
    words = []
    for key, value in item.items():
        if key in {"at", "by", "after"}:
            words.append(f"{key} {format_duration(float(value))}")
        elif key in {"detector", "step", "message"}:
            words.insert(0, str(value))
        else:
            words.append(f"{key} {value!r}" if key in {"reason", "error"} else f"{key} {value}")
    return ", ".join(words)


def _incident(item: Actual) -> str:
    about = f" {item['subject']}" if item["subject"] else ""
    folded = f", folded {item['folded']}" if item["folded"] else ""
    reason = f": {item['reason']}" if item["reason"] else ""
    at = format_duration(float(item["at"]))
    return f"{item['detector']}{about}, host {item['host']}, state {item['state']}, at {at}{folded}{reason}"


def _step(item: Actual) -> str:
    about = f", subject {item['subject']}" if item["subject"] else ""
    return (
        f"{item['step']}, host {item['host']}{about}, status {item['status']}, at {format_duration(float(item['at']))}"
    )


def _refusal(item: Actual) -> str:
    at = format_duration(float(item["at"]))
    return f"{item['detector']}, host {item['host']}, guard {item['guard']}, at {at}: {item['reason']}"
