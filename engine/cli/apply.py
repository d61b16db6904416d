"""`runbook apply`: one pass."""

from __future__ import annotations

import click

from runbook.engine.cli import _fleet, _names
from runbook.engine.cli import _options as options
from runbook.engine.model import Impact, Mode


@click.command("apply", short_help="One pass: look, operate, recover, look again.")
@click.argument("runbooks", nargs=-1, required=True, metavar="RUNBOOK...", shell_complete=_names.runbooks)
@options.values
@options.signatures
@_fleet.hosts
@options.selection
@click.option("--check", is_flag=True, help="Change nothing; say what would be done.")
@click.option("--diff", is_flag=True, help="Show the changes to files as unified diffs.")
@click.option("--now", is_flag=True, help="Wait for no hold: a condition that is true counts as held.")
@click.option("--wait", default="2m", metavar="DURATION", show_default=True,
              help="How long this pass waits for verifications; what is left goes on in the next.")  # fmt: skip
@click.option("--yes", "-y", is_flag=True, help="Approve what this run would wait for.")
@click.option("--max-mode", type=click.Choice([mode.value for mode in Mode]), default=Mode.AUTO.value,
              help="Do at most this by itself.")  # fmt: skip
@click.option("--max-impact", type=click.Choice([impact.value for impact in Impact]),
              default=Impact.DESTRUCTIVE.value, help="Take no step of more impact.")  # fmt: skip
@click.option("--deadline", metavar="DURATION", help="Begin nothing new after this long.")
@options.retain
@options.output
@options.module_path
def command(**given: object) -> int:
    """Look, run the operations, recover what is broken, and look again whether it is cured.

    RUNBOOK is a path or the name of a bundled one, such as quickstart.

    \b
    Exit codes: 0 well or healed, 1 usage or an invalid runbook, 2 a fault is left,
    3 only waiting, 4 something could not be seen, 130 stopped.
    """
    return options.perform("apply", given, operations=True, commits=not given["check"])
