"""The command line: one file per command, imported when the command is asked for."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import click

from runbook import __version__
from runbook.engine.errors import UserError


class Commands(click.Group):
    """A group whose commands are the files of this folder; each defines `command`, but those that begin with `_`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """Return the names of all commands, sorted."""
        return sorted(found.name for found in pkgutil.iter_modules(__path__) if found.name[0] != "_")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's file."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="runbook")
def runbook() -> None:
    """Heal machines that run LLM, GPU and Slurm work, and check that the cure worked."""


def main() -> None:
    """Run the command line; a user's error becomes a message and its exit code, never a traceback."""
    try:
        code = runbook.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(1)
    except UserError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    sys.exit(code if isinstance(code, int) else 0)
