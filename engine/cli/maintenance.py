"""`runbook maintenance`: people work on hosts."""

from __future__ import annotations

import secrets
import sys
import time
from typing import TYPE_CHECKING

import click

from runbook.engine.cli import _people as people

if TYPE_CHECKING:
    from runbook.engine.journal.store import Journal


@click.command("maintenance", short_help="Begin nothing on hosts that people work on.")
@click.argument("hosts", required=False, default="", metavar="[HOSTS]")
@people.lasting("How long; without it, until it is taken off.")
@people.reason
@click.option("--off", is_flag=True, help="Take it off; HOSTS is the pattern it was given, or its id.")
@people.journal
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Of the list.")
def command(hosts: str, lasts: float | None, reason: str, journal: str | None, form: str, *, off: bool) -> None:
    """Begin no recovery on some hosts for a while; detectors look on, and steps in hand are finished.

    HOSTS is a pattern, as in an inventory: a name, a group, `gpu*`, `all`, `rack1:!gpu07`. Without it, the
    maintenance that is on is listed.

    \b
    Examples:
        runbook maintenance 'gpu0*' --for 4h --reason "new disks"
        runbook maintenance 'gpu0*' --off
    """
    if not hosts:
        if off or lasts is not None or reason:
            raise click.UsageError("name the hosts, as in `runbook maintenance gpu07 --for 2h`")
        _list(journal, form)
    elif off:
        if lasts is not None or reason:
            raise click.UsageError("--off goes without --for and --reason")
        _end(hosts, journal)
    else:
        _begin(hosts, lasts, reason.strip(), journal)


def _begin(hosts: str, lasts: float | None, reason: str, journal: str | None) -> None:
    from runbook.engine.inventory.patterns import refuse_unfit
    from runbook.engine.journal.store import open_journal, who
    from runbook.engine.people import Maintenance
    from runbook.engine.report import words
    from runbook.engine.report.clock import moment

    now = time.time()
    refuse_unfit(hosts)
    with open_journal(journal) as book:
        before = [one for one in book.people(now).maintenance if one.hosts == hosts]
        with book.transaction() as batch:
            for one in before:
                batch.end_maintenance(one.id, who(), now)
            until = None if lasts is None else now + lasts
            batch.maintain(Maintenance(secrets.token_hex(4), hosts, now, until, who(), reason))
        unknown = _matches_none(book, hosts)
    lasting = "until it is taken off" if until is None else f"until {moment(until, now)}"
    click.echo(words.printable(f"maintenance of {hosts} {lasting}: nothing is begun there"))
    if unknown:
        click.echo("note: none of the hosts of the last passes has such a name; it may be a group", err=True)


def _matches_none(book: Journal, hosts: str) -> bool:
    from runbook.engine.inventory.patterns import covers
    from runbook.engine.journal.ask import runs

    known = {str(name) for one in runs.latest(book) for name in one.begun.get("hosts") or ()}
    return bool(known) and not any(covers(hosts, name) for name in known)


def _end(hosts: str, journal: str | None) -> None:
    from runbook.engine.errors import UserError
    from runbook.engine.journal.store import who
    from runbook.engine.report import words

    now = time.time()
    with people.opened(journal) as book, book.transaction() as batch:
        on = book.people(now).maintenance
        meant = [one for one in on if one.hosts == hosts] or [one for one in on if one.id.startswith(hosts)]
        if not meant:
            named = ", ".join(f"{one.hosts} ({one.id})" for one in on)
            raise UserError(f"there is no maintenance of {hosts}", mend=f"there is {named}" if on else "none is on")
        for one in meant:
            batch.end_maintenance(one.id, who(), now)
    for one in meant:
        click.echo(words.printable(f"maintenance of {one.hosts} is over; the next pass decides"))


def _list(journal: str | None, form: str) -> None:
    from runbook.engine.journal.store import open_journal
    from runbook.engine.report import words
    from runbook.engine.report.clock import moment
    from runbook.engine.report.paint import paint_for
    from runbook.engine.report.table import table

    now = time.time()
    with open_journal(journal, read_only=True) as book:
        on = book.people(now).maintenance
        if form == "json":
            from runbook.engine.report.document import encode

            told = [{"id": one.id, "hosts": one.hosts, "since": one.since, "until": one.until, "by": one.by,
                     "reason": one.reason or None} for one in on]  # fmt: skip
            click.echo(encode({"schema": 1, "journal": book.path, "maintenance": told}, indent=2))
            return
        if not on:
            click.echo(f"No maintenance is on in the journal at {book.path}.")
            return
        rows = [
            (words.printable(one.hosts), one.id, moment(one.since, now),
             moment(one.until, now) if one.until is not None else "taken off", words.printable(one.by),
             words.printable(one.reason) or "-")
            for one in on
        ]  # fmt: skip
        paint = paint_for(sys.stdout)
        shown = table(paint, ("HOSTS", "id", "since", "until", "by", "reason"), rows)
        click.echo("\n".join(paint.fit(line) for line in shown))
