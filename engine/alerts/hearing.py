"""A driver's ear: the looks of its `alert` detectors, and whom a message concerns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runbook.engine.alerts import homes, look
from runbook.engine.errors import RenderError
from runbook.engine.language.params import Wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from runbook.engine.alerts.homes import Homes
    from runbook.engine.alerts.inbox import Inbox
    from runbook.engine.alerts.payload import Message
    from runbook.engine.model import Look
    from runbook.engine.recover.state import Plan

_TOLD: Final = 1000  # values of labels that are remembered to name none of our hosts


class Hearing:
    """What one runbook hears.

    Args:
        inbox: what was heard; None = nothing listens: this is no watch.
        cursor: what a host's detector remembered at its last look.
    """

    def __init__(self, inbox: Inbox | None, cursor: Callable[[str, str], Mapping[str, Any]]) -> None:
        self._inbox = inbox
        self._cursor = cursor
        self._homes: tuple[Plan, Homes] | None = None
        self._told: set[tuple[str, str]] = set()

    def looks(self, plan: Plan, host: str, names: Iterable[str], now: float) -> dict[str, Look]:
        """Return what is known of a host by the alerts that these detectors ask for."""
        return {
            each.name: look.look(plan, each, host, self._known(plan), self._inbox, self._cursor(host, each.name), now)
            for each in look.detectors(plan, names)
        }

    def concerned(self, plan: Plan, message: Message) -> tuple[dict[str, list[str]], list[str]]:
        """Return the detectors that a message may say something new to, by host, and what is to be told of the rest.

        A group that was told without an alert says something of that one, too.
        """
        found: dict[str, list[str]] = {}
        ignored: list[str] = []
        for detector in look.detectors(plan):
            hosts: set[str] = set()
            for host in plan.scopes:
                try:
                    given = look.wanted(plan, detector, host)
                except (RenderError, Wrong):
                    hosts.add(host)  # its look says why
                    continue
                if given.receiver != message.receiver:
                    continue
                if self._cursor(host, detector.name).get("alerts"):
                    hosts.add(host)
                homeless = [each for each in message.alerts if look.concerns(given, each, self._known(plan)) == ""]
                hosts.update(host for each in message.alerts if look.concerns(given, each, self._known(plan)) == host)
                ignored += [
                    f"`{each.labels.get('alertname', '')}` is ignored: its label {given.host_label}="
                    f"{each.labels.get(given.host_label, '')!r} names no host of {plan.runbook.name}"
                    for each in homeless
                    if self._first(detector.name, each.labels.get(given.host_label, ""))
                ]
            for host in hosts:
                found.setdefault(host, []).append(detector.name)
        return found, ignored

    def _first(self, detector: str, label: str) -> bool:
        """Tell whether this was not told yet; what is told is bounded, whatever is sent."""
        if (detector, label) in self._told or len(self._told) >= _TOLD:
            return False
        self._told.add((detector, label))
        return True

    def _known(self, plan: Plan) -> Homes:
        if self._homes is None or self._homes[0] is not plan:
            self._homes = (plan, homes.of(plan))
        return self._homes[1]
