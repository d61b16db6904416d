"""`runbook schema`: what editors complete and check runbooks with."""

from __future__ import annotations

import click


@click.command("schema", short_help="Print the JSON Schema of a runbook, its cases, or signatures.")
@click.argument("what", type=click.Choice(["runbook", "signatures", "test"]), default="runbook",
                metavar="[runbook|signatures|test]")  # fmt: skip
def command(what: str) -> None:
    """Print the JSON Schema of a runbook, with every module and its parameters; or of a file of signatures or cases.

    \b
    For an editor with the YAML language server:
      runbook schema > runbook.schema.json
      runbook schema signatures > signatures.schema.json
      runbook schema test > test.schema.json
    and as the first line of a runbook:
      # yaml-language-server: $schema=runbook.schema.json
    """
    import json

    from runbook.engine.language import case_structure, schema, signature_structure

    found = {"runbook": schema, "signatures": signature_structure, "test": case_structure}
    document = found[what].document()
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
