"""`runbook status`: how things stand."""

from __future__ import annotations

import sys
import time
from functools import partial

import click


@click.command("status", short_help="Show what is open, and what is next.")
@click.option("--host", default="", metavar="NAME", help="Only this host.")
@click.option("--runbook", default="", metavar="NAME", help="Only this runbook.")
@click.option("--journal", metavar="PATH", help="The journal to read.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Of the answer.")
def command(host: str, runbook: str, journal: str | None, form: str) -> int:
    """Show how things stand: what is open and why, what is next, components, and when each runbook last ran.

    It reads the journal, and looks at no host; `runbook check` does.

    \b
    Exit codes: 0 well, 2 something is open, or was left unhealed and not seen well since, 3 only waiting
    for approval or verification, 4 the last pass could not see a detector or host, or did not end.
    """
    from runbook.engine.journal.ask.standing import standing
    from runbook.engine.journal.store import open_journal
    from runbook.engine.report import standing as report
    from runbook.engine.report.paint import paint_for

    now = time.time()
    with open_journal(journal, read_only=True) as book:
        stands = standing(book, now, runbook, host, partial(at_work, book.path))
        if form == "json":
            from runbook.engine.report.document import encode
            from runbook.engine.report.standing_document import document

            click.echo(encode({"journal": book.path, **document(stands, now)}, indent=2))
            return report.exit_code(stands)
        paint = paint_for(sys.stdout)
        shown = [paint.fit(line) for line in report.lines(paint, stands, now)]
        click.echo("\n".join(shown) or _nothing(book.path, exists=book.exists, narrowed=bool(host or runbook)))
    return report.exit_code(stands)


def at_work(journal: str, run: str) -> bool:
    """Tell whether a run that has no end lives; where nobody may ask, it does."""
    from runbook.engine.errors import JournalUnusable
    from runbook.engine.journal.locks import Locks

    try:
        with Locks(journal, asks_only=True) as locks:
            return locks.held(f"run {run}")
    except JournalUnusable:
        return True


def _nothing(path: str, *, exists: bool, narrowed: bool) -> str:
    if not exists:
        return f"Nothing yet: there is no journal at {path}. `runbook apply quickstart` begins one."
    return f"Nothing {'about that ' if narrowed else ''}in the journal at {path}."
