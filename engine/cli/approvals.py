"""`runbook approvals`: what waits for a person."""

from __future__ import annotations

import sys
import time

import click

from runbook.engine.cli import _people as people


@click.command("approvals", short_help="Show what waits for a person.")
@people.journal
@click.option("-q", "--quiet", is_flag=True, help="Only the ids of what is not approved yet, for a script.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Of the answer.")
def command(journal: str | None, form: str, *, quiet: bool) -> int:
    """Show which recoveries wait for approval: about what, with exactly which steps, and what to type.

    \b
    Exit codes: 0 nothing waits, 3 something does.
    """
    from runbook.engine.journal.ask.standing import waiting
    from runbook.engine.journal.store import open_journal
    from runbook.engine.report import approvals as report
    from runbook.engine.report.paint import paint_for

    now = time.time()
    with open_journal(journal, read_only=True) as book:
        found, said = waiting(book), book.people(now)
        left = [one for one in found if not report.allowed(one, said, now)]
        if quiet:
            click.echo("".join(f"{one.id}\n" for one in left), nl=False)
        elif form == "json":
            from runbook.engine.report.document import encode

            click.echo(encode({"journal": book.path, **report.document(found, said, now)}, indent=2))
        else:
            paint = paint_for(sys.stdout)
            shown = [paint.fit(line) for line in report.lines(paint, found, said, now)]
            click.echo("\n".join(shown) or f"Nothing waits for approval in the journal at {book.path}.")
    return 3 if left else 0
