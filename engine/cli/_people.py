"""What the commands share by which people have their say: the journal, an incident's name, how long it holds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbook.engine.journal.facts import IncidentRow
    from runbook.engine.journal.store import Journal

Command = Any  # a click callback


def journal(wrapped: Command) -> Command:
    """Add --journal."""
    text = "The journal; default $RUNBOOK_JOURNAL, /var/lib/runbook or yours."
    return click.option("--journal", metavar="PATH", help=text)(wrapped)


def reason(wrapped: Command) -> Command:
    """Add --reason."""
    return click.option("--reason", default="", metavar="TEXT", help="Why; others read it.")(wrapped)


def lasting(text: str, option: str = "--for", name: str = "lasts") -> Callable[[Command], Command]:
    """Add an option that takes a duration."""

    def read(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
        from runbook.engine.language import units

        if value is None:
            return None
        try:
            seconds = units.duration(value)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from error
        if seconds <= 0:
            raise click.BadParameter("it must be longer than nothing", ctx, param)
        return seconds

    return click.option(option, name, metavar="DURATION", callback=read, help=text)


def opened(path: str | None) -> Journal:
    """Open a journal that is there, to write to it.

    Raises:
        UserError: there is none.
    """
    from runbook.engine.journal import location
    from runbook.engine.journal.store import open_journal

    place = location.choose(path)
    if not os.path.exists(place):  # noqa: PTH110 -- a text
        raise UserError(
            "there is no journal", where=place, mend="name it with --journal PATH, as the passes are given it"
        )
    return open_journal(path)


def is_open(found: IncidentRow) -> IncidentRow:
    """Return an incident that is not over.

    Raises:
        UserError: it is.
    """
    if found.closed is not None:
        raise UserError(
            f"{found.id} is over: it ended {found.state}",
            mend=f"`runbook explain {found.id}` tells how; `runbook status` shows what is open",
        )
    return found


def named(found: IncidentRow) -> str:
    """Return an incident as people are told of it: id, detector, subject, host."""
    from runbook.engine.report import words

    about = f" ({found.subject})" if found.subject and found.subject != found.host else ""
    return words.printable(f"{found.id}, {found.detector} on {found.host}{about}")
