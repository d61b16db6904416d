"""How long a condition has held: across looks, and across processes, so that cron works as `watch` does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runbook.engine.model import Detector

GAP = 7200.0  # seconds without a look that break a hold, unless 3 x `every` is longer (DESIGN §3)


@dataclass(frozen=True, slots=True)
class Hold:
    """A condition that was seen to hold and has not been seen otherwise since."""

    since: float
    seen: float
    times: tuple[float, ...] = ()  # of events: those that `count` still counts
    told: str = ""  # the run that told people of it


def extend(earlier: Hold | None, detector: Detector, times: tuple[float, ...], now: float, every: float) -> Hold:
    """Return the hold after one more look that saw the condition true.

    Args:
        earlier: the hold before, or None at the first sight.
        detector: whose `count` says how long events count.
        times: when the events of this look were, in seconds since the epoch; empty for states.
        now: the time of this look.
        every: seconds between looks.
    """
    if earlier is None or now - earlier.seen > max(3 * every, GAP):
        since, counted = now, times
    else:
        since, counted = earlier.since, (*earlier.times, *times)
    if detector.count is not None:
        horizon = now - detector.count.per
        counted = tuple(at for at in counted if at >= horizon)[-detector.count.count :]
    else:
        counted = ()
    return Hold(since, now, counted, earlier.told if earlier else "")


def ripe(hold: Hold, detector: Detector, now: float) -> bool:
    """Tell whether the condition has held long enough, and often enough, to be an incident."""
    if detector.count is not None and len(hold.times) < detector.count.count:
        return False
    return now - hold.since >= detector.hold
