"""`runbook explain`: why something was done, or was not."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from runbook.engine.cli import _fleet
from runbook.engine.cli import _options as options
from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook.engine.among import Reach
    from runbook.engine.inquire import Inquiry
    from runbook.engine.journal.ask.detector import Known
    from runbook.engine.journal.store import Journal

_HERE = "localhost"


@click.command("explain", short_help="Show why something was done, or was not.")
@click.argument("what", metavar="ID|DETECTOR")
@click.argument("host", required=False, default="", metavar="[HOST]")
@click.option("--runbook", default="", metavar="NAME", help="Whose detector, where several runbooks have one so named.")
@click.option("-e", "--extra-vars", "extra", multiple=True, metavar="NAME=VALUE|@FILE",
              help="Variables, as they were given to the passes.")  # fmt: skip
@_fleet.reaching
@click.option("--look/--no-look", default=True, show_default=True,
              help="Look at the host now, too; nothing is changed and nothing is kept.")  # fmt: skip
@click.option("-v", "--verbose", is_flag=True, help="Each guard's answer, what steps were given, all their output.")
@click.option("--journal", metavar="PATH", help="The journal to read.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Of the answer.")
@options.module_path
def command(what: str, host: str, journal: str | None, form: str, **more: Any) -> None:
    """Show what was seen, decided and done about an incident; or why a detector does not fire on a host.

    ID is an incident's, or the beginning of one: `runbook status` and `runbook history` show them. A DETECTOR goes
    with a HOST; without one, localhost is meant.

    \b
    Examples:
        runbook explain 7f2
        runbook explain "server down" gpu07 -i inventory.yaml
    """
    from runbook.engine.journal.store import open_journal

    with open_journal(journal, read_only=True) as book:
        try:
            told, lines = (None, None) if host else _incident(book, what, full=more["verbose"])
        except UserError as error:
            if "several" in error.what:
                raise
            told, lines = _detector(book, what, _HERE, more, missing=error)
        if told is None or lines is None:
            told, lines = _detector(book, what, host, more)
        if form == "json":
            from runbook.engine.report.document import encode

            click.echo(encode({"journal": book.path, **told}, indent=2))
        else:
            click.echo("\n".join(lines))


def _incident(book: Journal, start: str, *, full: bool) -> tuple[dict[str, Any], list[str]]:
    from runbook.engine.cli._standing import at_work
    from runbook.engine.journal.ask import find
    from runbook.engine.journal.ask.story import story
    from runbook.engine.report import story as report
    from runbook.engine.report.paint import paint_for

    now, paint = time.time(), paint_for(sys.stdout)
    told = story(book, find.incident(book, start), now, partial(at_work, book.path))
    return report.document(told, now), [paint.fit(line) for line in report.lines(paint, told, now, full=full)]


def _detector(
    book: Journal, name: str, host: str, more: Mapping[str, Any], missing: UserError | None = None
) -> tuple[dict[str, Any], list[str]]:
    from runbook.engine.journal.ask import detector as questions
    from runbook.engine.report import inquiry as report
    from runbook.engine.report.paint import paint_for

    now, paint = time.time(), paint_for(sys.stdout)
    try:
        known = questions.known(book, name, host, more["runbook"])
    except UserError as error:
        if missing is None or more["runbook"] or "nothing" not in error.what:
            raise
        raise missing from error
    found, why_not = _inquired(book, known, name, host, more["extra"], _fleet.reach(more), look=more["look"])
    lines = report.lines(paint, known, found, why_not, now, full=more["verbose"])
    return report.document(known, found, why_not, now), [paint.fit(line) for line in lines]


def _inquired(
    book: Journal, known: Known, name: str, host: str, words: Sequence[str], reach: Reach, *, look: bool
) -> tuple[Inquiry | None, str]:
    """Find out what can be found out now; a runbook that can't be read, or lacks a secret, leaves what was."""
    from dataclasses import replace
    from pathlib import Path

    from runbook.engine import inquire, intake
    from runbook.engine.among import Among

    try:
        extra = intake.extra_vars(words)
        among = Among(reach)
        runbook = replace(intake.load(Path(known.run.file), extra, among.names()), name=known.run.runbook)
        if all(each.name != name for each in runbook.detectors):
            return None, f"{known.run.file} has no detector `{name}` any more"
        return inquire.inquire(book, runbook, name, host, time.time(), among, look=look, given=extra), ""
    except (UserError, OSError) as error:
        return None, str(error)
