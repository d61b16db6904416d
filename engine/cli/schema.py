"""`runbook schema`: what editors complete and check runbooks with."""

from __future__ import annotations

import click


@click.command("schema", short_help="Print the JSON Schema of a runbook, or of a file of signatures.")
@click.argument("what", type=click.Choice(["runbook", "signatures"]), default="runbook", metavar="[runbook|signatures]")
def command(what: str) -> None:
    """Print the JSON Schema of a runbook, with every module and its parameters; or that of a file of signatures.

    \b
    For an editor with the YAML language server:
      runbook schema > runbook.schema.json
      runbook schema signatures > signatures.schema.json
    and as the first line of a runbook:
      # yaml-language-server: $schema=runbook.schema.json
    """
    import json

    from runbook.engine.language import schema, signature_structure

    document = signature_structure.document() if what == "signatures" else schema.document()
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
