"""`runbook ack`: a person deals with an incident."""

from __future__ import annotations

import time

import click

from runbook.engine.cli import _people as people


@click.command("ack", short_help="Deal with an incident yourself.")
@click.argument("incident", metavar="ID")
@people.lasting("How long; without it, until the incident is over.")
@people.reason
@click.option("--off", is_flag=True, help="Give it back.")
@people.journal
def command(incident: str, lasts: float | None, reason: str, journal: str | None, *, off: bool) -> None:
    """Say that you deal with an incident: nothing is begun about it, and its host does not count as unavailable.

    Also of one that ended without a cure: while the fault is seen, nothing is begun about it again, and its host counts
    no more.

    \b
    Examples:
        runbook ack 7f2 --for 2h --reason "the vendor is on it"
        runbook ack 7f2 --off
    """
    from runbook.engine.errors import UserError
    from runbook.engine.journal.ask import find
    from runbook.engine.journal.store import who
    from runbook.engine.people import Ack
    from runbook.engine.report.clock import moment

    if off and (lasts is not None or reason):
        raise click.UsageError("--off goes without --for and --reason")
    now = time.time()
    with people.opened(journal) as book, book.transaction() as batch:
        found = find.incident(book, incident)
        if found.state == "cured":  # what ended otherwise still keeps its host's place in `max_unavailable`
            people.is_open(found)
        if off:
            if not batch.unack(found.id, who(), now):
                raise UserError(f"nobody has acknowledged {found.id}", mend="there is nothing to give back")
        else:
            batch.ack(Ack(found.id, now, None if lasts is None else now + lasts, who(), reason.strip()))
    if off:
        click.echo(f"gave back {people.named(found)}; the next pass decides about it")
        return
    until = "until it is over" if lasts is None else f"until {moment(now + lasts, now)}"
    more = "" if found.closed is None else ", and its host does not count for max_unavailable any more"
    click.echo(f"acknowledged {people.named(found)}: nothing is begun about it {until}{more}")
