"""What a look means: each subject's record against the detector's condition, in three values."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.detect import sights
from runbook.engine.language.names import members
from runbook.engine.model import UNKNOWN, Record, Unknown
from runbook.modules import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runbook.engine.model import Detector, Expression, Truth


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one look says of one subject."""

    subject: str
    holds: Truth  # the detector's condition
    clear: Truth  # what ends an incident: `clear`, or the condition no longer holding
    record: Record
    times: tuple[float, ...] = ()  # of an event detector: when each matching event was
    sights: tuple[Mapping[str, Any], ...] = ()  # the same: which signatures of the catalogue were seen
    events: tuple[Record, ...] = ()  # the same: all that matched, of which `record` stands for all


def judge(
    detector: Detector, records: Sequence[Record], scope: Mapping[str, Any], now: float, events: bool
) -> list[Verdict]:
    """Judge the records of one look.

    Args:
        detector: whose condition is asked.
        records: what the probe saw; none at all is a look too.
        scope: variables that `when`, `clear` and `subject` may use beside the record's fields.
        now: seconds since the epoch; the time of an event that bears none.
        events: the records are events, so that several of one subject are counted and none says that all is well.

    Returns:
        One verdict a subject, in the order of the records.

    Raises:
        RenderError: a condition names what is not defined.
    """
    base = _asked(detector, scope)
    judged = [
        _verdict(detector, record, {**base, **members(detector.probe, record.fields)}, now, events)
        for record in records
        if not (events and sights.is_advice(record.fields))
    ]
    if detector.match == "all":
        return [_everyone(judged)] if judged else []
    return _by_subject(judged, now) if events else _together(judged)


def truth(expression: Expression | None, values: Mapping[str, Any]) -> Truth:
    """Return what a condition says; no condition is always true, and no value at all is unknown."""
    if expression is None:
        return True
    value = expression.evaluate(values)
    if isinstance(value, Unknown) or value is None:
        return UNKNOWN
    return bool(value)


def negation(value: Truth) -> Truth:
    """Return Kleene's not."""
    return value if isinstance(value, Unknown) else not value


def conjunction(values: Iterable[Truth]) -> Truth:
    """Return Kleene's and: one false decides, then one unknown."""
    found: Truth = True
    for value in values:
        if isinstance(value, Unknown):
            found = value
        elif not value:
            return False
    return found


def disjunction(values: Iterable[Truth]) -> Truth:
    """Return Kleene's or: one true decides, then one unknown."""
    return negation(conjunction(negation(value) for value in values))


def _asked(detector: Detector, scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables that a detector's expressions mention, as far as they are no fields of the record."""
    expressions = [each for each in (detector.when, detector.clear, detector.subject) if each is not None]
    found: dict[str, Any] = {}
    for name in {name for expression in expressions for name in expression.names}:
        with contextlib.suppress(KeyError):
            found.update({name: scope[name]})
    return found


def _verdict(detector: Detector, record: Record, values: Mapping[str, Any], now: float, events: bool) -> Verdict:
    holds = truth(detector.when, values)
    decided = catalogue.probe(detector.probe).heard and record.fields.get("status") != "firing"
    if decided:  # whatever the conditions ask: it is over, or nothing is known of it
        holds = False if record.fields.get("status") == "resolved" else UNKNOWN
    if events:
        clear: Truth = False
    elif not decided and detector.clear is not None:
        clear = truth(detector.clear, values)
    else:
        clear = negation(holds)
    subject = record.subject
    if detector.subject is not None:
        named = detector.subject.evaluate(values)
        subject = "" if isinstance(named, Unknown) or named is None else str(named)
    at = values.get("time") if events else None
    times = (float(at) if isinstance(at, int | float) else now,) if events and holds is True else ()
    return Verdict(subject, holds, clear, record, times)


def _everyone(judged: Sequence[Verdict]) -> Verdict:
    holds = conjunction(verdict.holds for verdict in judged)
    shared = {
        name: value
        for name, value in judged[0].record.fields.items()
        if all(verdict.record.fields.get(name) == value for verdict in judged)
    }
    clear = disjunction(verdict.clear for verdict in judged)
    return Verdict("", holds, clear, Record("", {"records": len(judged), **shared}), judged[0].times)


def _together(judged: list[Verdict]) -> list[Verdict]:
    """Return one verdict a subject, such as a host by its GPUs: the first that is ill stands for all."""
    grouped: dict[str, list[Verdict]] = {}
    for verdict in judged:
        grouped.setdefault(verdict.subject, []).append(verdict)
    if len(grouped) == len(judged):
        return judged
    found = []
    for several in grouped.values():
        holds, clear = disjunction(one.holds for one in several), conjunction(one.clear for one in several)
        first = next(one for one in several if one.holds is holds)
        found.append(replace(first, clear=clear))
    return found


def _by_subject(judged: Sequence[Verdict], now: float) -> list[Verdict]:
    """Return one verdict a subject: the first event that holds stands for all, one that can be a root before others."""
    grouped: dict[str, list[Verdict]] = {}
    for verdict in judged:
        if verdict.holds is not False:
            grouped.setdefault(verdict.subject, []).append(verdict)
    found = []
    for several in grouped.values():
        held = [verdict for verdict in several if verdict.holds is True]
        first = min(held, key=_follows, default=several[0])
        shown = sights.of((verdict.record.fields for verdict in held), now)
        times = tuple(at for verdict in several for at in verdict.times)
        found.append(replace(first, times=times, sights=shown, events=tuple(verdict.record for verdict in held)))
    return found


def _follows(verdict: Verdict) -> int:
    role = verdict.record.fields.get("role")
    return _ROLES.index(role) if role in _ROLES else 0


_ROLES: Final = ("root", "confirmation", "cascade")
