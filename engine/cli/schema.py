"""`runbook schema`: what editors complete and check runbooks with."""

from __future__ import annotations

import click


@click.command("schema", short_help="Print the JSON Schema of a runbook.")
def command() -> None:
    """Print the JSON Schema of a runbook, with every module and its parameters.

    \b
    For an editor with the YAML language server:
      runbook schema > runbook.schema.json
    and as the first line of a runbook:
      # yaml-language-server: $schema=runbook.schema.json
    """
    import json

    from runbook.engine.language import schema

    click.echo(json.dumps(schema.document(), indent=2, ensure_ascii=False))
