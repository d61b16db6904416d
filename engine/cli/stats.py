"""`runbook stats`: how often what worked, and how long it took."""

from __future__ import annotations

import sys
from typing import Any

import click

from runbook.engine.cli.history import asked, nothing, options


@click.command("stats", short_help="Show how often what worked, and how long it took.")
@options
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many rows a table."
)
def command(limit: int, journal: str | None, form: str, **about: Any) -> None:
    """Show how often operations, detectors and steps worked, and how long they took.

    \b
    Examples:
        runbook stats --since 30d
        runbook stats --runbook llm-deploy --format json
    """
    from runbook.engine.journal import queries
    from runbook.engine.journal.store import open_journal
    from runbook.engine.report import past
    from runbook.engine.report.document import encode
    from runbook.engine.report.paint import paint_for

    question = asked(**about)
    with open_journal(journal, read_only=True) as book:
        found = queries.stats(book, question).first(limit)
        if form == "json":
            click.echo(encode({"schema": 1, "journal": book.path, **past.stats_document(found)}, indent=2))
            return
        paint = paint_for(sys.stdout)
        lines = [paint.fit(line) for line in past.stats_lines(paint, found)]
        click.echo("\n".join(lines) or nothing(book, question))
