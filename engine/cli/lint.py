"""`runbook lint`: what is wrong with runbooks, before they run."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook.engine.cli import _fleet, _names
from runbook.engine.cli import _options as options
from runbook.engine.report.paint import paint_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runbook.engine.language.lint.outside import Outside
    from runbook.engine.model import Finding


@click.command("lint", short_help="Find what is wrong with runbooks before they run.")
@click.argument("paths", nargs=-1, metavar="[PATH]...", shell_complete=_names.runbooks)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "sarif", "github"]),
    default="text",
    show_default=True,
    help="How findings are printed.",
)
@options.signatures
@click.option("--strict", is_flag=True, help="Exit 1 on warnings too.")
@click.option("--fix", is_flag=True, help="Mend what can be mended without changing what the runbook means.")
@click.option("--explain", metavar="CODE", help="Print what a rule is about; `all` lists the rules.")
@click.option("--select", metavar="CODES", default="", help="Report only these rules, such as RB026,RB031.")
@click.option("--ignore", metavar="CODES", default="", help="Leave these rules out.")
@options.module_path
@_fleet.inventories
def command(
    paths: tuple[str, ...],
    form: str,
    explain: str | None,
    select: str,
    ignore: str,
    *,
    strict: bool,
    fix: bool,
    **reach: Any,
) -> int:
    """Check runbooks: files, the directories they are in, or the names of bundled ones; default: the current directory.

    Inventories too, where a file is named. With -i, the hosts, groups and vars of an inventory are known: what a
    runbook names and the inventory lacks is an error.

    A comment `# noqa: RB012` silences a rule on its line. The exit code is 1 where there is an error.
    """
    colour = paint_for(sys.stdout).colour
    if explain is not None:
        from runbook.engine.language.lint import explain as pages

        click.echo(_printable(pages.explain(explain, colour=colour)))
        return 0
    from runbook.engine.language.lint import report

    chosen = report.choice(select, ignore)
    found = report.examine(
        paths or (".",), Path.cwd(), chosen, fix=fix, inventories=_inventory, outside=_outside(reach)
    )
    code = report.exit_code(found.findings, strict=strict)
    text = report.rendered(found, form, code, colour=colour)
    if text:
        click.echo(_printable(text))
    return code


def _outside(given: Mapping[str, Any]) -> Callable[[Path], Outside] | None:
    """Return what an inventory adds to a runbook, by its directory: group_vars/ and host_vars/ there count too."""
    if not given["inventories"]:
        return None
    from runbook.engine.among import Among
    from runbook.engine.inventory import known

    among = Among(_fleet.reach(given))
    _fleet.warn(among)
    inventory = among.inventory
    assert inventory is not None
    return cache(lambda folder: known.outside(inventory.beside(str(folder))))


def _inventory(path: Path, name: str) -> tuple[list[Finding], str]:
    from runbook.engine.inventory import lint

    return lint.examine(path, name)


def _printable(text: str) -> str:
    """Spell out what the terminal's encoding lacks, so that a finding never fails to be printed."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
