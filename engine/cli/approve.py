"""`runbook approve`: a person allows what waits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from runbook.engine.cli import _people as people
from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook.engine.journal.facts import IncidentRow
    from runbook.engine.people import People

LASTS = 24 * 3600.0  # seconds that an approval, or a refusal, holds


@click.command("approve", short_help="Allow what waits for a person.")
@click.argument("incidents", nargs=-1, required=True, metavar="ID...")
@people.reason
@people.journal
def command(incidents: Sequence[str], reason: str, journal: str | None) -> None:
    """Allow the steps that wait for approval, exactly as `runbook approvals` shows them; the next pass takes them.

    An approval holds for 24 hours, and for those steps about that subject: what has changed by then waits anew. All
    other guards are asked as ever.
    """
    say(incidents, reason, journal, granted=True)


def say(incidents: Sequence[str], reason: str, journal: str | None, *, granted: bool) -> None:
    """Write down a person's word about incidents that wait for it: about all, or about none where one is wrong."""
    from runbook.engine.journal.ask import find
    from runbook.engine.journal.store import who
    from runbook.engine.people import Approval
    from runbook.engine.report.clock import moment

    now, by = time.time(), who()
    with people.opened(journal) as book, book.transaction() as batch:
        said = book.people(now)
        found = {one.id: one for one in (_waits(find.incident(book, start), said) for start in incidents)}
        for one in found.values():
            digest = str(one.data["digest"])
            batch.approve(Approval(one.id, digest, now, now + LASTS, by, granted=granted, reason=reason.strip()))
    until = moment(now + LASTS, now)
    for one in found.values():
        if granted:
            click.echo(f"approved {people.named(one)}: the next pass of {one.runbook} carries it out, until {until}")
        else:
            click.echo(f"rejected {people.named(one)}: it is not asked for again before {until}")


def _waits(found: IncidentRow, said: People) -> IncidentRow:
    """Return an incident about which a person may have a say: it waits for one, or was rejected and may be allowed."""
    people.is_open(found)
    before = said.approvals.get(found.id)
    if found.state != "waiting" and (before is None or before.granted):
        reason = found.data.get("reason")
        raise UserError(
            f"{found.id} is {found.state}{f' ({reason})' if reason else ''}, and waits for nobody's approval",
            mend="`runbook approvals` shows what does",
        )
    if not found.data.get("digest"):
        raise UserError(
            f"{found.id} was left by an older version, which did not tell its steps",
            mend="run a pass first: it tells what it waits for",
        )
    return found
