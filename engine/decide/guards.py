"""The guards that stand before a recovery and before each of its rungs; each is pure and gives its reason.

Their order is DESIGN's: maintenance and acknowledgements (people.py), mode, stale, lease, cooldown, limit, flapping
(flapping.py), `max_unavailable` (unavailable.py), impact.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runbook.engine.language.amounts import format_duration
from runbook.engine.model import Impact, Mode
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook.engine.model import Detector, Lease, Limit, Rung, StepCall


@frozen
class Refusal:
    """Why a recovery does not begin now."""

    guard: str  # maintenance ack mode approval stale busy lease cooldown limit flapping max_unavailable impact
    reason: str
    until: float | None = None  # when it may be asked again, if time alone mends it


@frozen
class Caps:
    """What a run may do at most: `--max-mode`, `--max-impact`, `--yes`."""

    mode: Mode = Mode.AUTO
    impact: Impact = Impact.DESTRUCTIVE
    approved: bool = False
    observes: str = "--max-mode observe"  # why it only observes, where it does


def moment(at: float) -> str:
    """Return a time as people read it, the same wherever it is read.

    Example:
        >>> moment(0.0)
        '1970-01-01 00:00:00 UTC'
    """
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def mode_of(step: StepCall, impact: Impact, detector: Detector | None) -> Mode:
    """Return what a step may do by itself: its own word, else its detector's, else by its impact."""
    if step.mode is not None:
        return step.mode
    if detector is not None and detector.mode is not None:
        return detector.mode
    return Mode.APPROVE if impact is Impact.DESTRUCTIVE else Mode.AUTO


def mode(detector: Detector, caps: Caps) -> Refusal | None:
    """Refuse where nothing is done at all: the detector, or the run, only observes."""
    if detector.mode is Mode.OBSERVE:
        return Refusal("mode", "mode is observe")
    if caps.mode is Mode.OBSERVE:
        return Refusal("mode", caps.observes)
    return None


def rung_mode(rung: Rung, impacts: Sequence[Impact], detector: Detector) -> Refusal | None:
    """Refuse a rung with a step that only observes: it is not taken at all."""
    for step, found in zip(rung.steps, impacts, strict=True):
        if mode_of(step, found, detector) is Mode.OBSERVE:
            return Refusal("mode", f"{step.title}: mode is observe")
    return None


def stale(detector: Detector, seen: float, now: float, gap: float) -> Refusal | None:
    """Refuse on evidence older than `max_age`, and twice the time between looks: look again first."""
    age = now - seen
    if age > max(detector.max_age, 2 * gap):
        return Refusal("stale", f"last seen at {moment(seen)}; looks again first")
    return None


def lease(leases: Mapping[tuple[str, str], Lease], host: str, subject: str, now: float) -> Refusal | None:
    """Refuse while another run recovers the same subject of the host."""
    held = leases.get((host, subject))
    if held is None or held.until <= now:
        return None
    about = f"`{held.detector}`" + (f" of {held.runbook}" if held.runbook else "") if held.detector else held.run
    return Refusal("lease", f"{held.holder} recovers it: {about}", held.until)


def cooldown(detector: Detector, ended: float | None, now: float) -> Refusal | None:
    """Refuse within `cooldown` of the end of the last recovery."""
    if ended is None or now - ended >= detector.cooldown:
        return None
    until = ended + detector.cooldown
    return Refusal("cooldown", f"cooling down until {moment(until)}", until)


def limit(
    bound: Limit | None, begun: Sequence[float], now: float, one: str = "recovery", many: str = "recoveries"
) -> Refusal | None:
    """Refuse where as many have begun in the sliding window as the limit allows; what is counted has two names."""
    if bound is None:
        return None
    counted = [at for at in begun if bound.per is None or at > now - bound.per]
    if len(counted) < bound.count:
        return None
    reached = f"limit reached: {bound.count} {one if bound.count == 1 else many}"
    if bound.per is None:
        return Refusal("limit", f"{reached} ever")
    until = sorted(counted)[-bound.count] + bound.per
    return Refusal("limit", f"{reached} per {format_duration(bound.per)}; the next from {moment(until)}", until)


def impact(rung: Rung, impacts: Sequence[Impact], caps: Caps) -> Refusal | None:
    """Refuse a rung with a step of more impact than `--max-impact` allows."""
    for step, found in zip(rung.steps, impacts, strict=True):
        if found.rank > caps.impact.rank:
            return Refusal("impact", f"{step.title} is {found.value}, --max-impact is {caps.impact.value}")
    return None
