"""`runbook reject`: a person forbids what waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from runbook.engine.cli import _people as people
from runbook.engine.cli.approve import chosen, say

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command("reject", short_help="Forbid what waits for a person.")
@chosen
@people.reason
@people.journal
def command(incidents: Sequence[str], reason: str, journal: str | None, **about: str) -> None:
    """Forbid the steps that wait for approval: for 24 hours nothing is done about the incident, and nobody is asked.

    They are named as for `runbook approve`: by ids, or by --detector, --runbook and --host. The incident stays, as
    observed, until what it is about is over; `runbook approve` takes the word back.
    """
    say(incidents, about, reason, journal, granted=False)
