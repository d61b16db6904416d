"""Correlations: `all`, `any` and `sequence` over what other detectors of the host said."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from runbook.engine.detect.judge import conjunction, disjunction
from runbook.engine.model import UNKNOWN, Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.model import Detector, Truth

CORRELATIONS = frozenset({"all", "any", "sequence"})


@dataclass(frozen=True, slots=True)
class Said:
    """What a detector last said on a host, for any of its subjects."""

    holds: Truth
    at: float  # when that was
    true_at: float | None = None  # when it last held
    rose_at: float | None = None  # when it last began to hold


def say(earlier: Said | None, holds: Truth, now: float) -> Said:
    """Return what is remembered of a detector after one more look."""
    true_at = now if holds is True else (earlier.true_at if earlier else None)
    rose_at = earlier.rose_at if earlier else None
    if holds is True and (earlier is None or earlier.holds is not True):
        rose_at = now
    return Said(holds, now, true_at, rose_at)


def correlate(detector: Detector, said: Mapping[str, Said], now: float) -> Truth:
    """Return whether a correlation holds.

    A member holds while it is true, and for `within` seconds after. Members that were never looked at are unknown.
    """
    members = [_member(said.get(name), detector.within, now) for name in detector.members]
    if detector.probe == "any":
        return disjunction(members)
    together = conjunction(members)
    if detector.probe == "all" or together is not True:
        return together
    rises = [said[name].rose_at or 0.0 for name in detector.members]
    in_order = all(first <= second for first, second in pairwise(rises))
    return in_order and (detector.within is None or rises[-1] - rises[0] <= detector.within)


def _member(said: Said | None, within: float | None, now: float) -> Truth:
    if said is None:
        return UNKNOWN
    if said.holds is True:
        return True
    if within is not None and said.true_at is not None and now - said.true_at <= within:
        return True
    return said.holds if isinstance(said.holds, Unknown) else False
