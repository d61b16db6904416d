"""`runbook history`: what was found and done, newest first."""

from __future__ import annotations

import itertools
import pathlib
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbook.engine.journal.queries import Asked
    from runbook.engine.journal.store import Journal


_STATES = (
    *("open", "waiting", "observed", "suppressed", "recovering", "verifying", "cured", "unhealed", "unverified"),
    "interrupted",
)


def _seconds(ctx: click.Context, param: click.Parameter, value: str) -> float:
    from runbook.engine.language import units

    if value == "all":
        return float("inf")
    try:
        return units.duration(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}, or all", ctx, param) from error


def options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options by which the past is asked."""
    for option in reversed((
        click.option("--since", callback=_seconds, default="7d", show_default=True, metavar="DURATION",
                     help="How far back: 2h, 7d, or all."),
        click.option("--host", default="", metavar="NAME", help="Only this host."),
        click.option("--detector", default="", metavar="NAME", help="Only this detector."),
        click.option("--runbook", default="", metavar="NAME", help="Only this runbook."),
        click.option("--journal", metavar="PATH", help="The journal to read."),
        click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Of the answer."),
    )):  # fmt: skip
        function = option(function)
    return function


def asked(since: float, runbook: str, host: str, detector: str) -> Asked:
    """Return the question; a runbook may be given as its file, too."""
    from runbook.engine.journal.queries import Asked

    name = pathlib.PurePath(runbook).stem if runbook.endswith((".yaml", ".yml")) else runbook
    return Asked(max(0.0, time.time() - since), name, host, detector)


def nothing(journal: Journal, question: Asked) -> str:
    """Return what to say when there is nothing to show."""
    from runbook.engine.journal import queries
    from runbook.engine.language.nearest import nearest

    if not journal.exists:
        return f"Nothing yet: there is no journal at {journal.path}. `runbook apply quickstart` begins one."
    if question.detector and question.detector not in (known := queries.detectors(journal)):
        meant = nearest(question.detector, known)
        instead = f"did you mean `{meant}`?" if meant else "it has never fired, or it has another name"
        return f"Nothing about a detector `{question.detector}` in the journal at {journal.path}: {instead}"
    narrowed = question.runbook or question.host or question.detector
    hint = "--since all looks at everything" if question.since else "nothing has run yet"
    return f"Nothing {'about that ' if narrowed else ''}in the journal at {journal.path} ({hint})."


@click.command("history", short_help="Show what was found and done, newest first.")
@options
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most so many entries.")
@click.option("--incidents", is_flag=True, help="Incidents, one a line, and not runs.")
@click.option("--state", "states", multiple=True, type=click.Choice(_STATES), metavar="STATE",
              help="Only incidents that are, or ended, so: open, waiting, cured, unhealed…")  # fmt: skip
@click.option("-v", "--verbose", is_flag=True, help="All that was seen and done, not only the headlines.")
def command(
    limit: int,
    journal: str | None,
    form: str,
    states: tuple[str, ...],
    *,
    incidents: bool,
    verbose: bool,
    **about: Any,
) -> None:
    """Show what was found and done, newest first: runs, or (--incidents, --state) incidents.

    \b
    Examples:
        runbook history --since 2d --host gpu07
        runbook history --detector "server down" --format json
        runbook history --state unhealed --state interrupted --since 30d
    """
    from runbook.engine.cli._standing import at_work
    from runbook.engine.journal import queries
    from runbook.engine.journal.store import open_journal
    from runbook.engine.report import past
    from runbook.engine.report.document import encode
    from runbook.engine.report.paint import paint_for

    question = asked(**about)
    with open_journal(journal, read_only=True) as book:
        if incidents or states:
            found = queries.incidents(book, question, states, limit)
            if form == "json":
                told = past.incidents_document(found)
                click.echo(encode({"schema": 1, "journal": book.path, "incidents": told}, indent=2))
                return
            paint = paint_for(sys.stdout)
            lines = [paint.fit(line) for line in past.incident_lines(paint, found, time.time())]
            click.echo("\n".join(lines) or nothing(book, question))
            return
        runs = queries.history(book, question, partial(at_work, book.path))
        if form == "json":
            told = [past.document(run) for run in itertools.islice(runs, limit)]
            click.echo(encode({"schema": 1, "journal": book.path, "runs": told}, indent=2))
            return
        paint = paint_for(sys.stdout)
        lines = [paint.fit(line) for line in past.history_lines(paint, runs, limit=limit, full=verbose)]
        click.echo("\n".join(lines) or nothing(book, question))
