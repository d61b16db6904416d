"""`runbook uninstall`: takes away what `install` wrote."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from runbook.engine.cli import _installing
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
    _installing.agreed(f"Stop {'it' if len(chosen) == 1 else 'them'} and take that away?", yes=yes)
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

            found.append(Found(one.name, one.path, one.runbooks, one.files, one.journal, one.changed, remove))
    for name, block, place in _cron.installed():

        def take(place: _cron.Place = place) -> str:
            strange = place.remove()
            return f"between its marks somebody wrote {len(strange)} lines, which stay" if strange else ""

        about = block.about
        journal = str(about.get("journal", ""))
        found.append(
            Found(name, place.shown, about.get("runbooks", ()), about.get("files", ()), journal, block.changed, take)
        )
    return found


def _chosen(names: Sequence[str], there: Sequence[Found]) -> list[Found]:
    """Return what is meant.

    Raises:
        UserError: there is no such thing, or it can't be told which is meant.
    """
    listed = ", ".join(each.name for each in there)
    if not there:
        raise UserError("nothing is installed", mend="`runbook install RUNBOOK` does it")
    if not names and len(there) > 1:
        raise UserError(f"{len(there)} are installed: {listed}", mend="name the one that is meant")
    found: dict[str, Found] = {}
    for name in names:
        own = [each for each in there if name.removesuffix(".service") == each.name]
        own = own or [
            each for each in there if name in each.runbooks or _path(name) in each.files or name in each.files
        ]
        if not own:
            raise UserError(f"`{name}` is not installed", mend=f"installed are {listed}")
        found.update({each.where + each.name: each for each in own})
    return list(found.values()) if names else list(there)


def _path(name: str) -> str:
    return os.path.abspath(name)  # noqa: PTH100 -- as `install` has it
