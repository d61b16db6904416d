"""`runbook stats`: how often what worked, and how long it took; how often what crashed."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from runbook.engine.cli.history import asked, nothing, options

_WEEKS = 6 * 7 * 86400.0  # seconds of which a trend is told, where nobody says how far back


@click.command("stats", short_help="Show how often what worked, and how long it took.")
@options
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many rows a table."
)
@click.option(
    "--signatures", is_flag=True, help="The crashes that `runbook scan` found, by signature; 6 weeks of them."
)
def command(limit: int, journal: str | None, form: str, *, signatures: bool, **about: Any) -> None:
    """Show how often operations, detectors and steps worked, and how long they took; or what crashed how often.

    Mean and p95 are of those that worked, as in `trends`. What was refused was not tried, and does not count.

    \b
    Examples:
        runbook stats --since 30d
        runbook stats --runbook llm-deploy --format json
        runbook stats --signatures --since all
    """
    if signatures:
        for name in ("detector", "runbook"):
            if about[name]:
                raise click.UsageError(f"crashes know no {name}: --signatures goes without --{name}")
        told = click.get_current_context().get_parameter_source("since") is not click.core.ParameterSource.DEFAULT
        _crashes(about["since"] if told else _WEEKS, about["host"], limit, journal, form)
        return
    from runbook.engine.journal.ask import rates
    from runbook.engine.journal.store import open_journal
    from runbook.engine.report import past
    from runbook.engine.report.document import encode
    from runbook.engine.report.paint import paint_for

    question = asked(**about)
    with open_journal(journal, read_only=True) as book:
        found = rates.stats(book, question).first(limit)
        if form == "json":
            click.echo(encode({"schema": 1, "journal": book.path, **past.stats_document(found)}, indent=2))
            return
        paint = paint_for(sys.stdout)
        lines = [paint.fit(line) for line in past.stats_lines(paint, found)]
        click.echo("\n".join(lines) or nothing(book, question))


def _crashes(since: float, host: str, limit: int, journal: str | None, form: str) -> None:
    from runbook.engine.journal import crashes
    from runbook.engine.journal.store import open_journal
    from runbook.engine.report import crash_stats
    from runbook.engine.report.document import encode
    from runbook.engine.report.paint import paint_for

    now = time.time()
    with open_journal(journal, read_only=True) as book:
        found = crashes.rates(book, max(0.0, now - since), now, host)[:limit]
        if form == "json":
            click.echo(encode({"schema": 1, "journal": book.path, **crash_stats.document(found)}, indent=2))
            return
        paint = paint_for(sys.stdout)
        lines = [paint.fit(line) for line in crash_stats.lines(paint, found)]
        kept = "in that time" if since != float("inf") else "yet"
        none = f"No crash is kept {kept} in the journal at {book.path}: `runbook scan LOG` keeps what it finds."
        click.echo("\n".join(lines) or none)
