"""`runbook trends`: how what was done has gone over time."""

from __future__ import annotations

import sys
from typing import Any

import click

from runbook.engine.cli.history import asked, nothing, options


@click.command("trends", short_help="Show what gets slower or worse, and what that suggests.")
@options
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True,
              help="At most so many rows a table.")  # fmt: skip
def command(limit: int, journal: str | None, form: str, **about: Any) -> None:
    """Show how durations and success have gone: mean, the first ten against the last ten, the slope, and a direction.

    Durations are of those that worked, as in `stats`. What was refused was not tried, and does not count.

    Below stands what the past suggests: a rung that never cured, a wait that is always too short, a retry that never
    helped, a limit that is reached every day, a cure that does not last. A direction is told only where the scatter
    lets it be told.

    \b
    Examples:
        runbook trends --since 30d
        runbook trends --runbook llm-deploy --format json
    """
    from runbook.engine.journal.ask.trends import trends
    from runbook.engine.journal.store import open_journal
    from runbook.engine.report import trends as report
    from runbook.engine.report.document import encode
    from runbook.engine.report.paint import paint_for

    question = asked(**about)
    with open_journal(journal, read_only=True) as book:
        found = trends(book, question)
        if form == "json":
            click.echo(encode({"journal": book.path, **report.document(found)}, indent=2))
            return
        paint = paint_for(sys.stdout)
        shown = [paint.fit(line) for line in report.lines(paint, found, limit)]
        click.echo("\n".join(shown) or nothing(book, question))
