"""Correlations: `all`, `any` and `sequence` over what other detectors of the host said."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from runbook.engine.detect.hold import GAP
from runbook.engine.detect.judge import Verdict, conjunction, disjunction, negation
from runbook.engine.model import UNKNOWN, Record, Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook.engine.model import Detector, Truth

CORRELATIONS = frozenset({"all", "any", "sequence"})
JOINED = "\x1f"  # parts the names under which the words of members that join by `subject` are remembered


@dataclass(frozen=True, slots=True)
class Said:
    """What a detector last said on a host, for any of its subjects."""

    holds: Truth
    at: float  # when that was
    true_at: float | None = None  # when it last held
    rose_at: float | None = None  # when it last began to hold
    fields: Mapping[str, Any] = field(default_factory=dict)  # of the record that held last
    spent: float = 0.0  # of a correlation: what held before this has led to an incident that is over
    held: bool = False  # at the last look that could tell, whichever process looked


def say(earlier: Said | None, verdicts: Sequence[Verdict], holds: Truth, now: float) -> Said:
    """Return what is remembered of a detector after one more look.

    Args:
        earlier: what was remembered before.
        verdicts: what the look said of each subject; the times of events among it.
        holds: what it says for all of them.
        now: when it was, in seconds since the epoch.
    """
    before = earlier or Said(UNKNOWN, now)
    if holds is not True:
        held = before.held and isinstance(holds, Unknown)
        return Said(holds, now, before.true_at, before.rose_at, before.fields, before.spent, held)
    found = next(verdict for verdict in verdicts if verdict.holds is True)
    times = [at for verdict in verdicts for at in verdict.times]
    goes_on = before.held and now - before.at <= GAP and not times
    rose_at = before.rose_at if goes_on else min(times, default=now)
    return Said(True, now, max(times, default=now), rose_at, found.record.fields, before.spent, held=True)


def place(member: str, correlation: str, value: str) -> str:
    """Return the name under which a host's word is remembered of a member that joins by `subject`, for one value."""
    return f"{member}{JOINED}{correlation}{JOINED}{value}"


def parted(name: str) -> tuple[str, str, str] | None:
    """Return the member, the correlation and the value of such a name; None for a detector's own.

    Example:
        >>> parted(place("stalled", "hung", "job 7"))
        ('stalled', 'hung', 'job 7')
    """
    parts = name.split(JOINED)
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else None


def together(words: Sequence[Said]) -> Said:
    """Return what several hosts said of one member: it holds when it does on any of them."""
    true = [said for said in words if said.holds is True] or [said for said in words if said.true_at is not None]
    last = max(true, key=lambda said: said.true_at or 0.0, default=words[0])
    return Said(
        disjunction(said.holds for said in words),
        max(said.at for said in words),
        last.true_at,
        min((said.rose_at for said in true if said.rose_at is not None), default=None),
        last.fields,
        max(said.spent for said in words),
        any(said.held for said in words),
    )


def correlate(detector: Detector, said: Mapping[str, Said], now: float) -> Verdict:
    """Return what a correlation says.

    `said` holds the members' words by their names, and the correlation's own.

    A member counts while it is true, and for `within` seconds after, unless it has led to an incident that is over. A
    sequence wants each member to have begun to hold after the one before; at the same look is not after. What clears
    a correlation is what its members say now. Members that were never looked at are unknown.

    Returns:
        A verdict about the host, with the fields of the members' records.
    """
    spent = said[detector.name].spent if detector.name in said else 0.0
    members = [said.get(name) for name in detector.members]
    counted = [_counted(member, detector.within, spent, now) for member in members]
    current = [UNKNOWN if member is None else member.holds for member in members]
    if detector.probe == "any":
        holds, lasts = disjunction(counted), disjunction(current)
    else:
        holds, lasts = conjunction(counted), conjunction(current)
    if detector.probe == "sequence" and holds is True:
        rises = [member.rose_at or 0.0 for member in members if member is not None]
        in_order = all(first < second for first, second in pairwise(rises))
        holds = in_order and (detector.within is None or rises[-1] - rises[0] <= detector.within)
    fields: dict[str, Any] = {}
    for member, counts in zip(members, counted, strict=True):
        if member is not None and counts is True:
            fields.update(member.fields)
    return Verdict("", holds, negation(lasts), Record("", fields))


def _counted(said: Said | None, within: float | None, spent: float, now: float) -> Truth:
    if said is None:
        return UNKNOWN
    if said.holds is True:
        return True
    late = within is not None and said.true_at is not None and spent < said.true_at >= now - within
    if late:
        return True
    return said.holds if isinstance(said.holds, Unknown) else False
