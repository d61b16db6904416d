"""`runbook release`: a person has looked at what was interrupted."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace

import click

from runbook.engine.errors import UserError


@click.command("release", short_help="Free an interrupted incident.")
@click.argument("incident", metavar="ID")
@click.option("--journal", metavar="FILE", help="The journal; default $RUNBOOK_JOURNAL, /var/lib/runbook or yours.")
def command(incident: str, journal: str | None) -> int:
    """Free an interrupted incident, once somebody has seen how its step ended; the next pass decides anew.

    A step that must not run twice (a restart, a reboot, a script) and whose end nobody knows, since engine and host
    both went away, is never repeated by itself.
    """
    from runbook.engine.journal.facts import Fact, RunStart
    from runbook.engine.journal.store import open_journal, who
    from runbook.engine.model import IncidentState

    with open_journal(journal) as book:
        found = book.incident(incident)
        if not found:
            raise UserError(f"there is no incident {incident}", mend="`runbook history` shows their ids")
        if len(found) > 1:
            raise UserError(f"{incident} begins {len(found)} ids", mend="write more of it")
        row = found[0]
        if row.state != IncidentState.INTERRUPTED.value or row.closed is not None:
            raise UserError(f"{row.id} is {row.state}, not interrupted", mend="there is nothing to release")
        now, run = time.time(), secrets.token_hex(4)
        fact = Fact("incident.ended", now, run, row.host, row.detector, row.subject, row.id,
                    data={"to": row.state, "reason": f"released by {who()}"})  # fmt: skip
        with book.transaction() as batch:
            batch.begin_run(RunStart(run, row.runbook, "", "", "release", now, who()))
            batch.event(fact)
            batch.incident(replace(row, closed=now, updated=now))
            batch.end_run(run, now, 0)
    click.echo(f"released {row.id} ({row.detector} on {row.host}); the next pass decides anew")
    return 0
