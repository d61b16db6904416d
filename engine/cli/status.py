"""`runbook status`: how things stand."""

from __future__ import annotations

import click

from runbook.engine.cli import _standing


@click.command("status", short_help="Show what is open, and what is next.")
@click.option("--host", default="", metavar="NAME", help="Only this host.")
@click.option("--runbook", default="", metavar="NAME", help="Only this runbook.")
@click.option("--journal", metavar="PATH", help="The journal to read.")
@click.option("--format", "form", type=click.Choice(_standing.FORMS), default=_standing.FORMS[0], help="Of the answer.")
def command(host: str, runbook: str, journal: str | None, form: str) -> int:
    """Show how things stand: what is open and why, what is next, components, and when each runbook last ran.

    It reads the journal, and looks at no host; `runbook check` does.

    \b
    Exit codes: 0 well, 2 something is open, or was left unhealed and not seen well since, 3 only waiting
    for approval or verification, 4 the last pass could not see a detector or host, or did not end.
    """
    return _standing.answer(host, runbook, journal, form)
