"""A driver's ear: the looks of its `alert` detectors, and whom a message concerns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runbook.engine.alerts import homes, look
from runbook.engine.alerts.residents import Residents
from runbook.engine.errors import RenderError
from runbook.engine.language.params import Wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from runbook.engine.alerts.inbox import Inbox
    from runbook.engine.alerts.payload import Alert, Message
    from runbook.engine.model import Detector, Look
    from runbook.engine.recover.state import Plan
    from runbook.modules.probes.alert import Alert as AlertProbe

_TOLD: Final = 1000  # texts that are remembered to have been told
_AGAIN: Final = 86400.0  # seconds after which they are told again


class _Ground:
    """What a plan says of alerts, made out once."""

    def __init__(self, plan: Plan, inbox: Inbox | None) -> None:
        self.plan = plan
        self.residents = None if inbox is None else Residents(inbox, homes.of(plan))
        self._given: dict[tuple[str, str], AlertProbe | None] = {}

    def given(self, detector: Detector, host: str) -> AlertProbe | None:
        """Return what a detector asks for of a host; None where that can't be filled in."""
        key = (detector.name, host)
        if key not in self._given:
            try:
                self._given[key] = look.wanted(self.plan, detector, host)
            except (RenderError, Wrong):
                self._given[key] = None
        return self._given[key]


class Hearing:
    """What one runbook hears.

    Args:
        inbox: what was heard; None = nothing listens: this is no watch.
        cursor: what a host's detector remembered at its last look.
    """

    def __init__(self, inbox: Inbox | None, cursor: Callable[[str, str], Mapping[str, Any]]) -> None:
        self._inbox = inbox
        self._cursor = cursor
        self._ground: _Ground | None = None
        self._told: dict[str, float] = {}

    def looks(self, plan: Plan, host: str, names: Iterable[str], now: float) -> dict[str, Look]:
        """Return what is known of a host by the alerts that these detectors ask for."""
        residents = self._of(plan).residents
        return {
            each.name: look.look(plan, each, host, residents, self._cursor(host, each.name), now)
            for each in look.detectors(plan, names)
        }

    def concerned(self, plan: Plan, message: Message) -> tuple[dict[str, list[str]], list[str]]:
        """Return the detectors that a message may say something new to, by host, and what is to be told of the rest.

        A group that was told without an alert says something of that one, too.
        """
        ground = self._of(plan)
        if ground.residents is None:
            return {}, []
        found: dict[str, list[str]] = {}
        ignored: list[str] = []
        known: dict[str, dict[str, list[Alert]]] = {}  # by label: the message's alerts by the host that it names
        wanted = False
        for detector in look.detectors(plan):
            strangers = True
            for host in plan.scopes:
                given = ground.given(detector, host)
                if given is not None and given.receiver != message.receiver:
                    continue
                if given is None:  # its look says why
                    found.setdefault(host, []).append(detector.name)
                    continue
                wanted, label = True, given.host_label
                if label not in known:
                    known[label] = ground.residents.by_home(message.alerts, label)
                if strangers:  # for each host would be the same, and take its time
                    strangers = False
                    ignored += self._ignored(plan, given, known[label].get("", ()))
                heard = any(look.asks(given, each) for each in known[label].get(host, ()))
                if heard or self._cursor(host, detector.name).get("alerts"):
                    found.setdefault(host, []).append(detector.name)
        if wanted:
            ignored += [note for note in message.notes if self._first(note, message.at)]
        return found, ignored

    def _ignored(self, plan: Plan, given: AlertProbe, strangers: Sequence[Alert]) -> Iterator[str]:
        for each in strangers:
            named = each.labels.get(given.host_label, "")
            about = f"its label {given.host_label}={named!r} names no host of {plan.runbook.name}"
            if look.asks(given, each) and self._first(about, each.heard):
                yield f"`{each.labels.get('alertname', '')}` is ignored: {about}"

    def _first(self, text: str, now: float) -> bool:
        """Tell whether this was not told lately; what is told is bounded, whatever is sent."""
        if now - self._told.get(text, -_AGAIN) < _AGAIN:
            return False
        if len(self._told) >= _TOLD:
            self._told = {text: at for text, at in self._told.items() if now - at < _AGAIN}
        if len(self._told) >= _TOLD:
            return False
        self._told[text] = now
        return True

    def _of(self, plan: Plan) -> _Ground:
        if self._ground is None or self._ground.plan is not plan:
            self._ground = _Ground(plan, self._inbox)
        return self._ground
