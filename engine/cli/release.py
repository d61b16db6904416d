"""`runbook release`: a person has looked at what was interrupted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from runbook.engine.cli import _people as people
from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook.engine.journal.batch import Batch
    from runbook.engine.journal.facts import IntentRow


@click.command("release", short_help="Free what was interrupted.")
@click.argument("incident", metavar="ID")
@people.reason
@people.journal
def command(incident: str, reason: str, journal: str | None) -> None:
    """Free an interrupted incident or operation, once somebody has seen how its step ended.

    ID is the incident's, or that of an operation's step, as the report shows it. The next pass decides anew.

    A step that must not run twice (a restart, a reboot, a script) and whose end nobody knows, since engine and host
    both went away, is never repeated by itself.
    """
    from runbook.engine.journal.ask import find
    from runbook.engine.journal.store import who

    with people.opened(journal) as book, book.transaction() as batch:
        if steps := book.interrupted(incident):
            click.echo(_operation(batch, incident, steps, reason.strip()))
            return
        found = find.incident(book, incident)
        if not batch.release(found.id, who(), time.time(), reason.strip()):
            state = f"over: it ended {found.state}" if found.closed is not None else f"{found.state}, not interrupted"
            raise UserError(f"{found.id} is {state}", mend="there is nothing to release")
    click.echo(f"released {people.named(found)}; the next pass decides anew")


def _operation(batch: Batch, start: str, steps: Sequence[IntentRow], reason: str) -> str:
    """Free an operation: its step is written down as lost, so that it may begin anew."""
    from runbook.engine.journal.facts import Fact
    from runbook.engine.journal.store import who
    from runbook.engine.model import Outcome, StepStatus

    if len(steps) > 1:
        raise UserError(f"{start} begins {len(steps)} ids", mend="write more of it")
    step, now, data = steps[0], time.time(), {"by": who(), "reason": reason}
    batch.result(step.id, now, Outcome(StepStatus.LOST, error=f"released by {who()}"))
    batch.event(Fact("operation.released", now, step.run, step.host, operation=step.operation, step=step.id, data=data))
    return f"released {step.id} ({step.operation} on {step.host}); the next pass begins it anew"
