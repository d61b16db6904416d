"""`runbook reject`: a person forbids what waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from runbook.engine.cli import _people as people

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command("reject", short_help="Forbid what waits for a person.")
@click.argument("incidents", nargs=-1, required=True, metavar="ID...")
@people.reason
@people.journal
def command(incidents: Sequence[str], reason: str, journal: str | None) -> None:
    """Forbid the steps that wait for approval: for 24 hours nothing is done about the incident, and nobody is asked.

    The incident stays, as observed, until what it is about is over; `runbook approve` takes the word back.
    """
    from runbook.engine.cli.approve import say

    say(incidents, reason, journal, granted=False)
