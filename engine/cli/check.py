"""`runbook check`: detectors only."""

from __future__ import annotations

import click

from runbook.engine.cli import _fleet, _names
from runbook.engine.cli import _options as options


@click.command("check", short_help="Look only, and say what `apply` would do.")
@click.argument("runbooks", nargs=-1, required=True, metavar="RUNBOOK...", shell_complete=_names.runbooks)
@options.values
@options.signatures
@_fleet.hosts
@options.selection
@click.option("--fix", is_flag=True, help="Recover what is broken: `apply` without operations.")
@click.option("--diff", is_flag=True, help="Show the changes to files as unified diffs.")
@click.option("--yes", "-y", is_flag=True, help="With --fix: approve what it would wait for.")
@click.option("--now", is_flag=True, help="Take what is so now for a fault: wait for no `for`.")
@options.retain
@options.output
@options.module_path
def command(**given: object) -> int:
    """Look with every detector, and say what is wrong and what `apply` would do about it. Changes and commits nothing.

    \b
    Exit codes: 0 well, 1 usage or an invalid runbook, 2 something is wrong, 4 something could not be seen.
    """
    fix = bool(given.pop("fix"))
    given["check"] = not fix
    return options.perform("check", given, operations=False, commits=fix)
