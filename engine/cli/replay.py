"""`runbook replay`: what a runbook would have done in the past."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook.engine.cli import _names
from runbook.engine.cli import _options as options
from runbook.engine.errors import UserError
from runbook.engine.model import Impact, Mode

if TYPE_CHECKING:
    from runbook.engine.model import Runbook


def _since(ctx: click.Context, param: click.Parameter, value: str) -> float:
    from runbook.engine.language import units

    if value == "all":
        return float("inf")
    try:
        return units.duration(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}, or all", ctx, param) from error


@click.command("replay", short_help="What would a runbook have done on old logs, on this history?")
@click.argument("runbook", metavar="RUNBOOK", shell_complete=_names.runbooks)
@click.option("--log", "logs", multiple=True, metavar="FILE", type=click.Path(),
              help="An old log (also gz, bz2, xz), in place of those that its detectors name. Repeatable.")  # fmt: skip
@click.option("--since", callback=_since, default="all", metavar="DURATION", help="How far back; default all there is.")
@click.option("--max-mode", type=click.Choice([mode.value for mode in Mode]), default=Mode.AUTO.value,
              help="Do at most this by itself.")  # fmt: skip
@click.option("--max-impact", type=click.Choice([impact.value for impact in Impact]),
              default=Impact.DESTRUCTIVE.value, help="Take no step of more impact.")  # fmt: skip
@click.option("--yes", "-y", is_flag=True, help="As if a person had approved what waits.")
@options.values
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="text for people; json one document.")  # fmt: skip
@click.option("--journal", metavar="FILE", help="The journal; default $RUNBOOK_JOURNAL, /var/lib/runbook or yours.")
@click.option("-v", "--verbose", count=True, help="Show everything that would have happened.")
@click.option("-q", "--quiet", is_flag=True, help="Show only the summary of each detector.")
@options.module_path
def command(runbook: str, logs: tuple[str, ...], since: float, form: str, journal: str | None, **given: Any) -> int:
    """Let a runbook live through the past, and tell what would have fired and been done, when, and what would have
    stopped it. No host is asked and nothing is changed.

    The past is the incidents that the journal has of this runbook, and old logs that --log names. What a step would
    have changed can't be known: a cure of which the past can't tell ends `unverified`.

    \b
    Examples:
        runbook replay llm-deploy
        runbook replay gpu-health --log /var/log/kern.log.1 --since 7d
        runbook replay draft.yaml --log 'old/train.log.gz' --max-mode observe
    """  # noqa: D205 -- the first line of a command's help may be long
    from runbook.engine import intake
    from runbook.engine.journal.ask import periods
    from runbook.engine.journal.store import open_journal
    from runbook.engine.language import load
    from runbook.engine.rehearse import replay
    from runbook.engine.report import replayed
    from runbook.engine.report.document import encode
    from runbook.engine.report.paint import paint_for

    loaded: Runbook = intake.load(load.locate(runbook), intake.extra_vars(given["extra"]))
    for log in logs:
        if not Path(log).exists():
            raise UserError("there is no such log", where=log, mend="give its path")
    now = time.time()
    begin = max(0.0, now - since)
    past = replay.Past(loaded, {name: f"secret-{name}" for name in loaded.secrets}, begin, now)
    with open_journal(journal, read_only=True) as book:
        past.read(logs, periods.periods(book, loaded.name, begin))
    settings = {"max_mode": given["max_mode"], "max_impact": given["max_impact"], "approve": given["yes"]}
    found = replay.replay(past, settings)
    if form == "json":
        click.echo(encode(replayed.document(found, loaded.name), indent=2))
        return 0
    paint = paint_for(sys.stdout)
    verbosity = -1 if given["quiet"] else given["verbose"]
    click.echo("\n".join(paint.fit(line) for line in replayed.lines(paint, found, loaded.name, verbosity)))
    return 0
