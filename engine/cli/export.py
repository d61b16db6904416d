"""`runbook export`: the whole journal, for other programs."""

from __future__ import annotations

import json
import sys
import time

import click

from runbook.engine.cli._people import lasting


@click.command("export", short_help="Write the whole journal as JSON lines.")
@lasting("Afterwards forget what is older, as `apply --retain` does.", "--retain", "retain")
@click.option("--journal", metavar="PATH", help="The journal to read.")
def command(journal: str | None, retain: float | None) -> None:
    """Write all that the journal holds to stdout as it is at one moment, a JSON object a line; without secrets.

    With --retain, what is older than that is forgotten once all of it was written: what is open stays, and what later
    passes count.

    \b
    Examples:
        runbook export | zstd > journal-$(date +%F).jsonl.zst
        runbook export --retain 90d > /var/backups/runbook.jsonl
    """
    from runbook.engine.journal.export import export
    from runbook.engine.journal.store import open_journal

    with open_journal(journal, read_only=True) as book:
        for row in export(book):
            sys.stdout.write(json.dumps(row, separators=(",", ":")) + "\n")
    sys.stdout.flush()
    if retain is not None and book.exists and (said := forget(journal, retain)):
        click.echo(said, err=True)


def forget(journal: str | None, retain: float) -> str:
    """Forget what is older than so many seconds; return what to say of it, or nothing."""
    from runbook.engine.journal.locks import Locks
    from runbook.engine.journal.prune import prune
    from runbook.engine.journal.store import open_journal
    from runbook.engine.report import words

    with open_journal(journal) as book, Locks(book.path) as locks:
        gone = prune(book, time.time() - retain, lambda run: locks.held(f"run {run}"))
    if not (gone.events or gone.incidents or gone.runs):
        return ""
    counted = ", ".join(words.amount(number, noun) for number, noun in
                        ((gone.events, "event"), (gone.incidents, "incident"), (gone.runs, "run")))  # fmt: skip
    return f"forgot what is older than {words.duration(retain)}: {counted}"
