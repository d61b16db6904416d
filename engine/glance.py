"""One look at each of several hosts, for `runbook probe`: asked of all at once, told as the answers come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.fleet import messages
from runbook.engine.fleet.connection import Gone
from runbook.engine.model import NotSeen
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runbook.engine.fleet.connection import Fleet
    from runbook.engine.fleet.messages import Spec
    from runbook.engine.model import Look

_TURN = 0.5  # seconds after which a Ctrl-C is seen at the latest


@frozen
class Unreached:
    """In place of a look: the host did not answer."""

    reason: str


def looks(fleet: Fleet, users: Mapping[str, str], spec: Spec) -> Iterator[tuple[str, Look | Unreached]]:
    """Yield what was seen on each host, in the order in which they answer; each host answers once.

    Args:
        fleet: the connections.
        users: the hosts by their names, and as whom each is looked at; empty: as whoever logs in.
        spec: the look.
    """
    asked = {fleet.send(host, messages.probe([spec]), user): host for host, user in users.items()}
    while asked:
        for ticket, answer in fleet.receive(_TURN):
            if isinstance(answer, Gone):
                said = answer.reason + (f": {answer.mend}" if answer.mend else "")
                yield asked.pop(ticket), Unreached(said)
            elif "looks" in answer:
                yield asked.pop(ticket), fleet.looks(answer).get(spec.id, NotSeen("it did not say what it saw"))


def hosts(names: Sequence[str], users: Mapping[str, tuple[bool, str]]) -> dict[str, str]:
    """Return hosts with as whom everything on them is done; empty: as whoever logs in."""
    return {name: user if become else "" for name in names for become, user in [users.get(name, (False, ""))]}
