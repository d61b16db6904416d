"""`runbook uninstall`: takes away what `install` wrote."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from runbook.engine.cli import _showing
from runbook.engine.errors import UserError
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@frozen
class Found:
    """One thing that is installed."""

    name: str
    where: str
    runbooks: Sequence[str]
    files: Sequence[str]
    journal: str
    changed: bool
    machines: bool  # the machine's, so root's to take away
    remove: Callable[[], str]  # returns what stays, and why


@click.command("uninstall", short_help="Stop a watch, and take away what `install` wrote.")
@click.argument("names", nargs=-1, metavar="[NAME|RUNBOOK...]")
@click.option("--check", is_flag=True, help="Only show what would be taken away.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def command(names: tuple[str, ...], *, check: bool, yes: bool) -> int:
    """Stop watches and take away what `runbook install` wrote for them: units, lines of cron, and nothing else.

    NAME is that of the service, RUNBOOK one that it watches; without any, the only one there is. Steps that are begun
    may end within `--grace`. The journal stays.

    \b
    Example:
      runbook uninstall runbook-serving
      runbook uninstall serving.yaml
    """
    chosen = _chosen(names, _everything())
    for each in chosen:
        edited = " (changed by hand since)" if each.changed else ""
        click.echo(f"{each.name}: {each.where}{edited}")
    if check:
        return 0
    _showing.agreed(f"Stop {'it' if len(chosen) == 1 else 'them'} and take that away?", yes=yes)
    for each in chosen:
        stays = each.remove()
        click.echo(f"{each.name} is gone{f'; {stays}' if stays else ''}; its journal stays: {each.journal}")
    return 0


def _everything() -> list[Found]:
    from runbook.engine.cli import _cron
    from runbook.engine.install import units
    from runbook.engine.install.systemctl import Systemd

    found = []
    for systemd in (Systemd(system=True), Systemd(system=False)):
        for one in units.installed(systemd):

            def remove(systemd: Systemd = systemd, one: units.Installed = one) -> str:
                beside = units.remove(systemd, one)
                return f"{beside} is not ours, and stays" if beside else ""

            found.append(
                Found(one.name, one.path, one.runbooks, one.files, one.journal, one.changed, systemd.system, remove)
            )
    for name, block, place in _cron.installed():

        def take(place: _cron.Place = place) -> str:
            strange = place.remove()
            return f"between its marks somebody wrote {len(strange)} lines, which stay" if strange else ""

        about = block.about
        journal = str(about.get("journal", ""))
        found.append(
            Found(
                name,
                place.shown,
                about.get("runbooks", ()),
                about.get("files", ()),
                journal,
                block.changed,
                place.machines,
                take,
            )
        )
    return found


def _chosen(names: Sequence[str], there: Sequence[Found]) -> list[Found]:
    """Return what is meant.

    Raises:
        UserError: there is no such thing, or it can't be told which is meant.
    """
    root = os.geteuid() == 0
    own = [each for each in there if root or not each.machines]
    listed = ", ".join(each.name for each in there)
    if not there:
        raise UserError("nothing is installed", mend="`runbook install RUNBOOK` does it")
    if not names and len(own) != 1:
        count = f"{len(own)} are" if own else "nothing of yours is"
        raise UserError(f"{count} installed: there are {listed}", mend="name the one that is meant")
    found: dict[str, Found] = {} if names else {own[0].where: own[0]}
    for name in names:
        meant = [each for each in there if name.removesuffix(".service") == each.name] or _by_runbook(name, there)
        if not meant:
            raise UserError(f"`{name}` is not installed", mend=f"installed are {listed}")
        for each in meant:
            if each.machines and not root:
                raise UserError(f"`{each.name}` is the machine's", where=each.where, mend="become root")
            found[each.where + each.name] = each
    return list(found.values())


def _by_runbook(name: str, there: Sequence[Found]) -> list[Found]:
    """Return what watches a runbook.

    Raises:
        UserError: it watches others as well.
    """
    path = os.path.abspath(name)  # noqa: PTH100 -- as `install` has it
    meant = [each for each in there if name in each.runbooks or {name, path} & set(each.files)]
    for each in meant:
        if len(each.runbooks) > 1:
            what = f"`{each.name}` watches {', '.join(each.runbooks)}, all of them or none"
            raise UserError(what, mend=f"runbook uninstall {each.name}, and install the others anew")
    return meant
