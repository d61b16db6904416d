"""`runbook probe`: one look, ad hoc."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

from runbook.engine.cli import _names
from runbook.engine.cli import _options as options
from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.model import Look
    from runbook.modules.declare import Kind, Probe


@click.command("probe", short_help="Look once with a probe, ad hoc.", context_settings={"ignore_unknown_options": True})
@click.argument("module", metavar="PROBE", shell_complete=_names.probes)
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...")
@options.signatures
@click.option("--when", metavar="CONDITION", help="Also say for which records this condition holds.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Of the answer."
)
@options.module_path
def command(module: str, words: tuple[str, ...], when: str | None, form: str) -> int:
    """Look once with a probe and print its records. Changes nothing and keeps nothing.

    \b
    Examples:
      runbook probe health
      runbook probe file /etc/hosts --when 'size > 1MB'
      runbook probe http url=http://127.0.0.1:8000/health

    \b
    Exit codes: 0 seen, 2 --when holds for a record, 4 unknown.
    """
    from runbook.engine import fleet
    from runbook.engine.cli import _arguments
    from runbook.engine.model import NotSeen

    cls = _arguments.probe(module)
    if cls.engine:
        raise UserError(f"`{module}` looks at no host: it judges what the engine knows")
    condition = _condition(when)
    params = _arguments.parameters(cls, words)
    with fleet.connect(os.environ.get("RUNBOOK_AGENT_DIR")) as agent:
        look = agent.probe([fleet.Spec(module, module, params, deadline=cls.deadline(params))])[module]
    verdicts = _judged(condition, look)
    click.echo(_json(look, verdicts) if form == "json" else _text(cls, look, verdicts))
    if isinstance(look, NotSeen) or "unknown" in verdicts:
        return 4
    return 2 if "holds" in verdicts else 0


def _condition(when: str | None) -> Any:
    from runbook.engine.language import expression

    try:
        return expression.parse(when, template=False) if when else None
    except expression.Syntax as error:
        raise UserError(f"{error}", where="--when") from error


def _judged(condition: Any, look: Look) -> list[str]:
    from runbook.engine.detect.judge import truth
    from runbook.engine.model import Seen, Unknown

    if condition is None or not isinstance(look, Seen):
        return []
    judged = [truth(condition, record.fields) for record in look.records]
    return ["unknown" if isinstance(each, Unknown) else "holds" if each else "does not hold" for each in judged]


def _json(look: Look, verdicts: list[str]) -> str:
    from runbook.engine.model import UNKNOWN, Lacking, NotSeen, Seen

    if isinstance(look, NotSeen | Lacking):
        status = "absent" if isinstance(look, Lacking) else "unknown"
        return json.dumps({"status": status, "reason": look.reason, "records": []}, indent=2)
    assert isinstance(look, Seen)
    records: list[Mapping[str, Any]] = []
    for place, record in enumerate(look.records):
        fields = {name: value for name, value in record.fields.items() if value is not UNKNOWN}
        unseen = [name for name, value in record.fields.items() if value is UNKNOWN]
        judged = {"when": verdicts[place]} if verdicts else {}
        records.append({"subject": record.subject, "fields": fields, "unseen": unseen, **judged})
    return json.dumps({"status": "seen", "reason": "", "records": records}, indent=2, default=str)


def _text(cls: type[Probe], look: Look, verdicts: list[str]) -> str:
    from runbook.engine.language import params
    from runbook.engine.model import UNKNOWN, Lacking, Seen
    from runbook.engine.report.words import printable

    if not isinstance(look, Seen):
        status = "absent" if isinstance(look, Lacking) else "unknown"
        return f"{status}: {printable(look.reason)}"
    if not look.records:
        return "nothing there"
    known = params.record_fields(cls)
    lines: list[str] = []
    for place, record in enumerate(look.records):
        width = max(map(len, record.fields), default=0)
        lines += [""] if lines else []
        if record.subject:
            lines.append(printable(record.subject))
        for name, value in record.fields.items():
            shown = "unknown" if value is UNKNOWN else _shown(known[name].kind if name in known else None, value)
            lines.append(f"  {name:{width}}  {printable(shown)}")
        if verdicts:
            lines.append(f"  {'':{width}}  {verdicts[place]}")
    return "\n".join(lines)


def _shown(kind: Kind | None, value: Any) -> str:
    from runbook.engine.report import words
    from runbook.modules.declare import Kind

    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if kind is Kind.DURATION:
        return words.duration(value)
    if kind is Kind.SIZE:
        return words.size(value)
    if kind is Kind.PERCENT:
        return f"{value:.1f}%"
    if isinstance(value, dict | list | tuple):
        return words.as_json(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
