"""`runbook release`: a person has looked at what was interrupted."""

from __future__ import annotations

import time

import click

from runbook.engine.cli import _people as people
from runbook.engine.errors import UserError


@click.command("release", short_help="Free an interrupted incident.")
@click.argument("incident", metavar="ID")
@people.reason
@people.journal
def command(incident: str, reason: str, journal: str | None) -> None:
    """Free an interrupted incident, once somebody has seen how its step ended; the next pass decides anew.

    A step that must not run twice (a restart, a reboot, a script) and whose end nobody knows, since engine and host
    both went away, is never repeated by itself.
    """
    from runbook.engine.journal.ask import find
    from runbook.engine.journal.store import who

    with people.opened(journal) as book, book.transaction() as batch:
        found = find.incident(book, incident)
        if not batch.release(found.id, who(), time.time(), reason.strip()):
            state = f"over: it ended {found.state}" if found.closed is not None else f"{found.state}, not interrupted"
            raise UserError(f"{found.id} is {state}", mend="there is nothing to release")
    click.echo(f"released {people.named(found)}; the next pass decides anew")
