"""An answer as it should be, whatever a host sent: what does not fit becomes an unknown look, or a lost outcome.

Nothing behind this has to doubt the kinds of values. It is not told what they mean: that is host text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runbook.engine.model import StepStatus
from runbook.modules import states, wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DEEPEST = 96  # levels of mappings and lists; what an agent of ours sends has 64 at most
_LONGEST = 1 << 16  # characters of a subject or a reason
_REASON = 1000  # characters of why something is only polled
_FIELDS = 4096  # of a record
_STATE = 4 << 20  # characters of what a probe keeps for its next look
_PLAIN = 1 << 63
_SHORT = frozenset({str, float, bool, type(None)})  # kinds of values of which none is too much for a field
_WHOLE = _SHORT | {int}
_DIGITS = 1023  # bits of a whole number: what a float can hold, since reports divide
_STATUSES = frozenset({"seen", "absent", "unknown"})
_ENDS = frozenset(status.value for status in StepStatus)


def looks(message: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to a `probe` request with one look of the right shape for each that was asked for.

    Args:
        message: what came.
        asked: by the looks' ids, the states that they were given.
    """
    found = message.get("looks")
    why = "the host did not answer this look"
    if not isinstance(found, list):
        said = message.get("error") or message.get("unreadable")
        if said and not asked:
            return {"seq": message.get("seq"), "error": text(said)}
        why = f"the agent can't do that: {text(said)}" if said else "the host's answer is none to a look"
        if "unreadable" in message:
            why = f"the agent's answer can't be read: {text(said)}"
        found = []
    told: dict[str, dict[str, Any]] = {}
    for look in found:
        name = look.get("id") if isinstance(look, dict) else None
        if isinstance(name, str) and name in asked and name not in told:
            told[name] = _look(look, asked[name])
    return {"seq": message.get("seq"), "looks": [told.get(name) or _unknown(name, why) for name in asked]}


def result(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to a `run`, `undo` or `ask` request in the shape that it should have."""
    seq, known = message.get("seq"), message.get("known", "result")
    found = message.get("result")
    if "unreadable" in message:
        return _lost(seq, f"the agent's answer can't be read: {text(message['unreadable'])}")
    if "known" in message and found is None and known in ("lost", "running", "result"):
        return {"seq": seq, "known": known, "result": None, "begun": bool(message.get("begun"))}
    if found is None and "error" in message:
        return _lost(seq, f"the agent can't do that: {text(message['error'])}")
    wrong = _wrong_result(found) if isinstance(found, dict) else "it is none"
    if known != "result" or wrong:
        return _lost(seq, f"the host's answer about a step makes no sense: {wrong or 'it contradicts itself'}")
    return {"seq": seq, "known": "result", "result": found}


def text(value: object) -> str:
    """Return a value that should be a short text as one."""
    return value[:_LONGEST] if isinstance(value, str) else f"(no text, but a {type(value).__name__})"


def _lost(seq: object, reason: str) -> dict[str, Any]:
    return {"seq": seq, "result": wire.result("lost", reason)}


def _unknown(name: str, reason: str) -> dict[str, Any]:
    return {"id": name, "status": "unknown", "reason": reason}


def _look(look: dict[str, Any], given: Any) -> dict[str, Any]:
    found, heard = _seen(look, given), look.get("heard")
    if heard:
        found["heard"] = heard if heard is True else text(heard)[:_REASON]
    return found


def _seen(look: dict[str, Any], given: Any) -> dict[str, Any]:
    status, name = look.get("status"), look["id"]
    if not isinstance(status, str) or status not in _STATUSES:
        return _unknown(name, "the host's answer to this look makes no sense: it has no status")
    if status != "seen":
        return {"id": name, "status": status, "reason": text(look.get("reason", ""))}
    records = look.get("records")
    wrong = "its records are no list"
    if isinstance(records, list):
        wrong = next(filter(None, map(_wrong_record, records)), "")
    state = given if look.get(states.SAME) is True else look.get("state")
    if not wrong and state is not given:
        wrong = "its state is none" if not isinstance(state, dict) else _wrong_value(state, "its state", _STATE)
    if wrong:
        return _unknown(name, f"the host's answer to this look makes no sense: {wrong}")
    return {"id": name, "status": "seen", "records": records, "state": state}


def _wrong_record(record: object) -> str:
    """Say what is wrong with a record; empty where nothing is."""
    if not isinstance(record, dict):
        return "a record is no mapping"
    subject, fields, unseen = record.get("subject"), record.get("fields"), record.get("unseen", ())
    if not isinstance(subject, str) or len(subject) > _LONGEST:
        return "a record's subject is no text, or far too long"
    if not isinstance(fields, dict) or len(fields) > _FIELDS:
        return "a record has no fields, or far too many"
    if unseen and not (isinstance(unseen, list) and all(isinstance(each, str) for each in unseen)):
        return "a record's unseen fields are no list of names"
    kinds = set(map(type, fields.values()))
    if kinds <= _SHORT or (kinds <= _WHOLE and _fair(fields.values())):
        return ""
    for name, value in fields.items():
        if wrong := _wrong_value(value, f"the field {name[:40]!r}"):
            return wrong
    return ""


def _fair(values: Iterable[Any]) -> bool:
    """Tell whether no whole number among some values is a large one."""
    for value in values:  # noqa: SIM110 -- twice as quick as `all`
        if type(value) is int and not -_PLAIN < value < _PLAIN:
            return False
    return True


def _wrong_result(found: Mapping[str, Any]) -> str:
    """Say what is wrong with a result; empty where nothing is."""
    code, duration, status = found.get("exit_code"), found.get("duration"), found.get("status")
    if not isinstance(status, str) or status not in _ENDS:
        return "it has no status"
    if not isinstance(found.get("changed"), bool):
        return "it does not say whether it changed anything"
    if not all(isinstance(found.get(name), str) for name in ("error", "output", "diff")):
        return "its error, output or diff is no text"
    if not (code is None or (isinstance(code, int) and abs(code) < 1 << 31)):
        return "its exit code is none"
    if isinstance(duration, bool) or not isinstance(duration, int | float) or not 0 <= duration < 1e9:
        return "its duration is none"
    actions = found.get("actions")
    if not isinstance(actions, list) or not all(isinstance(each, dict) for each in actions):
        return "its actions are no list of mappings"
    if not isinstance(found.get("data"), dict):
        return "its data is no mapping"
    return _wrong_value(actions, "its actions") or _wrong_value(found["data"], "its data")


def _wrong_value(value: Any, what: str, most: int = 0) -> str:
    """Say whether a value is nested too deeply, holds a number of too many digits, or (with `most`) is too large."""
    level, size = [value], 0
    for _ in range(DEEPEST):
        deeper: list[Any] = []
        for each in level:
            kind = type(each)
            if kind is str:
                size += len(each)
            elif kind is dict:
                size += sum(map(len, each))
                deeper += each.values()
            elif kind is list:
                deeper += each
            elif kind is int and not -_PLAIN < each < _PLAIN and each.bit_length() > _DIGITS:
                return f"{what} has a number of too many digits"
        size += 8 * len(deeper)
        if most and size > most:
            return f"{what} has over {most >> 20} MiB"
        if not deeper:
            return ""
        level = deeper
    return f"{what} is nested more than {DEEPEST} levels deep"
