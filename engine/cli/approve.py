"""`runbook approve`: a person allows what waits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from runbook.engine.cli import _people as people
from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook.engine.journal.facts import IncidentRow
    from runbook.engine.journal.store import Journal
    from runbook.engine.people import People

LASTS = 24 * 3600.0  # seconds that an approval, or a refusal, holds


def chosen(wrapped: people.Command) -> people.Command:
    """Add what `approve` and `reject` are told their incidents by."""
    for option in reversed((
        click.argument("incidents", nargs=-1, metavar="[ID...]"),
        click.option("--detector", default="", metavar="NAME", help="All that waits of this detector."),
        click.option("--runbook", default="", metavar="NAME", help="All that waits of this runbook."),
        click.option("--host", default="", metavar="NAME", help="All that waits on this host."),
    )):  # fmt: skip
        wrapped = option(wrapped)
    return wrapped


@click.command("approve", short_help="Allow what waits for a person.")
@chosen
@people.reason
@people.journal
def command(incidents: Sequence[str], reason: str, journal: str | None, **about: str) -> None:
    """Allow the steps that wait for approval, exactly as `runbook approvals` shows them; the next pass takes them.

    They are named by their incidents' ids, or by what they have in common: --detector, --runbook, --host, which must
    all fit. What comes to wait later is not allowed by that. An approval holds for 24 hours, and for those steps about
    that subject: what has changed by then waits anew. All other guards are asked as ever.

    \b
    Examples:
        runbook approve 5c1f0a2e 9b21
        runbook approve --detector "gpu wants a reset" --reason "drained by hand"
    """
    say(incidents, about, reason, journal, granted=True)


def say(incidents: Sequence[str], about: Mapping[str, str], reason: str, journal: str | None, *, granted: bool) -> None:
    """Write down a person's word about incidents that wait for it: about all, or about none where one is wrong.

    Args:
        incidents: how their ids begin.
        about: further ones: the detector, the runbook and the host, of which those that are named must fit.
        reason: why.
        journal: where.
        granted: they are allowed; else forbidden.
    """
    from runbook.engine.journal import watches
    from runbook.engine.journal.ask import find
    from runbook.engine.journal.locks import Locks
    from runbook.engine.journal.store import who
    from runbook.engine.people import Approval
    from runbook.engine.report.clock import moment

    if not incidents and not any(about.values()):
        raise click.UsageError("name what it is about: ID, --detector, --runbook or --host; see `runbook approvals`")
    now, by = time.time(), who()
    with people.opened(journal) as book, book.transaction() as batch:
        said = book.people(now)
        found = {one.id: one for one in (_waits(find.incident(book, start), said) for start in incidents)}
        found |= {one.id: one for one in _alike(book, about, said, now, granted=granted)} if any(about.values()) else {}
        for one in found.values():
            digest = str(one.data["digest"])
            batch.approve(Approval(one.id, digest, now, now + LASTS, by, granted=granted, reason=reason.strip()))
        with Locks(book.path, asks_only=True) as locks:
            alive = watches.lives(book, locks)
            watched = {name for name in {one.runbook for one in found.values()} if watches.holder(book, name, alive)}
    until = moment(now + LASTS, now)
    for one in found.values():
        if granted:
            whose = "watch" if one.runbook in watched else "next pass"
            click.echo(f"approved {people.named(one)}: the {whose} of {one.runbook} carries it out, until {until}")
        else:
            click.echo(f"rejected {people.named(one)}: it is not asked for again before {until}")


def _alike(book: Journal, about: Mapping[str, str], said: People, now: float, *, granted: bool) -> list[IncidentRow]:
    """Return what waits of a detector, a runbook, a host; what a person has allowed already needs no second word."""
    from runbook.engine.journal.ask.standing import waiting
    from runbook.engine.report.approvals import allowed

    found = waiting(book)
    for name, wanted in about.items():
        fitting = [one for one in found if wanted in ("", getattr(one, name))]
        if found and not fitting:
            from runbook.engine.language.nearest import nearest

            there = sorted({str(getattr(one, name)) for one in found})
            near = nearest(wanted, there)
            mend = f'did you mean "{near}"?' if near else f"there waits something of {', '.join(there[:5])}"
            raise UserError(f"nothing waits of the {name} `{wanted}`", where=book.path, mend=mend)
        found = fitting
    left = [one for one in found if one.data.get("digest") and not (granted and allowed(one, said, now))]
    if not left:
        mend = "`runbook approvals` shows what does"
        raise UserError("nothing of that waits for a person", where=book.path, mend=mend)
    return left


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
