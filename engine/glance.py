"""One look at each of several hosts, for `runbook probe`: asked of all at once, told as the answers come."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.errors import RenderError
from runbook.engine.fleet import messages
from runbook.engine.fleet.connection import Gone
from runbook.engine.fleet.messages import Spec
from runbook.engine.language import render
from runbook.engine.language.kinds import holds_template
from runbook.engine.model import NotSeen, Runbook
from runbook.modules import catalogue
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runbook.engine.among import Chosen
    from runbook.engine.fleet.connection import Fleet
    from runbook.engine.fleet.hosts import Hosts
    from runbook.engine.model import Look

_PING: Final = {"op": "ping"}
_TURN = 0.5  # seconds after which a Ctrl-C is seen at the latest


@frozen
class Unreached:
    """In place of a look: the host did not answer."""

    reason: str


def filled(module: str, given: Mapping[str, Any], chosen: Chosen) -> tuple[dict[str, Spec], dict[str, Look]]:
    """Return one look at each host, its templates filled in with the host's variables; and why there is none on some.

    Args:
        module: the probe.
        given: its parameters.
        chosen: the hosts.
    """
    found: dict[str, Spec] = {}
    wrong: dict[str, Look] = {}
    for host in chosen.names:
        values = dict(given)
        if holds_template(given):
            scope = render.Scope(Runbook("probe", "", vars=chosen.vars(host)), host=host)
            try:
                values = render.probe(module, given, scope)
            except RenderError as error:
                wrong[host] = NotSeen(error.what)
                continue
        found[host] = Spec(module, module, values, deadline=catalogue.probe(module).deadline(values))
    return found, wrong


def looks(fleet: Fleet, users: Mapping[str, str], specs: Mapping[str, Spec]) -> Iterator[tuple[str, Look | Unreached]]:
    """Yield what was seen on each host, in the order in which they answer; each host answers once.

    Args:
        fleet: the connections.
        users: by host as whom it is looked at; empty: as whoever logs in.
        specs: the hosts' looks by their names.
    """
    asked = {fleet.send(host, messages.probe([spec]), users[host]): host for host, spec in specs.items()}
    while asked:
        for ticket, answer in fleet.receive(_TURN):
            if isinstance(answer, Gone):
                said = answer.reason + (f": {answer.mend}" if answer.mend else "")
                yield asked.pop(ticket), Unreached(said)
            elif "looks" in answer:
                host = asked.pop(ticket)
                yield host, fleet.looks(answer).get(specs[host].id, NotSeen("it did not say what it saw"))


@frozen
class Pong:
    """A host answers."""

    user: str  # as whom its agent runs there
    python: str  # the version
    latency: float  # seconds for a question and its answer


def pongs(fleet: Hosts, users: Mapping[str, str]) -> Iterator[tuple[str, Pong | Gone]]:
    """Yield how each host answers, or why it does not, as that is known.

    Each is asked twice: the first answer may have waited for the connection.
    """
    asked = {fleet.send(host, _PING, user): (host, 0.0) for host, user in users.items()}
    while asked:
        for ticket, answer in fleet.receive(_TURN):
            host, began = asked.pop(ticket)
            if isinstance(answer, Gone):
                yield host, answer
            elif not began:
                asked[fleet.send(host, _PING, users[host])] = (host, time.monotonic())
            else:
                latency = time.monotonic() - began
                yield host, Pong(str(answer.get("pong", ""))[:100], fleet.python(host, users[host]), latency)


def hosts(names: Sequence[str], users: Mapping[str, tuple[bool, str]]) -> dict[str, str]:
    """Return hosts with as whom everything on them is done; empty: as whoever logs in."""
    return {name: user if become else "" for name in names for become, user in [users.get(name, (False, ""))]}
