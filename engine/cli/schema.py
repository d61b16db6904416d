"""`runbook schema`: what editors complete and check runbooks with."""

from __future__ import annotations

from collections import deque

import click

from runbook.engine.cli import _options as options


@click.command("schema", short_help="Print the JSON Schema of a runbook, an inventory and so on.")
@click.argument("what", type=click.Choice(["runbook", "signatures", "test", "drill", "inventory"]), default="runbook",
                metavar="[runbook|signatures|test|drill|inventory]")  # fmt: skip
@options.module_path
def command(what: str) -> None:
    """Print the JSON Schema of a runbook with all modules, or of signatures, cases, faults or inventories.

    \b
    For an editor with the YAML language server:
      runbook schema > runbook.schema.json
      runbook schema signatures > signatures.schema.json
      runbook schema test > test.schema.json
      runbook schema drill > drill.schema.json
      runbook schema inventory > inventory.schema.json
    and as the first line of a runbook:
      # yaml-language-server: $schema=runbook.schema.json
    """
    import json

    if what == "inventory":
        from runbook.engine.inventory import structure

        click.echo(json.dumps(structure.document(), indent=2, ensure_ascii=False))
        return
    from runbook.engine.language import case_structure, drill_structure, schema, signature_structure

    if what == "runbook":
        from runbook.engine.language.own import enlist

        deque(enlist.everything(), maxlen=0)
    found = {"runbook": schema, "signatures": signature_structure, "test": case_structure, "drill": drill_structure}
    document = found[what].document()
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
