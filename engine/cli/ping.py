"""`runbook ping`: which hosts can be reached."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from runbook.engine.cli import _answers, _fleet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runbook.engine.fleet.connection import Gone
    from runbook.engine.glance import Pong
    from runbook.engine.report.paint import Paint


@click.command("ping", short_help="See which hosts can be reached.")
@click.argument("pattern", default="all")
@_fleet.hosts
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Of the answer."
)
def command(pattern: str, form: str, **given: Any) -> int:
    """Connect to the hosts of an inventory, start the agent on each, and say who answers, how fast, and who does not.

    \b
    Examples:
      runbook ping -i inventory.yaml
      runbook ping 'gpu:!maintenance' -i inventory.yaml
      runbook ping gpu07 -i inventory.yaml --accept-new

    \b
    Exit codes: 0 all were reached, 4 some were not.
    """
    from runbook.engine import glance
    from runbook.engine.among import Among
    from runbook.engine.fleet.connection import Gone

    among = Among(_fleet.reach(given))
    chosen = among.choose_by(pattern, "PATTERN")
    if given["list_hosts"]:
        click.echo(_fleet.listed({"ping": chosen.names}))
        return 0
    with among.fleet() as fleet:
        answers = glance.pongs(fleet, glance.hosts(chosen.names, chosen.users))
        found = dict(_answers.watched(answers, chosen.names, f"ping of {len(chosen.names)} hosts"))
    code = 4 if any(isinstance(answer, Gone) for answer in found.values()) else 0
    if form == "json":
        click.echo(json.dumps(_document(found, code), indent=2))
        return code
    from runbook.engine.report.paint import paint_for

    paint = paint_for(sys.stdout)
    for line in _lines(paint, {name: found[name] for name in chosen.names}):
        click.echo(line)
    return code


def _document(found: Mapping[str, Pong | Gone], code: int) -> dict[str, Any]:
    from runbook.engine.glance import Pong
    from runbook.engine.report.passes import SCHEMA

    hosts: dict[str, Any] = {}
    for name, answer in found.items():
        if isinstance(answer, Pong):
            hosts[name] = {
                "state": "reached",
                "user": answer.user,
                "python": answer.python,
                "latency_s": round(answer.latency, 6),
            }
        else:
            hosts[name] = {"state": "unreachable", "reason": answer.reason, "mend": answer.mend}
    return {"schema": SCHEMA, "exit_code": code, "hosts": dict(sorted(hosts.items()))}


def _lines(paint: Paint, found: Mapping[str, Pong | Gone]) -> Iterator[str]:
    """Yield a line for each host that answers, and then why the others do not."""
    from runbook.engine.glance import Pong
    from runbook.engine.report import words

    width = max(map(len, found))
    for name, answer in found.items():
        if isinstance(answer, Pong):
            told = f"{answer.latency * 1000:7.1f} ms  Python {answer.python:8} as {answer.user}"
            yield f"{paint('✔', 'green')} {words.printable(name):{width}}  {words.printable(told)}"
    lost = {name: answer for name, answer in found.items() if not isinstance(answer, Pong)}
    for name, answer in lost.items():
        yield f"{paint('!', 'yellow')} {paint(words.printable(name), 'bold')}"
        for text in "\n".join(filter(None, (answer.reason, answer.mend))).splitlines():
            why, command = words.command_apart(words.printable(text))
            yield from (f"    {line}" for line in words.wrapped(why, paint.columns - 4))
            yield from (f"    {line}" for line in [command] if line)
    said = [f"{len(found) - len(lost)} reached"] if len(lost) < len(found) else []
    said += [f"{len(lost)} unreachable"] if lost else []
    yield paint(", ".join(said), "bold", "yellow" if lost else "green")
