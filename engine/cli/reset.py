"""`runbook reset`: a person calls a component well again."""

from __future__ import annotations

import time

import click

from runbook.engine.cli import _people as people


@click.command("reset", short_help="Call a component well again.")
@click.argument("component", metavar="COMPONENT")
@click.option("-l", "--limit", "host", default="", metavar="HOST", help="Only on this host; else on all.")
@people.journal
def command(component: str, host: str, journal: str | None) -> None:
    """Forget what a component did until now: its error rate and level begin anew, and its breaker closes.

    A member of a pool is the component POOL.MEMBER; `runbook status` shows them.
    """
    from runbook.engine.errors import UserError
    from runbook.engine.journal.ask import runs
    from runbook.engine.journal.store import who
    from runbook.engine.language.nearest import nearest
    from runbook.engine.people import Reset
    from runbook.engine.report import words

    with people.opened(journal) as book:
        passes = runs.latest(book)
        names = sorted({str(name) for one in passes for name in one.begun.get("components") or ()})
        hosts = sorted({str(name) for one in passes for name in one.begun.get("hosts") or ()})
        for what, wanted, known in (("component", component, names), ("host", host, hosts)):
            if wanted and wanted not in known:
                near = nearest(wanted, known)
                listed = f"there are {', '.join(known)}" if known else f"the last passes had no {what}"
                raise UserError(f"there is no {what} `{wanted}`", mend=f"did you mean `{near}`?" if near else listed)
        with book.transaction() as batch:
            batch.reset(Reset(component, host, time.time(), who()))
    where = f"on {host}" if host else "on every host"
    click.echo(words.printable(f"reset {component} {where}: what it did until now counts no more"))
