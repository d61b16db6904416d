"""`runbook schema`: what editors complete and check runbooks with."""

from __future__ import annotations

from collections import deque

import click

from runbook.engine.cli import _options as options


@click.command("schema", short_help="Print the JSON Schema of a runbook, cases, a drill, signatures.")
@click.argument("what", type=click.Choice(["runbook", "signatures", "test", "drill"]), default="runbook",
                metavar="[runbook|signatures|test|drill]")  # fmt: skip
@options.module_path
def command(what: str) -> None:
    """Print the JSON Schema of a runbook with all modules, or of signatures, cases or faults.

    \b
    For an editor with the YAML language server:
      runbook schema > runbook.schema.json
      runbook schema signatures > signatures.schema.json
      runbook schema test > test.schema.json
      runbook schema drill > drill.schema.json
    and as the first line of a runbook:
      # yaml-language-server: $schema=runbook.schema.json
    """
    import json

    from runbook.engine.language import case_structure, drill_structure, schema, signature_structure

    if what == "runbook":
        from runbook.engine.language.own import enlist

        deque(enlist.everything(), maxlen=0)
    found = {"runbook": schema, "signatures": signature_structure, "test": case_structure, "drill": drill_structure}
    document = found[what].document()
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
