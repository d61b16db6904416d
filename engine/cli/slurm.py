"""`runbook slurm`: what a Slurm's accounting tells of its jobs."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from runbook.engine.cli import _answers, _fleet
from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

_STATES = ("completed", "failed", "timeout", "out_of_memory", "node_fail", "boot_fail", "deadline", "preempted",
           "cancelled")  # fmt: skip


@click.group("slurm", invoke_without_command=True, short_help="What Slurm jobs asked for, and what they used.")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Tell what a Slurm's accounting knows of its jobs.

    \b
    Example:
      runbook slurm report --since 7d
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _moment(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Return a time: so long ago, or a date with or without a clock, in local time unless it names a zone."""
    import datetime as dt

    from runbook.engine.language import units

    if value is None:
        return None
    try:
        if value[:4].isdigit() and value[4:5] == "-":
            return dt.datetime.fromisoformat(value).timestamp()
        return time.time() - units.duration(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}; such as 7d or 2026-11-20T10:00", ctx, param) from error


def _listed(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ARG001
    return tuple(word.strip() for each in value for word in each.split(",") if word.strip())


def _many(*names: str, help: str, metavar: str) -> Callable[[Any], Any]:  # noqa: A002 -- click's word
    """Return an option that may be repeated, or given a list with commas, as Slurm's own may."""
    return click.option(*names, multiple=True, callback=_listed, metavar=metavar, help=help)


@command.command("report", short_help="Asked against used, by job name, with suggested requests.")
@click.argument("jobs", nargs=-1, metavar="[JOB]...")
@click.option("-S", "--since", callback=_moment, default="7d", show_default=True, metavar="TIME",
              help="Jobs that ended since: 12h, 7d, 2026-11-20, 2026-11-20T10:00.")  # fmt: skip
@click.option("-E", "--until", callback=_moment, metavar="TIME", help="Jobs that ended until then; default now.")
@_many("-u", "--user", "users", metavar="NAME", help="Whose jobs; default your own, and for root everybody's.")
@click.option("-a", "--all-users", is_flag=True, help="Everybody's jobs, as far as Slurm shows them to you.")
@_many("-n", "--name", "names", metavar="PATTERN", help="Jobs of these names, such as 'train_*'.")
@_many("-p", "--partition", "partitions", metavar="NAME", help="Jobs in these partitions.")
@_many("-A", "--account", "accounts", metavar="NAME", help="Jobs of these accounts.")
@_many("-s", "--state", "states", metavar="STATE", help=f"Jobs that ended so: {', '.join(_STATES)}.")
@click.option("--by", type=click.Choice(["name", "user", "partition", "account", "job"]), default="name",
              show_default=True, help="What makes jobs of a kind; train_7 and train_8 are of one.")  # fmt: skip
@click.option("--quantile", type=click.FloatRange(1, 100), default=95.0, show_default=True, metavar="PERCENT",
              help="How many of the jobs that completed a suggestion is to fit.")  # fmt: skip
@click.option("--headroom", type=click.FloatRange(0, 1000), default=20.0, show_default=True, metavar="PERCENT",
              help="How much is added to what they used.")  # fmt: skip
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, metavar="N",
              help="In text, how many kinds: those that took most.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["text", "json", "csv"]), default="text", show_default=True,
              help="text for people; json and csv with all kinds, in bytes, seconds and hours.")  # fmt: skip
@_fleet.hosts_as("--login")
def report(form: str, top: int, **given: Any) -> int:
    """Say for each kind of finished jobs what they asked for, what they used, and what the next should ask for.

    JOB is the id of a job, of an array or of a task of one; then --since does not hold. Here, or over SSH on a login
    node of an inventory.

    \b
    Examples:
      runbook slurm report
      runbook slurm report --since 30d --name 'train_*' --format csv
      runbook slurm report -a --by user --partition gpu
      runbook slurm report 1234 1235_7
      runbook slurm report -i inventory.yaml -l login01

    \b
    Exit codes: 0 told, 4 the accounting does not answer, or there is none.
    """
    from runbook.engine import glance
    from runbook.engine.among import Among
    from runbook.engine.report import slurm_usage as shown
    from runbook.engine.report.looks import Answer

    params = _parameters(given)
    among = Among(_fleet.reach({**given, "user": given["login"]}))
    chosen = among.choose_by("all")
    if given["list_hosts"]:
        click.echo(_fleet.listed({"slurm report": chosen.names}))
        return 0
    asked, _ = glance.filled("slurm_usage", params, chosen)
    with among.fleet() as fleet:
        found = glance.looks(fleet, glance.hosts(chosen.names, chosen.users), asked)
        answers = {host: Answer(look) for host, look in _answers.watched(found, tuple(asked), "slurm report")}
    alone = among.inventory is None
    if form == "json":
        click.echo(json.dumps(shown.document(answers), indent=2, default=str))
    elif form == "csv":
        click.echo(shown.table(answers, _columns(), alone=alone), nl=False)
        for line in shown.silent(answers):
            click.echo(f"warning: {line}", err=True)
    else:
        from runbook.engine.report.paint import paint_for

        paint = paint_for(sys.stdout)
        for line in shown.text(paint, answers, top, alone=alone):
            click.echo(paint.fit(line))
    return shown.exit_code(answers)


def _parameters(given: dict[str, Any]) -> dict[str, Any]:
    """Return those of the probe.

    Raises:
        UserError: a value is none.
    """
    from runbook.engine.cli import _arguments
    from runbook.engine.language import params

    now, until = time.time(), given["until"]
    if until is not None and until <= given["since"]:
        raise UserError("the time ends before it begins", where="--until", mend="give --since an earlier time")
    values = {
        **{name: list(given[name]) for name in ("names", "jobs", "partitions", "accounts")},
        "users": ["*"] if given["all_users"] else list(given["users"]),
        "states": [_state(word) for word in given["states"]],
        "since": f"{max(1.0, now - given['since']):.3f}s",
        "until": f"{0.0 if until is None else max(0.0, now - until):.3f}s",
        **{name: given[name] for name in ("by", "quantile", "headroom")},
    }
    cls = _arguments.probe("slurm_usage")
    try:
        typed = params.coerce(cls, values)
        params.build(cls, typed, rendered=True)
    except params.Wrong as wrong:
        raise UserError(str(wrong), mend="see `runbook slurm report --help`") from wrong
    return dict(typed)


def _state(word: str) -> str:
    """Return a state as the probe names it, of Slurm's short names, too.

    Raises:
        UserError: no job ends so.
    """
    from runbook.engine.language.nearest import nearest
    from runbook.modules.slurm import units

    state = units.SHORT.get(word.lower(), word.lower())
    if state in _STATES:
        return state
    near = nearest(state, _STATES)
    mend = f"did you mean `{near}`?" if near else f"there are {', '.join(_STATES)}"
    raise UserError(f"`{word}` is no state in which a job ends", where="--state", mend=mend)


def _columns() -> tuple[str, ...]:
    from runbook.engine.cli import _arguments
    from runbook.engine.language import params

    return tuple(params.record_fields(_arguments.probe("slurm_usage")))
