"""`runbook help`: another way to ask for --help."""

from __future__ import annotations

import click


@click.command("help")
@click.argument("name", required=False, metavar="[COMMAND]")
@click.pass_context
def command(ctx: click.Context, name: str | None) -> None:
    """Show the help of a command, or of all together."""
    above = ctx.parent
    assert above is not None
    if name is None:
        click.echo(above.get_help())
        return
    group = above.command
    assert isinstance(group, click.Group)
    _, found, _ = group.resolve_command(above, [name])
    assert found is not None
    click.echo(found.get_help(click.Context(found, above, info_name=name, help_option_names=["-h", "--help"])))
