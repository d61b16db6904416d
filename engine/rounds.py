"""Looks that are on their way: what several agents of a host see is one look."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runbook.engine import looking
from runbook.engine.fleet import messages
from runbook.engine.fleet.connection import Gone
from runbook.engine.model import NotSeen
from runbook.engine.recover.commands import Looked, Probed, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from runbook.engine.fleet.connection import Fleet
    from runbook.engine.model import Look
    from runbook.engine.recover.commands import LookAt
    from runbook.engine.recover.state import Plan

    Cursor = Callable[[str, str], Mapping[str, Any]]


_TOOK = 10_000  # answers whose time is remembered until somebody asks for it


@dataclass
class _Look:
    """What one host was asked, by one agent for each user."""

    host: str
    intent: str | None
    names: dict[int, tuple[str, tuple[str, ...]]] = field(default_factory=dict)  # by number: the user, the looks
    known: dict[str, Look] = field(default_factory=dict)
    asked: tuple[str, ...] = ()
    serial: int = 0  # the higher, the later it was asked
    cursors: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # where they began to read
    began: float = field(default_factory=time.monotonic)
    gone: str = ""


class Rounds:
    """Sends looks, and puts together what comes back."""

    def __init__(self, fleet: Fleet, cursor: Cursor) -> None:
        self._fleet = fleet
        self._cursor = cursor
        self._asked: dict[int, _Look] = {}
        self._serial = 0
        self._newest: dict[tuple[str, str], int] = {}  # by host and detector: which look was taken in last
        self.again: list[tuple[str, tuple[str, ...]]] = []  # hosts, and detectors to look at once more
        self.took: deque[tuple[str, float]] = deque(maxlen=_TOOK)  # hosts, and the seconds in which they answered
        self.heard_of: dict[tuple[str, str], bool | str] = {}  # by host and detector: whether pushes tell of it
        self.listens = False  # have agents say when something happens that a detector looks at

    def __bool__(self) -> bool:
        """Tell whether one is not answered yet."""
        return bool(self._asked)

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts that have yet to answer."""
        return frozenset(look.host for look in self._asked.values())

    def open(self, host: str) -> frozenset[str]:
        """Return the detectors that a host is being asked for."""
        looks = {id(look): look for look in self._asked.values() if look.host == host and look.intent is None}
        return frozenset(name for look in looks.values() for name in look.asked)

    def ask(self, plan: Plan, command: LookAt) -> Looked | None:
        """Send what a host is to be asked; return what is known without asking."""
        self._serial += 1
        look = _Look(command.host, command.intent, asked=command.detectors, serial=self._serial)
        if command.intent is not None:
            self._send(look, command.user, [looking.waiting(command)])
            return None
        by_user, known = looking.specs(plan, command.host, command.detectors, self._cursor, listens=self.listens)
        look.known = known
        for user, specs in by_user.items():
            self._send(look, user, specs)
        if by_user:
            return None
        if not self._fleet.up(command.host):  # whether it can be reached is to be known all the same
            self._sent(look, self._fleet.send(command.host, {"op": "ping"}), "")
            return None
        return Looked(command.host, known, answered=False)

    def hears(self, number: int) -> bool:
        """Tell whether an answer is to a look."""
        return number in self._asked

    def heard(self, number: int, answer: Mapping[str, Any] | Gone) -> Looked | Probed | Unreachable | None:
        """Take an answer in; return what the host has said, once all of it is there."""
        look = self._asked.pop(number)
        user, names = look.names.pop(number)
        if isinstance(answer, Gone):
            reason = f"{answer.reason}; {answer.mend}" if answer.mend and user else answer.reason
            look.known |= dict.fromkeys(names, NotSeen(reason))
            if not user:
                look.gone = str(answer.reason) + (f"\n{answer.mend}" if answer.mend else "")
        elif "looks" in answer:
            look.known |= self._fleet.looks(answer)
            if self.listens:
                self._note(look.host, names, messages.heard(answer))
        elif names:
            look.known |= dict.fromkeys(names, NotSeen(f"the agent can't do that: {answer.get('error')}"))
        if look.names:
            return None
        if look.intent is not None:
            return Probed(look.intent, look.known.get(look.intent, NotSeen("the agent did not say")))
        self.took.append((look.host, time.monotonic() - look.began))
        if look.gone:
            return Unreachable(look.host, look.gone)
        self._leave_out(look)
        return Looked(look.host, look.known)

    def _leave_out(self, look: _Look) -> None:
        """Leave out what another look, such as a verification's, has overtaken: it would be judged, or done, twice."""
        again = []
        for name in look.asked:
            if self._newest.get((look.host, name), 0) > look.serial:
                look.known.pop(name, None)
                continue
            self._newest[look.host, name] = look.serial
            if name in look.cursors and look.cursors[name] != self._cursor(look.host, name):
                look.known.pop(name, None)
                again.append(name)
        if again:
            self.again.append((look.host, tuple(again)))

    def _note(self, host: str, names: Iterable[str], heard: Mapping[str, bool | str]) -> None:
        """Remember of what was looked at whether it is listened to; of what can't be heard at all there is nothing."""
        for name in names:
            self.heard_of.pop((host, name), None)
            if name in heard:
                self.heard_of[host, name] = heard[name]

    def _send(self, look: _Look, user: str, specs: list[messages.Spec]) -> None:
        names = tuple(spec.id for spec in specs)
        look.cursors |= {spec.id: spec.state for spec in specs}
        self._sent(look, self._fleet.send(look.host, messages.probe(specs), user), user, names)

    def _sent(self, look: _Look, number: int, user: str, names: tuple[str, ...] = ()) -> None:
        look.names[number] = user, names
        self._asked[number] = look
