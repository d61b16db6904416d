"""One agent of the pool: what is asked of it, and how it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runbook.engine.fleet.connection import Gone

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.fleet.agent import Agent


class Place:
    """A host, and the user under whom an agent runs there."""

    def __init__(self, host: str, user: str) -> None:
        self.host, self.user = host, user
        self.agent: Agent | None = None
        self.dialling = False
        self.waiting: list[tuple[int, Mapping[str, Any]]] = []  # until it is connected
        self.tickets: dict[int, int] = {}  # by the agent's numbers; 0: nobody's
        self.channel = 0  # the ticket under which it tells what it hears; 0: it was not asked to
        self.channel_number: int | None = None  # the agent's own for that
        self.registered: Mapping[int, int] = {}
        self.gone = Gone(host, user, "it was not dialled yet")
        self.losses = 0  # in a row
        self.again = 0.0  # when it may be dialled
        self.began = self.heard = 0.0
        self.taken = 0  # bytes that it had sent when it was heard last
        self.pinged = False
        self.forsaken = False  # nobody asks it any more, whatever a thread comes back with

    def asked(self, number: int, ticket: int, *, standing: bool) -> None:
        """Take in under which number a request went out; a standing one is never answered for good."""
        if standing:
            self.channel, self.channel_number = ticket, number
        else:
            self.tickets[number] = ticket

    def answered(self, number: int, message: Mapping[str, Any]) -> int:
        """Return the ticket that a message answers; 0 where nobody waits for it."""
        if number == self.channel_number:
            ticket = self.channel
            if "error" in message:
                self.channel, self.channel_number = 0, None
            return ticket
        return self.tickets.get(number, 0) if "progress" in message else self.tickets.pop(number, 0)

    def abandon(self, gone: Gone, *, sent: bool) -> list[tuple[int, Gone]]:
        """Return the answer for each who waits: those whose request went out, and those whose did not."""
        out = [*self.tickets.values(), *([self.channel] if self.channel_number is not None else [])]
        kept = [ticket for ticket, _ in self.waiting]
        self.tickets, self.waiting, self.channel, self.channel_number = {}, [], 0, None
        told = Gone(gone.host, gone.user, gone.reason, gone.mend, sent=sent)
        return [*((ticket, told) for ticket in out if ticket), *((ticket, gone) for ticket in kept)]
