"""`runbook scan`: what went wrong, out of any log, the root first."""

from __future__ import annotations

import contextlib
import datetime as dt
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from runbook.engine.errors import JournalUnusable, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from runbook.engine.journal.crashes import Past
    from runbook.engine.scan.find import Left, Source
    from runbook.engine.scan.look import Scanned

_MANY = 10  # files that are named where none could be read


def _moment(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Return a time: so long ago, or a date with or without a clock, in local time unless it names a zone."""
    if value is None:
        return None
    from runbook.engine.language import units

    if value[:4].isdigit() and value[4:5] == "-":
        try:
            return dt.datetime.fromisoformat(value).timestamp()
        except ValueError as error:
            raise click.BadParameter(f"{error}; such as 2026-11-20T10:00", ctx, param) from error
    try:
        return time.time() - units.duration(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}; or a time, such as 2026-11-20T10:00", ctx, param) from error


@click.command("scan", short_help="Say what went wrong, out of any log, the root first.")
@click.argument("logs", nargs=-1, required=True, metavar="LOG...",
                type=click.Path(readable=False))  # fmt: skip  # what can't be read is told, and the rest is read
@click.option("--last-lines", type=click.IntRange(min=1), metavar="N", help="Only the last N lines of each file.")
@click.option("--since", callback=_moment, metavar="TIME", help="Only what was written since: 2h, 2026-11-20T10:00.")
@click.option("--only", multiple=True, metavar="GLOB", help="Of directories only the files that match, such as *.err.")
@click.option("--signatures", multiple=True, metavar="FILE|DIR", help="More signatures, over those that there are.")
@click.option("--context", type=click.IntRange(0, 50), default=2, show_default=True, metavar="N",
              help="Lines shown before and after the root.")  # fmt: skip
@click.option("--matches", is_flag=True, help="List every line that matches, as it is found, with its signature.")
@click.option("--format", "form", type=click.Choice(["text", "json", "jsonl"]), default="text", show_default=True,
              help="text for people; json one document; jsonl a line for each thing.")  # fmt: skip
@click.option(
    "--journal", metavar="FILE", help="Where crashes are kept; default $RUNBOOK_JOURNAL, /var/lib/runbook or yours."
)
@click.option("--no-journal", is_flag=True, help="Keep nothing.")
@click.option(
    "-v", "--verbose", count=True, help="Name all files of an incident, and what was skipped; -vv shows tracebacks."
)
@click.option("-q", "--quiet", is_flag=True, help="A line for each incident, and nothing where all is well.")
def command(logs: tuple[str, ...], form: str, *, matches: bool, **given: Any) -> int:
    """Read logs, or directories of them, packed or not, and say what went wrong: root causes first, what followed from
    them folded under them, with what it means and what to do. `-` reads the standard input.

    The exit code is 0 where nothing is wrong, 2 where something crashed, 4 where nothing was found but a file could not
    be read, 1 where nothing could be.

    \b
    Examples:
        runbook scan /var/log/train
        runbook scan 'logs/**/rank*.log' --since 2h
        journalctl -k -b | runbook scan -
        runbook scan train.log --last-lines 10000 --format json
    """  # noqa: D205 -- click joins the lines
    from runbook.engine.language.signatures import catalogue
    from runbook.engine.scan import find, look

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was found so far is told then, too
    stream, listed = sys.stdout, None
    known = catalogue(given["signatures"])
    if matches:
        from runbook.engine.report.crash_document import Matches

        listed = Matches(stream, form)
    asked = look.Asked(given["since"], given["last_lines"], given["context"])
    with _waiting(shown=form == "text" and not (matches or given["quiet"])) as following:
        scanned = look.look(following(find.find(logs, given["only"])), known, asked, listed)
    past = {} if given["no_journal"] or not scanned.incidents else _remembered(scanned, given["journal"])
    if form != "text":
        from runbook.engine.report import crash_document

        crash_document.write(stream, form, scanned, past, listed)
        return scanned.exit_code
    if not (scanned.files or scanned.stopped):
        raise _nothing(scanned)
    from runbook.engine.report.crash import CrashText
    from runbook.engine.report.paint import paint_for

    paint = paint_for(stream)
    verbosity = -1 if given["quiet"] else given["verbose"]
    text = CrashText(paint, verbosity=verbosity, context=given["context"])
    lines = text.lines(scanned, past)
    if lines:
        click.echo("\n".join(map(paint.fit, lines)))
    return scanned.exit_code


@contextlib.contextmanager
def _waiting(*, shown: bool) -> Iterator[Callable[[Iterable[Source | Left]], Iterable[Source | Left]]]:
    """Give what follows the reading: where somebody waits at a terminal, the file in hand is shown."""
    from runbook.engine.report.paint import on_terminal, paint_for

    if not (shown and on_terminal(sys.stderr)):
        yield iter
        return
    from runbook.engine.report.waiting import Waiting

    with Waiting(sys.stderr, paint_for(sys.stderr)) as waiting:
        yield waiting.following


def _nothing(scanned: Scanned) -> UserError:
    """Return why nothing was read."""
    from runbook.engine.report.crash import path_shown

    if not scanned.left:
        return UserError("nothing was read: there is no log", mend="name logs, or directories that hold some")
    first, *others = (*scanned.unreadable, *scanned.skipped)
    where, *more = ("" if one.why.startswith(one.path) else path_shown(one.path) for one in (first, *others[:_MANY]))
    named = (f"{path}: {one.why}" if path else one.why for path, one in zip(more, others, strict=False))
    return UserError(first.why, where=where, mend="\n".join(named))


def _remembered(scanned: Scanned, journal: str | None) -> Mapping[tuple[str, str], Past]:
    """Keep what was found; a journal that can't be written takes nothing from the report."""
    from runbook.engine.scan.remember import remember

    try:
        return remember(scanned.incidents, journal, time.time())
    except JournalUnusable as error:
        _warn(error)
        return {}


def _warn(error: UserError) -> None:
    from runbook.engine.cli._ending import message

    said = message(error).removeprefix("error: ")
    click.echo(f"warning: what was found is not kept: {said}", err=True)
