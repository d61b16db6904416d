"""`runbook probe`: one look, ad hoc."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from runbook.engine.cli import _answers, _fleet, _names
from runbook.engine.cli import _options as options
from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.model import Look
    from runbook.engine.report.looks import Answer
    from runbook.modules.declare import Probe


@click.command("probe", short_help="Look once with a probe, ad hoc.", context_settings={"ignore_unknown_options": True})
@click.argument("module", metavar="PROBE", shell_complete=_names.probes)
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...")
@_fleet.hosts
@options.signatures
@click.option("--when", metavar="CONDITION", help="Also say for which records this condition holds.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Of the answer."
)
@options.module_path
def command(module: str, words: tuple[str, ...], when: str | None, form: str, **given: Any) -> int:
    """Look once with a probe and print its records, here or on the hosts of an inventory. Changes and keeps nothing.

    \b
    Examples:
      runbook probe health
      runbook probe file /etc/hosts --when 'size > 1MB'
      runbook probe gpu -i inventory.yaml -l 'gpu:!maintenance' --when 'temperature > 85'
      runbook probe file -i inventory.yaml -l gpu '{{ data }}/model'

    With -i, `{{ … }}` is filled in with each host's variables.

    \b
    Exit codes: 0 seen, 2 --when holds for a record, 4 unknown or unreachable.
    """
    from runbook.engine import glance
    from runbook.engine.among import Among
    from runbook.engine.cli import _arguments
    from runbook.engine.report import looks as report

    cls = _arguments.probe(module)
    if cls.engine:
        why = "only `runbook watch` hears it" if cls.heard else "it judges what the engine knows"
        raise UserError(f"`{module}` looks at no host: {why}")
    condition = _condition(when)
    params = _arguments.parameters(cls, words, templates=bool(given["inventories"]))
    among = Among(_fleet.reach(given))
    chosen = among.choose_by("all")
    if given["list_hosts"]:
        click.echo(_fleet.listed({module: chosen.names}))
        return 0
    users = glance.hosts(chosen.names, chosen.users)
    asked, wrong = glance.filled(module, params, chosen)
    with among.fleet() as fleet:
        found, title = glance.looks(fleet, users, asked), f"{module} on {len(asked)} hosts"
        told = {**wrong, **dict(_answers.watched(found, tuple(asked), title))}
    answers = {host: _judged(condition, told[host]) for host in chosen.names}
    if among.inventory is None:
        (answer,) = answers.values()
        click.echo(json.dumps(report.document(answer), indent=2, default=str) if form == "json" else _text(cls, answer))
    elif form == "json":
        click.echo(json.dumps(report.documents(answers), indent=2, default=str))
    else:
        from runbook.engine.report.paint import paint_for

        paint = paint_for(sys.stdout)
        for line in report.across(paint, answers, _kinds(cls)):
            click.echo(paint.fit(line))
    return report.exit_code(answers)


def _condition(when: str | None) -> Any:
    from runbook.engine.language import expression

    try:
        return expression.parse(when, template=False) if when else None
    except expression.Syntax as error:
        raise UserError(f"{error}", where="--when") from error


def _judged(condition: Any, look: Look | Any) -> Answer:
    from runbook.engine.detect.judge import truth
    from runbook.engine.model import Seen, Unknown
    from runbook.engine.report.looks import HOLDS, NOT, UNSURE, Answer

    if condition is None or not isinstance(look, Seen):
        return Answer(look)
    judged = (truth(condition, record.fields) for record in look.records)
    return Answer(look, tuple(UNSURE if isinstance(each, Unknown) else HOLDS if each else NOT for each in judged))


def _kinds(cls: type[Probe]) -> Mapping[str, Any]:
    from runbook.engine.language import params

    return {name: field.kind for name, field in params.record_fields(cls).items()}


def _text(cls: type[Probe], answer: Answer) -> str:
    from runbook.engine.report import looks as report

    return "\n".join(report.lines(answer, _kinds(cls)))
