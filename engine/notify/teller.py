"""Telling people: which message goes to which channels, what is held back, and who hears that a fault is over."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.errors import UserError
from runbook.engine.journal.ask import told as past
from runbook.engine.journal.facts import Fact
from runbook.engine.language import amounts
from runbook.engine.notify.channels import hidden
from runbook.engine.notify.posting import Posting
from runbook.modules import catalogue, cut
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runbook.engine.journal.ask.told import Told
    from runbook.engine.journal.store import Journal
    from runbook.engine.model import Detector, Runbook
    from runbook.engine.notify.channels import Channels
    from runbook.engine.recover.commands import Notify
    from runbook.engine.recover.state import Incident, State

_BACK: Final = 30 * 86400.0  # seconds in which a message is remembered
_LONGEST: Final = 4000  # characters of a message
_FRESH: Final = 600.0  # seconds for which it is believed what the journal says: other runs use the channels too
_UNSEEN: Final = frozenset({"look.unknown", "look.absent"})


@frozen
class _Message:
    """What is said, and about what."""

    text: str
    title: str
    severity: str
    host: str = ""
    detector: str = ""
    subject: str = ""
    incident: str = ""
    place: str = ""
    cured: bool = False
    kind: str = ""  # of `tell`, which decides itself what is told again


class Teller:
    """Tells people by channels, for one run. Nothing here waits but `finish`.

    Args:
        channels: those of the configuration.
        journal: where it stands who was told of what.
        runbook: whose messages these are.
        run: the run's id.
        redact: takes the secrets out of a text.
    """

    def __init__(
        self, channels: Channels, journal: Journal, runbook: Runbook, run: str, redact: Callable[[str], str]
    ) -> None:
        self._channels = channels
        self._journal = journal
        self._runbook = runbook
        self._run = run
        self._redact = redact
        self._past: list[Told] | None = None
        self._read = 0.0  # when that was
        self._posting = Posting(channels.timeout)
        self._sent: dict[int, _Message] = {}  # by their numbers: those on their way
        self._waiting: dict[int, int] = {}  # the same: to how many channels
        self._facts: list[Fact] = []
        self._unseen: set[tuple[str, str]] = set()  # hosts and detectors that could not look
        self._cured: list[Fact] = []

    def tell(self, told: Notify, incident: Incident | None, now: float) -> None:
        """Send a message to the channels that it names, or to the usual ones; without any there is nothing to do."""
        names = dict.fromkeys(told.channels or self._channels.default)
        if not names:
            return
        detector, subject = (incident.detector, incident.subject) if incident else ("", "")
        title = told.title or " ".join(part for part in (detector or self._runbook.name, "on", told.host) if part)
        message = _Message(
            told.message, title, told.severity, told.host, detector, subject, told.incident, told.place,
            cured=told.kind == "cured", kind=told.kind,
        )  # fmt: skip
        self._send(message, [name for name in names if not self._held(name, message, now)], now)

    def hear(self, fact: Fact) -> None:
        """Take in what happened: an end, or a look that saw nothing."""
        if fact.kind in _UNSEEN:
            self._unseen.add((fact.host, fact.detector or str(fact.data.get("detector") or "")))
        elif fact.kind == "look.seen":
            self._unseen.discard((fact.host, fact.detector))
        elif fact.kind == "incident.ended" and fact.data.get("to") == "cured":
            self._cured.append(fact)

    @property
    def idle(self) -> bool:
        """Nobody is being told of anything, and nobody may have to hear that a fault is over."""
        return not (self._sent or self._facts or self._cured)

    def results(self, now: float, *, wait: bool = False) -> Iterator[Fact]:
        """Yield how the messages went that are on their way no more."""
        yield from self._facts
        self._facts.clear()
        for number, channel, reason in self._posting.results(wait=wait):
            message = self._sent[number]
            self._waiting[number] -= 1
            if not self._waiting[number]:
                del self._sent[number], self._waiting[number]
            if reason:
                self._forget(message, channel, now)
            yield self._fact(message, channel, "failed" if reason else "sent", reason, now)

    def finish(self, state: State, now: float) -> Iterator[Fact]:
        """Tell those who heard of a fault that it is over, and await what is on its way."""
        yield from self.results(now, wait=True)
        if self._channels.cured and not state.stopping:
            self._close(state, now)
            yield from self.results(now, wait=True)
        self._posting.close()

    def over(self, state: State, now: float) -> Iterator[Fact]:
        """Tell those who heard of a fault that it is over, as soon as that is seen; of a run that goes on."""
        if self._channels.cured and not state.stopping and any(each.status == "sent" for each in self._known(now)):
            self._close(state, now)
        yield from self.results(now)

    def _close(self, state: State, now: float) -> None:
        for fault, sent in self._open(now).items():
            _, host, name, subject = fault
            detector = next((each for each in self._runbook.detectors if each.name == name), None)
            if detector is None or detector.tell or any(step.module == "notify" for step in detector.cured):
                continue  # it says so itself
            ended = next((fact for fact in self._cured if (fact.host, fact.detector, fact.subject) == fault[1:]), None)
            if ended is None and not self._well(state, detector, host, subject):
                continue
            about = f"{name} is over on {host}" + (f": {subject}" if subject and subject != host else "")
            lasted = f", {amounts.format_duration(now - sent[0].at)} after it was told first"
            message = _Message(about + lasted, f"over: {name} on {host}", "cured", host, name, subject,
                               sent[-1].incident, cured=True)  # fmt: skip
            known = [each for each in dict.fromkeys(one.channel for one in sent) if each in self._channels.by_name]
            self._send(message, known, now)
        self._cured.clear()

    def _open(self, now: float) -> dict[tuple[str, str, str, str], list[Told]]:
        """Return by fault the messages about it since it was told to be over."""
        found: dict[tuple[str, str, str, str], list[Told]] = {}
        for one in self._known(now):
            if one.runbook != self._runbook.name or not one.detector:
                continue
            if one.cured:
                found.pop(one.fault, None)
            elif one.status == "sent":
                found.setdefault(one.fault, []).append(one)
        return found

    def _well(self, state: State, detector: Detector, host: str, subject: str) -> bool:
        """Tell whether this pass saw that a fault is over whose incident ended in vain before."""
        probe = catalogue.probe(detector.probe)
        if probe.events or probe.engine or not state.plan.chosen(detector):
            return False
        key = (host, detector.name, subject)
        if (host, detector.name) not in state.judged:
            return False
        known = {
            (each.host, each.detector, each.subject) for each in (*state.incidents.values(), *state.ended.values())
        }
        held = {(where, name, about) for where, name, about in state.holds}
        return key not in known | held and (host, detector.name) not in self._unseen

    def _held(self, channel: str, message: _Message, now: float) -> bool:
        """Hold a message back that was sent before, or where too many were; the report says so."""
        mine = [one for one in self._known(now) if one.channel == channel]
        fault = (self._runbook.name, message.host, message.detector, message.subject)
        again: Told | None = None
        for one in mine if message.incident and not message.kind else ():
            if one.fault == fault and one.cured:
                again = None
            elif one.fault == fault and one.place == message.place and one.status == "sent":
                again = one
        if again is not None and now - again.at < self._channels.repeat:
            ago = amounts.format_duration(round(now - again.at))
            reason = f"told of this fault {ago} ago, and again after {amounts.format_duration(self._channels.repeat)}"
            self._facts.append(self._fact(message, channel, "held", reason, now))
            return True
        limit = self._channels.limit
        lately = [one for one in mine if one.status == "sent" and now - one.at < (limit.per or now)]
        if len(lately) >= limit.count:
            reason = f"{limit.count} messages in {amounts.format_duration(limit.per or 0)} are its limit"
            self._facts.append(self._fact(message, channel, "held", reason, now))
            return True
        return False

    def _known(self, now: float) -> list[Told]:
        idle = not (self._sent or self._facts)  # what is on its way does not stand in the journal yet
        if self._past is None or (idle and now - self._read > _FRESH):
            self._past, self._read = past.told(self._journal, now - _BACK), now
        return self._past

    def _send(self, message: _Message, names: list[str], now: float) -> None:
        addresses = {}
        for name in names:
            wrong = self._channels.unknown([name])  # one that a template named
            try:
                addresses[name] = self._channels.addresses(name) if wrong is None else []
                reason = "" if wrong is None else f"there is no such channel; {wrong[1]}"
            except UserError as error:
                reason = f"{error.where}: {error.what}"
            if reason:
                addresses.pop(name, None)
                self._facts.append(self._fact(message, name, "failed", reason, now))
        if not addresses:
            return
        about = f"{self._runbook.name}" + (f", incident {message.incident[:8]}" if message.incident else "")
        more = f"\n\n{about}: runbook explain {message.incident[:8]}" if message.incident else f"\n\n{about}"
        severity = f"[{message.severity}] " if message.severity and not message.cured else ""
        order = {
            "title": _plain(self._redact(severity + message.title)).replace("\n", " "),
            "body": _plain(self._redact(message.text)) + more,
            "severity": "cured" if message.cured else message.severity,
        }
        number = self._posting.send(order, addresses)
        self._sent[number], self._waiting[number] = message, len(addresses)
        self._known(now).extend(self._begun(message, name, now) for name in addresses)

    def _begun(self, message: _Message, channel: str, now: float) -> Told:
        about = (self._runbook.name, message.host, message.detector, message.subject, message.incident)
        return past.Told(now, *about, channel, "sent", message.place, message.cured)

    def _forget(self, message: _Message, channel: str, now: float) -> None:
        """Take back that a channel was told: it may be tried again, and need not hear of the end."""
        known = self._known(now)
        mine = replace(self._begun(message, channel, now), at=0.0)
        place = next((at for at in range(len(known) - 1, -1, -1) if replace(known[at], at=0.0) == mine), None)
        if place is not None:
            del known[place]

    def _fact(self, message: _Message, channel: str, status: str, reason: str, now: float) -> Fact:
        addresses: list[str] = []
        if reason and channel in self._channels.by_name:
            with contextlib.suppress(UserError):  # the reason says so
                addresses = self._channels.addresses(channel)
        data: dict[str, Any] = {
            "channel": channel,
            "status": status,
            "reason": hidden(reason, addresses),
            "message": message.text,
            "place": message.place,
            "cured": message.cured,
        }
        about = (message.detector, message.subject, message.incident)
        return Fact("channel.told", now, self._run, message.host, *about, data=data)


def _plain(text: str) -> str:
    """Return a text without control characters, at a length that every channel takes."""
    shown = "".join(letter if letter == "\n" or letter.isprintable() else " " for letter in text)
    return shown if len(shown) <= _LONGEST else cut.start(shown, _LONGEST) + " …"
