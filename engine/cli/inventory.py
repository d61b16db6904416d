"""`runbook inventory`: the hosts, groups and vars of an inventory, printed as `ansible-inventory` prints them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from runbook.engine.cli import _fleet
from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from runbook.engine.inventory.inventory import Inventory


@click.command("inventory", short_help="Show the hosts, groups and vars of an inventory.")
@click.argument("group", default="all", metavar="[GROUP]")
@click.option("--list", "shows_list", is_flag=True, help="All groups, and all hosts with their vars.")
@click.option("--graph", "shows_graph", is_flag=True, help="The groups as a tree, from GROUP down.")
@click.option("--host", "shown_host", metavar="NAME", help="The vars of one host.")
@click.option("-i", "--inventory", "inventories", multiple=True, metavar="FILE|DIR|A,B,",
              help="The hosts: an inventory as Ansible has them. Repeatable.")  # fmt: skip
@click.option("-l", "--limit", "limits", multiple=True, metavar="PATTERN|@FILE",
              help="With --list: only these, such as 'gpu:!maintenance'.")  # fmt: skip
@click.option("-y", "--yaml", "as_yaml", is_flag=True, help="YAML instead of JSON.")
@click.option("--vars", "with_vars", is_flag=True, help="With --graph: the vars too.")
@click.option("--export", is_flag=True, help="With --list: vars where they are set, groups' with groups.")
@click.option("--output", metavar="FILE", help="With --list: write it to a file.")
@click.option("--playbook-dir", metavar="DIR", help="Its group_vars/ and host_vars/ count too; default: here.")
@_fleet.vault
def command(
    group: str,
    *,
    shows_list: bool,
    shows_graph: bool,
    shown_host: str | None,
    inventories: tuple[str, ...],
    limits: tuple[str, ...],
    as_yaml: bool,
    with_vars: bool,
    export: bool,
    output: str | None,
    playbook_dir: str | None,
    vault_files: tuple[str, ...],
    vault_ids: tuple[str, ...],
    ask_vault_pass: bool,
) -> None:
    """Show the hosts, groups and vars of an inventory, as `ansible-inventory` does.

    One of --list, --graph and --host says what. Vaulted values stay as they are in --list and --host.

    \b
      runbook inventory -i inventory.yaml --graph
      runbook inventory -i hosts.ini -i more/ --list -l 'gpu:!maintenance'
      runbook inventory -i inventory.yaml --host gpu01
    """
    if shows_list + shows_graph + (shown_host is not None) != 1:
        raise UserError("it is not clear what to show", where="runbook inventory",
                        mend="give one of --list, --graph and --host NAME")  # fmt: skip
    from runbook.engine.inventory.inventory import load
    from runbook.engine.inventory.vault import vault

    ids = (*vault_ids, "@prompt") if ask_vault_pass else vault_ids
    asks = _fleet.ask if sys.stdin is not None and sys.stdin.isatty() else None
    opener = vault(vault_files, ids, ask=asks)
    inventory = load(inventories, vault=opener, beside=playbook_dir or ".")
    try:
        shown = _shown(inventory, group, shown_host, limits, shows_graph=shows_graph, as_yaml=as_yaml,
                       with_vars=with_vars, export=export, beside=playbook_dir is not None)  # fmt: skip
    finally:
        _warn(inventory)
    if output is None or not shows_list:
        click.echo(shown, nl=not shown.endswith("\n"))
        return
    try:
        with open(output, "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(shown)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"this can't be written: {reason}", where=output) from None


def _shown(
    inventory: Inventory,
    group: str,
    host: str | None,
    limits: tuple[str, ...],
    *,
    shows_graph: bool,
    as_yaml: bool,
    with_vars: bool,
    export: bool,
    beside: bool,
) -> str:
    from runbook.engine.inventory import select, shown

    if host is not None:
        found = inventory.matching(host)
        if len(found) != 1:
            raise UserError(f"`{host}` names {len(found)} hosts, not one", where="--host", mend="name a single host")
        given = shown.View(inventory, (), export=export, beside=beside).of_host(found[0])
        return shown.yaml_text(given) if as_yaml else shown.text(given)
    view = shown.View(inventory, select.among(inventory, limits), export=export, beside=beside)
    if shows_graph:
        from runbook.engine.report.words import printable

        lines = view.graph(group, with_vars=with_vars).split("\n")
        return "\n".join("\t".join(map(printable, line.split("\t"))) for line in lines)
    return view.yaml() if as_yaml else view.json()


def _warn(inventory: Inventory) -> None:
    from runbook.engine.report.words import printable

    for each in dict.fromkeys(inventory.warnings):
        click.echo(f"warning: {printable(each)}", err=True)
