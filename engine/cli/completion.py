"""`runbook completion`: the script that lets a shell complete runbook's words."""

from __future__ import annotations

import click


@click.command("completion", short_help="Print the script for a shell's completion.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script with which a shell completes commands, options, runbooks and modules.

    \b
    Once for this shell, or in its start-up file for all:
      bash   eval "$(runbook completion bash)"
      zsh    eval "$(runbook completion zsh)"     # after compinit
      fish   runbook completion fish | source
    """
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(ctx.find_root().command, {}, "runbook", "_RUNBOOK_COMPLETE").source())
