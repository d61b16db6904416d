"""The options that say which hosts a command is about, and how they are reached: under Ansible's names."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runbook.engine.among import Among, Reach
    from runbook.engine.model import Runbook

Command = Any  # a click callback


def inventories(wrapped: Command) -> Command:
    """Add -i, and what opens its vaulted values."""
    return click.option("-i", "--inventory", "inventories", multiple=True, metavar="FILE|DIR|A,B,",
                        help="The hosts: an inventory as Ansible has them. Repeatable.")(vault(wrapped))  # fmt: skip


def hosts(wrapped: Command) -> Command:
    """Add what chooses hosts, and what says how they are reached."""
    return hosts_as("-u", "--user")(wrapped)


def hosts_as(*login: str) -> Callable[[Command], Command]:
    """Return what adds the same, with other words for as whom to log in, where --user means somebody else."""

    def add(wrapped: Command) -> Command:
        return reaching(_choosing(wrapped), login)

    return add


def _choosing(wrapped: Command) -> Command:
    for option in reversed((
        click.option("-l", "--limit", "limits", multiple=True, metavar="PATTERN|@FILE",
                     help="Only these of them, such as 'gpu:!maintenance'."),
        click.option("-f", "--forks", type=click.IntRange(1), default=50, metavar="N", show_default=True,
                     help="How many hosts are connected to at once."),
        click.option("--list-hosts", is_flag=True, help="Only say which hosts it would be about."),
    )):  # fmt: skip
        wrapped = option(wrapped)
    return wrapped


def reaching(wrapped: Command, login: Sequence[str] = ("-u", "--user")) -> Command:
    """Add -i, and what says how hosts are reached."""
    for option in reversed((
        click.option(*login, default="", metavar="NAME", help="Log in as this user."),
        click.option("--private-key", default="", metavar="FILE", help="Log in with this key."),
        click.option("-b", "--become", is_flag=True, help="Do everything as another user, by sudo."),
        click.option("--become-user", default="", metavar="NAME", help="As this one; default root."),
        click.option("-K", "--ask-become-pass", is_flag=True, help="Ask for sudo's password."),
        click.option("--accept-new", is_flag=True, help="Take the keys of hosts that are not known yet, and say so."),
        click.option("-T", "--connect-timeout", "patience", default="10s", metavar="DURATION", show_default=True,
                     help="How long a host may take to let us in."),
    )):  # fmt: skip
        wrapped = option(wrapped)
    return inventories(wrapped)


def vault(wrapped: Command) -> Command:
    """Add what opens vaulted values."""
    for option in reversed(_VAULT):
        wrapped = option(wrapped)
    return wrapped


_VAULT = (
    click.option("--vault-password-file", "vault_files", multiple=True, metavar="FILE",
                 help="The password of `!vault` values; an executable one says it."),
    click.option("--vault-id", "vault_ids", multiple=True, metavar="ID@FILE",
                 help="The same, for values that name an id; ID@prompt asks."),
    click.option("-J", "--ask-vault-pass", is_flag=True, help="Ask for the vault's password."),
)  # fmt: skip


def reach(given: Mapping[str, Any]) -> Reach:
    """Return what the words say."""
    from runbook.engine.among import Reach
    from runbook.engine.language import units

    try:
        timeout = units.duration(str(given.get("patience", "10s")))
    except ValueError as error:
        raise UserError(str(error), where="--connect-timeout") from error
    asks = ask if sys.stdin is not None and sys.stdin.isatty() else None
    ids = tuple(given.get("vault_ids", ()))
    if given.get("ask_vault_pass"):
        ids = (*ids, "@prompt")
    password = None
    if given.get("ask_become_pass"):
        if asks is None:
            raise UserError("nobody can be asked for sudo's password here", where="-K",
                            mend="set ansible_become_password in a vault, or run it at a terminal")  # fmt: skip
        password = asks("BECOME password: ")
    return Reach(
        inventories=tuple(given.get("inventories", ())),
        limits=tuple(given.get("limits", ())),
        forks=int(given.get("forks", 50)),
        user=str(given.get("user") or ""),
        private_key=str(given.get("private_key") or ""),
        become=bool(given.get("become") or given.get("become_user")),
        become_user=str(given.get("become_user") or ""),
        become_password=password,
        accept_new=bool(given.get("accept_new")),
        timeout=timeout,
        vault_files=tuple(given.get("vault_files", ())),
        vault_ids=ids,
        ask=asks,
    )


@cache
def ask(prompt: str) -> str:
    """Ask the person at the terminal, once; what is typed is not shown."""
    import getpass

    from runbook.engine.report import board

    with board.aside():
        return getpass.getpass(prompt)


def warn(among: Among) -> None:
    """Say what is odd about the inventory."""
    from runbook.engine.report.words import printable

    for warning in among.warnings():
        click.echo(f"warning: {printable(warning)}", err=True)


def astray(runbook: Runbook, given: Mapping[str, Any], among: Among) -> None:
    """Say that an inventory was given to a runbook that is about this machine alone."""
    context = click.get_current_context(silent=True)
    named = (
        context is not None and context.get_parameter_source("inventories") is click.core.ParameterSource.COMMANDLINE
    )
    known = among.inventory is not None and "localhost" in among.inventory.hosts
    if runbook.hosts == "localhost" and named and not known:
        where = runbook.file or runbook.name
        if given.get("limits"):
            raise UserError("it is about localhost alone, which --limit leaves out", where=where,
                            mend="write `hosts:` into it, such as `hosts: all`")  # fmt: skip
        click.echo(f"warning: {where} is about localhost, whatever -i names: it has no `hosts:`", err=True)


def listed(by_runbook: Mapping[str, tuple[str, ...]]) -> str:
    """Return what --list-hosts prints, as `ansible-playbook --list-hosts` does."""
    lines = []
    for title, names in by_runbook.items():
        lines += [f"{title}: hosts ({len(names)}):", *(f"  {name}" for name in names)]
    return "\n".join(lines)
