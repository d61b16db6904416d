"""What is about to be written is shown, and a person asked for it."""

from __future__ import annotations

import difflib
import sys

import click

from runbook.engine.errors import UserError
from runbook.engine.report.words import printable, printable_lines


def shown(path: str, text: str, before: str) -> None:
    """Show what will be written, or what will be other than it is."""
    if text == before:
        click.echo(f"{printable(path)} says so already")
        return
    if not before:
        click.echo(f"{printable(path)}:")
        click.echo("\n".join(f"  {line}".rstrip() for line in printable_lines(text.rstrip("\n"))))
        return
    click.echo(f"{printable(path)} changes:")
    lines = difflib.unified_diff(before.splitlines(), text.splitlines(), "is", "will be", lineterm="", n=1)
    click.echo("\n".join(f"  {printable(line)}" for line in lines))


def agreed(question: str, *, yes: bool) -> None:
    """Ask the person at the terminal.

    Raises:
        UserError: nobody is there.
        Abort: they do not want it.
    """
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise UserError("nobody can be asked here", mend="--yes does it; --check only shows")
    click.confirm(question, default=True, abort=True)
