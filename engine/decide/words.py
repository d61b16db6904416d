"""What people's words forbid: maintenance of hosts, and incidents that a person deals with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.decide.guards import Refusal, moment
from runbook.engine.errors import UserError
from runbook.engine.inventory.patterns import covers

if TYPE_CHECKING:
    from collections.abc import Collection

    from runbook.engine.people import Maintenance, People


def maintenance(people: People, host: str, groups: Collection[str], now: float) -> Refusal | None:
    """Refuse on hosts that people work on."""
    found = [each for each in people.maintenance if _on(each, now) and _covers(each, host, groups)]
    if not found:
        return None
    last = max(found, key=lambda each: (each.until is None, each.until or 0.0, each.id))
    why = f": {last.reason}" if last.reason else ""
    return Refusal("maintenance", f"maintenance by {last.by}{_until(last.until)}{why}", last.until)


def ack(people: People, incident: str, now: float) -> Refusal | None:
    """Refuse where a person has said that they deal with it."""
    said = people.acks.get(incident)
    if said is None or (said.until is not None and said.until <= now):
        return None
    why = f": {said.reason}" if said.reason else ""
    return Refusal("ack", f"acknowledged by {said.by}{_until(said.until)}{why}", said.until)


def _on(each: Maintenance, now: float) -> bool:
    return each.since <= now and (each.until is None or now < each.until)


def _covers(each: Maintenance, host: str, groups: Collection[str]) -> bool:
    try:
        return covers(each.hosts, host, groups)
    except UserError:
        return True  # a pattern that can't be read may mean any host


def _until(until: float | None) -> str:
    return "" if until is None else f" until {moment(until)}"
