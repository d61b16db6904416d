"""Approvals: what exactly a person allows, and whether that is what would be done now."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.decide.guards import Refusal
from runbook.engine.model import Mode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook.engine.decide.guards import Caps
    from runbook.engine.model import Detector, Impact, Rung
    from runbook.engine.people import Approval, People

DIGITS: Final = 16  # of a digest


def digest(*parts: Any) -> str:
    """Return what stands for some plain data.

    Example:
        >>> digest("host", {"b": 1, "a": 2}) == digest("host", {"a": 2, "b": 1})
        True
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]


def whole(detector: Detector, caps: Caps) -> str:
    """Tell why a whole recovery waits for a person, not only one of its rungs; empty where it does not."""
    if Mode.APPROVE not in (detector.mode, caps.mode):
        return ""
    return "waits for approval" + ("" if detector.mode is Mode.APPROVE else " (--max-mode approve)")


def of_rung(rung: Rung, impacts: Sequence[Impact], modes: Sequence[Mode], detector: Detector) -> str:
    """Tell which step of a rung waits for a person, and why; empty where none does."""
    for step, found, mode in zip(rung.steps, impacts, modes, strict=True):
        if mode is Mode.APPROVE:
            told = "" if step.mode or detector.mode else f" ({found.value})"
            return f"{step.title} waits for approval{told}"
    return ""


def word(people: People, incident: str, now: float) -> Approval | None:
    """Return what a person said of an incident last, if it still holds."""
    said = people.approvals.get(incident)
    return said if said is not None and now < said.until else None


def rejected(said: Approval) -> Refusal:
    """Refuse what a person forbade."""
    why = f": {said.reason}" if said.reason else ""
    return Refusal("rejected", f"rejected by {said.by}{why}", said.until)


def refuse(
    wants: str,
    said: Approval | None,
    asked: Sequence[Mapping[str, Any]],
    current: str,
    before: tuple[str, frozenset[str]],
) -> Refusal | None:
    """Refuse until a person has allowed exactly what would be done.

    Args:
        wants: why it waits for a person.
        said: the last word about the incident that still holds.
        asked: the steps that would be done now, each with its digest.
        current: the digest of all of them and of what they are about.
        before: the digest that was last shown to people, and the digests of the steps behind it.
    """
    shown, steps = before
    if said is not None and said.granted:
        if said.digest == current or (said.digest == shown and all(step["digest"] in steps for step in asked)):
            return None
        return Refusal("approval", f"{wants}: what {said.by} approved has changed since")
    return Refusal("approval", wants)
