"""What is next about an incident: what happens by itself, and what a person can type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runbook.engine.report import words
from runbook.engine.report.clock import moment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.journal.facts import IncidentRow
    from runbook.engine.people import Approval, People


_BY_HAND = "heal it by hand: it has no `recover`; it is over when it is seen well"


def following(one: IncidentRow, people: People, now: float, *, free: bool = False, watched: bool = False) -> str:
    """Return what is next about an incident.

    Args:
        one: the incident.
        people: what they have said.
        now: seconds since the epoch.
        free: the lease that kept it from recovery is over.
        watched: a watch looks after its runbook.
    """
    said = _following(one, people, now, free=free)
    return (
        said.replace("the next pass", "the watch").replace("the first pass after", "the watch, after")
        if watched
        else said
    )


def _following(one: IncidentRow, people: People, now: float, *, free: bool) -> str:
    data = one.data
    if data.get("root"):
        return f"ends with the incident that it follows from: `runbook explain {data['root']}`"
    if (ack := people.acks.get(one.id)) is not None and one.closed is None:
        lasts = f" until {moment(ack.until, now)}" if ack.until is not None else ""
        return f"{words.printable(ack.by)} deals with it{lasts}; `runbook ack {one.id} --off` gives it back"
    if one.state == "waiting":
        return _waiting(one, people.approvals.get(one.id), now)
    until = data.get("until")
    if one.state == "suppressed" and _by_lease(data) and isinstance(until, int | float) and until > now:
        return "the next pass asks again" + ("" if free else f" (the lease ends by {moment(until, now)} at the latest)")
    if one.state == "suppressed" and isinstance(until, int | float):
        return f"the first pass after {moment(until, now)} asks again" if until > now else "the next pass asks again"
    return {
        "interrupted": f"look whether its step took effect, then `runbook release {one.id}`",
        "observed": "heal it by hand, or let its `mode` say approve or auto",
        "suppressed": "the next pass asks again",
        "verifying": "the next pass looks whether it is cured",
        "recovering": "the next pass goes on with it, where no pass is at work",
        "open": "the next pass decides" if data.get("recovers", True) else _BY_HAND,
        "unhealed": "this needs a person; the next pass looks anew",
        "unverified": "the next pass looks anew",
        "released": "the next pass decides anew",
    }.get(one.state, "")


def asked(one: IncidentRow) -> list[Mapping[str, Any]]:
    """Return the steps that wait for a person."""
    found = one.data.get("asked")
    return [step for step in found if isinstance(step, dict)] if isinstance(found, list | tuple) else []


def _by_lease(data: Mapping[str, Any]) -> bool:
    refused: Mapping[str, Any] = next((answer for answer in data.get("answers") or () if not answer.get("ok")), {})
    return bool(refused.get("guard") == "lease")


def _waiting(one: IncidentRow, said: Approval | None, now: float) -> str:
    if said is not None and said.granted and said.digest == one.data.get("digest") and said.until > now:
        return f"approved by {words.printable(said.by)}: the next pass carries it out"
    if one.data.get("digest"):
        return f"`runbook approve {one.id}`, or `runbook reject {one.id}`"
    return "the next pass tells what it waits for, then `runbook approve` allows it"
