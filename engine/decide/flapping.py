"""Flapping: a fault that keeps coming back is not cured by curing it once more.

A fault of one detector, host and subject flaps when five of its incidents ended `cured`, by a recovery or by
themselves, within the last hour, or within twelve looks where these take longer. Where a `limit` allows as many
recoveries or more, it takes one more than the limit allows, so that every limit can be reached. Nothing is begun until
enough of these ends are older than the window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runbook.engine.decide.guards import Refusal, moment
from runbook.engine.language.amounts import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook.engine.model import Detector

ENDS: Final = 5
WINDOW: Final = 3600.0  # seconds
LOOKS: Final = 12


def window(every: float) -> float:
    """Return how long the end of an incident counts, in seconds, for looks that are `every` seconds apart."""
    return max(WINDOW, LOOKS * every)


def flapping(detector: Detector, cleared: Sequence[float], now: float, every: float) -> Refusal | None:
    """Refuse where incidents of one key end well again and again.

    Args:
        detector: whose `limit` says how many recoveries are wanted.
        cleared: when incidents of this key ended `cured`.
        now: seconds since the epoch.
        every: seconds between looks.
    """
    span = window(every)
    enough = max(ENDS, detector.limit.count + 1 if detector.limit is not None else 0)
    counted = sorted(at for at in cleared if at > now - span)
    if len(counted) < enough:
        return None
    until = counted[-enough] + span
    reason = f"flapping: well again {len(counted)} times within {format_duration(span)}; rests until {moment(until)}"
    return Refusal("flapping", reason, until)
