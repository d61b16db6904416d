"""The group of all commands: the files of this folder, each imported when it is asked for."""

from __future__ import annotations

import importlib
import os

import click

from runbook import __version__

_FOLDER = os.path.dirname(__file__)  # noqa: PTH120 -- pathlib costs a start-up


class Commands(click.Group):
    """A group whose commands are the files of this folder; each defines `command`, but those that begin with `_`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """Return the names of all commands, sorted."""
        files = [name.partition(".") for name in os.listdir(_FOLDER)]  # noqa: PTH208 -- the same
        return sorted({stem for stem, _, kind in files if stem[:1] != "_" and kind in {"py", "pyc"}})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's file."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"runbook.engine.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is asked for, or say which name is near."""
        wrong, known = args[0], self.list_commands(ctx)
        if wrong.startswith("-") or wrong in known:
            return super().resolve_command(ctx, args)
        from runbook.engine.language.nearest import nearest

        near = nearest(wrong, known)
        hint = f"did you mean `{near}`?" if near else f"there are {', '.join(known)}"
        raise click.UsageError(f"there is no command {wrong!r}; {hint}", ctx)


@click.group(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="runbook")
@click.option("-v", "--verbose", count=True, expose_value=False, help="-vv shows the traceback of a bug in runbook.")
@click.pass_context
def runbook(ctx: click.Context) -> None:
    """Heal machines that run LLM, GPU and Slurm work, and check that the cure worked.

    \b
    To begin with:
      runbook apply quickstart    heal six faults in a scratch directory
      runbook new NAME            write a runbook to start from
      runbook doc                 list the probes and steps
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        return
    from runbook.engine.cli import _defaults

    command = runbook.get_command(ctx, ctx.invoked_subcommand)
    if command is not None:
        ctx.default_map = {ctx.invoked_subcommand: _defaults.of(command, ctx.invoked_subcommand, runbook, ctx)}
