"""The alerts of each host: those that were heard, by the host that one of their labels names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runbook.engine.alerts.homes import Homes
    from runbook.engine.alerts.inbox import Inbox
    from runbook.engine.alerts.payload import Alert


class Residents:
    """Sorts what an inbox heard, anew only when something came.

    Args:
        inbox: what was heard.
        homes: tells which host an alert is about.
    """

    def __init__(self, inbox: Inbox, homes: Homes) -> None:
        self._inbox = inbox
        self._homes = homes
        self._sorted: dict[tuple[str, str], tuple[int, dict[str, list[Alert]]]] = {}

    def alerts(self, host: str, receiver: str, label: str) -> Sequence[Alert]:
        """Return what was heard of a host.

        Args:
            host: its name.
            receiver: who was told.
            label: the one that names the host.
        """
        revision = self._inbox.revision(receiver)
        seen, found = self._sorted.get((receiver, label), (-1, {}))
        if seen != revision:
            found = self.by_home(self._inbox.alerts(receiver), label)
            self._sorted[receiver, label] = (revision, found)
        return found.get(host, ())

    def groups(self, receiver: str) -> Mapping[str, float]:
        """Return by its key when all that fires of a group was told last."""
        return self._inbox.groups(receiver)

    def by_home(self, alerts: Iterable[Alert], label: str) -> dict[str, list[Alert]]:
        """Return alerts by the host that a label names; empty: none of ours."""
        found: dict[str, list[Alert]] = {}
        for alert in alerts:
            found.setdefault(self._homes.home(alert.labels.get(label, "")) or "", []).append(alert)
        return found
