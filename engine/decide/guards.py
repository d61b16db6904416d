"""The guards that stand before a recovery and before each of its rungs; each is pure and gives its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language.units import format_duration
from runbook.engine.model import Impact, Mode
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook.engine.model import Detector, Limit, Rung, StepCall


@frozen
class Refusal:
    """Why a recovery does not begin now."""

    guard: str  # mode, stale, busy, cooldown, limit, impact
    reason: str
    until: float | None = None  # when it may be asked again, if time alone mends it


@frozen
class Caps:
    """What a run may do at most: `--max-mode`, `--max-impact`, `--yes`."""

    mode: Mode = Mode.AUTO
    impact: Impact = Impact.DESTRUCTIVE
    approved: bool = False


def mode_of(step: StepCall, impact: Impact, detector: Detector | None) -> Mode:
    """Return what a step may do by itself: its own word, else its detector's, else by its impact."""
    if step.mode is not None:
        return step.mode
    if detector is not None and detector.mode is not None:
        return detector.mode
    return Mode.APPROVE if impact is Impact.DESTRUCTIVE else Mode.AUTO


def mode(detector: Detector, caps: Caps, approved: bool) -> Refusal | None:
    """Refuse where the detector only observes, or a person has to approve."""
    if detector.mode is Mode.OBSERVE or caps.mode is Mode.OBSERVE:
        told = "mode is observe" if detector.mode is Mode.OBSERVE else "--max-mode observe"
        return Refusal("mode", told)
    asks = detector.mode is Mode.APPROVE or caps.mode is Mode.APPROVE
    if asks and not (approved or caps.approved):
        return Refusal(
            "approval", "waits for approval" + ("" if detector.mode is Mode.APPROVE else " (--max-mode approve)")
        )
    return None


def stale(detector: Detector, seen: float, now: float, gap: float) -> Refusal | None:
    """Refuse on evidence older than `max_age`, and twice the time between looks: look again first."""
    age = now - seen
    if age > max(detector.max_age, 2 * gap):
        return Refusal("stale", f"last seen {format_duration(age)} ago")
    return None


def cooldown(detector: Detector, ended: float | None, now: float) -> Refusal | None:
    """Refuse within `cooldown` of the end of the last recovery."""
    if ended is None or now - ended >= detector.cooldown:
        return None
    left = detector.cooldown - (now - ended)
    return Refusal("cooldown", f"cooling down for another {format_duration(left)}", ended + detector.cooldown)


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
    wait = format_duration(max(1.0, round(until - now)))
    return Refusal("limit", f"{reached} per {format_duration(bound.per)}; the next may begin in {wait}", until)


def impact(rung: Rung, impacts: Sequence[Impact], caps: Caps) -> Refusal | None:
    """Refuse a rung with a step of more impact than `--max-impact` allows."""
    for step, found in zip(rung.steps, impacts, strict=True):
        if found.rank > caps.impact.rank:
            return Refusal("impact", f"{step.title} is {found.value}, --max-impact is {caps.impact.value}")
    return None


def rung_mode(
    rung: Rung, impacts: Sequence[Impact], detector: Detector | None, caps: Caps, approved: bool
) -> Refusal | None:
    """Refuse a rung with a step that a person has to approve; one that only observes is not taken at all."""
    for step, found in zip(rung.steps, impacts, strict=True):
        wants = mode_of(step, found, detector)
        if wants is Mode.OBSERVE:
            return Refusal("mode", f"{step.title}: mode is observe")
        if wants is Mode.APPROVE and not (approved or caps.approved):
            told = "" if step.mode or (detector and detector.mode) else f" ({found.value})"
            return Refusal("approval", f"{step.title} waits for approval{told}")
    return None
