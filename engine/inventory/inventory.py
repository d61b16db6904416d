"""The hosts of a fleet: read from Ansible's inventories, chosen by patterns, with their vars merged as Ansible does."""

from __future__ import annotations

import os
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.errors import UserError
from runbook.engine.inventory import addresses, settings, sources, values
from runbook.engine.inventory.draft import ALL, LOCALHOST, Draft, Group, Named
from runbook.engine.inventory.files import Files
from runbook.engine.inventory.texts import Opened, Sealed
from runbook.engine.inventory.vars_files import GROUPS, HOSTS, Folder
from runbook.engine.inventory.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MAGIC: Final = ("inventory_hostname", "inventory_hostname_short", "group_names", "groups", "inventory_dir",
                "inventory_file")  # fmt: skip
SHORTEST_SECRET: Final = 4


class Host:
    """A host of the inventory.

    Attributes:
        name: as the inventory names it.
        groups: the groups it is in, directly or not, with `all`; none for the implicit localhost.
        implicit: it is `localhost`, and no inventory names it.
    """

    def __init__(self, inventory: Inventory, named: Named, groups: frozenset[str], *, implicit: bool = False) -> None:
        self.name = named.name
        self.groups = groups
        self.implicit = implicit
        self._inventory = inventory
        self._named = named

    def __repr__(self) -> str:
        return f"Host({self.name!r})"

    @cached_property
    def written(self) -> Mapping[str, Any]:
        """The vars as files say them, merged: templates are text, vaulted values are `Sealed`."""
        return self._inventory.merged(self._named, self.groups)

    @cached_property
    def magic(self) -> Mapping[str, Any]:
        """`inventory_hostname`, `inventory_hostname_short`, `group_names`, `groups`, and where it was named."""
        short = self.name if addresses.is_address(self.name) else self.name.split(".")[0]
        source = self._named.source
        path = os.path.abspath(source) if source and os.path.exists(source) else None  # noqa: PTH100, PTH110
        return {
            "inventory_hostname": self.name,
            "inventory_hostname_short": short,
            "group_names": sorted(self.groups - {ALL}),
            "groups": self._inventory.members,
            "inventory_file": path or source or None,
            "inventory_dir": os.path.dirname(path) if path else None,  # noqa: PTH120
        }

    @cached_property
    def vars(self) -> Mapping[str, Any]:
        """The vars, of the kind that a runbook's vars are, with the magic ones."""
        vault = self._inventory.vault
        made = {
            name: values.converted(_hidden(name, value), vault, f"the var {name} of {self.name}")
            for name, value in self.written.items()
            if isinstance(name, str)
        }
        return {**made, **self.magic}

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """How it is reached, templates filled in: `host port user ssh_private_key_file become_user` and so on.

        What can't be had of the password of sudo is told when it is used, and stands there as the error.

        Raises:
            UserError: a template names what is not there; a value is vaulted, and no password fits.
        """
        scope = values.Names(self.vars)
        found = {}
        for setting, name in settings.names(self.written).items():
            try:
                found[setting] = scope[name]
            except UserError as error:
                where = self._inventory.origin(self, name) or error.where
                wrong = type(error)(f"{name} of {self.name}: {error.what}", where=where, mend=error.mend)
                if setting != "become_password":
                    raise wrong from None
                found[setting] = wrong
        return found


class Inventory:
    """Hosts and groups.

    Attributes:
        hosts: by name, in the order in which the sources name them; without the implicit localhost.
        groups: by name, `all` and `ungrouped` among them.
        warnings: what is worth telling, each `file:line: what`.
        vault: decrypts.
    """

    def __init__(
        self, draft: Draft, files: Files, folders: Sequence[Folder], beside: Folder | None, vault: Vault
    ) -> None:
        self.groups: Mapping[str, Group] = draft.groups
        self.warnings = draft.warnings
        self.vault = vault
        self._files = files
        self._folders = folders
        self._beside = beside
        self._named = draft.hosts
        self._above: dict[tuple[str, ...], frozenset[str]] = {}
        self._draft = draft
        self._common: dict[frozenset[str], dict[str, Any]] = {}
        self.hosts: Mapping[str, Host] = {
            name: Host(self, each, self._groups(each)) for name, each in draft.hosts.items()
        }

    def matching(self, pattern: str | Sequence[str], limits: Sequence[str] = ()) -> list[Host]:
        """Return the hosts that a pattern names, in the inventory's order, as far as the limits let them through.

        Args:
            pattern: Ansible's: `gpu:&rack1:!maintenance`, `web*`, `~node[0-9]+`, `gpu[0:3]`, `a,b`; several add up.
            limits: of --limit, as patterns, or `@FILE` with one a line; several are added up.

        Raises:
            UserError: nothing matches, a regular expression is none, a file of a limit is not there.

        Example:
            >>> load(["web1,web2,db1"]).matching("web*", limits=["!web2"])
            [Host('web1')]
        """
        from runbook.engine.inventory import select

        return select.matching(self, pattern, limits)

    def doubt(self, pattern: str, where: str) -> None:
        """Warn of the parts of a pattern that name no host and no group."""
        from runbook.engine.inventory import select

        for _, name, near in select.astray(self, pattern):
            told = f"{where}: the inventory has no host and no group `{name}`"
            self.warnings.append(told + (f"; did you mean {near}?" if near else ""))

    def beside(self, directory: str) -> Inventory:
        """Return the same inventory for a runbook in another directory, whose group_vars/ and host_vars/ count too."""
        return Inventory(self._draft, self._files, self._folders, Folder(directory, self._files), self.vault)

    def host(self, name: str) -> Host | None:
        """Return a host by its name; `localhost` is there even where no source names it, or names it `127.0.0.1`."""
        found = self.hosts.get(name)
        if found is None and name in LOCALHOST:
            known = next((self.hosts[each] for each in self.hosts if each in LOCALHOST), None)
            return known or self._localhost(name)
        return found

    def within(self, group: str) -> list[str]:
        """Return the names of a group's hosts and of those of the groups below it."""
        found: dict[str, None] = {}
        seen = {group: None}
        for name in seen_in_order(self.groups, seen):
            found.update(self.groups[name].hosts)
        return list(found)

    @cached_property
    def members(self) -> Mapping[str, list[str]]:
        """The hosts of every group: the magic var `groups`."""
        return {name: self.within(name) for name in self.groups}

    def secrets(self, hosts: Iterable[Host] | None = None) -> dict[str, str]:
        """Return what came out of a vault, and passwords, by the vars' names: no output or journal has them.

        Values that no password opens are left out: they can't appear anywhere. So are names of users and the like that
        only stand in a vaulted file: who hides `root` hides half of any text.
        """
        found: dict[str, str] = {}
        for host in self.hosts.values() if hosts is None else hosts:
            for name, value in host.written.items():
                for number, each in enumerate(values.secrets(_hidden(name, value))):
                    if name in settings.PLAIN and not isinstance(each, Sealed):
                        continue
                    try:
                        plain = values.opened(each, self.vault)
                    except UserError:
                        continue
                    if len(plain) >= SHORTEST_SECRET:
                        found[f"{host.name}.{name}" + (f".{number}" if number else "")] = plain
        return found

    def origin(self, host: Host, name: str) -> str:
        """Return where the value of a host's var stands: `file:line`, or nothing."""
        for folder in reversed(self._all_folders()):
            if (found := folder.origins.get((HOSTS, host.name, name))) is not None:
                return found
        named = self._named.get(host.name)
        if named is not None and name in named.vars:
            return named.origins.get(name, "")
        return next(self._group_origins(host, name), "")

    def merged(self, named: Named, groups: frozenset[str]) -> dict[str, Any]:
        """Return a host's vars: of `all`, of its groups by depth, priority and name, and its own; the last count."""
        found = {**self._of_groups(groups), **named.vars}
        for folder in self._all_folders():
            found.update(folder.of(HOSTS, named.name))
        return found

    def own(self, host: Host, *, beside: bool = True) -> dict[str, Any]:
        """Return the vars of a host itself, without those of its groups."""
        found = dict(self._named[host.name].vars)
        for folder in self._all_folders() if beside else self._folders:
            found.update(folder.of(HOSTS, host.name))
        return found

    def of_group(self, name: str, *, beside: bool = True) -> dict[str, Any]:
        """Return the vars of a group itself, without those of the groups above it."""
        found = dict(self.groups[name].vars)
        for folder in self._all_folders() if beside else self._folders:
            found.update(folder.of(GROUPS, name))
        return found

    def ordered(self, groups: Iterable[str]) -> list[str]:
        """Return groups in the order in which their vars count, `all` left out."""
        return sorted(
            (name for name in groups if name != ALL),
            key=lambda name: (self.groups[name].depth, self.groups[name].priority, name),
        )

    def _of_groups(self, groups: frozenset[str]) -> dict[str, Any]:
        found = self._common.get(groups)
        if found is None:
            ordered = self.ordered(groups)
            found = dict(self.groups[ALL].vars)
            for name in ordered:
                found.update(self.groups[name].vars)
            everyone = [(folder, [ALL]) for folder in self._all_folders()]
            theirs = [(folder, ordered) for folder in self._all_folders()]
            for folder, names in [*everyone, *theirs]:
                for name in names:
                    found.update(folder.of(GROUPS, name))
            self._common[groups] = found
        return found

    def _group_origins(self, host: Host, name: str) -> Iterator[str]:
        ordered = [ALL, *self.ordered(host.groups)]
        for folder in reversed(self._all_folders()):
            for group in reversed(ordered):
                if (found := folder.origins.get((GROUPS, group, name))) is not None:
                    yield found
        for group in reversed(ordered):
            if name in self.groups[group].vars:
                yield self.groups[group].origins.get(name, "")

    def _all_folders(self) -> Sequence[Folder]:
        return self._folders if self._beside is None else [*self._folders, self._beside]

    def _groups(self, named: Named) -> frozenset[str]:
        mine = tuple(named.groups)
        if mine not in self._above:
            self._above[mine] = frozenset({*mine} | self._draft.ancestors(*mine))
        return self._above[mine]

    def _localhost(self, name: str) -> Host:
        named = Named(name, "")
        named.vars = {"ansible_python_interpreter": sys.executable, "ansible_connection": "local"}
        return Host(self, named, frozenset(), implicit=True)


def _hidden(name: str, value: Any) -> Any:
    """Return a var's value; a password is a secret wherever it stands."""
    return Opened(value) if name in settings.PASSWORDS and type(value) is str else value


def seen_in_order(groups: Mapping[str, Group], seen: dict[str, None]) -> Iterator[str]:
    """Yield groups and all below them, floor by floor."""
    waiting = list(seen)
    while waiting:
        yield from waiting
        waiting = [child for name in waiting for child in groups[name].children if child not in seen]
        waiting = list(dict.fromkeys(waiting))
        seen.update(dict.fromkeys(waiting))


def load(
    given: Sequence[str],
    *,
    vault: Vault | None = None,
    beside: str | None = None,
    patience: float | None = None,
) -> Inventory:
    """Read the inventories that `-i` names; vars of later ones go before those of earlier ones.

    Args:
        given: files, directories, programs, or lists such as `web1,web2`; none is the implicit localhost alone.
        vault: the passwords of vaulted values (`vault.vault(…)`).
        beside: a directory whose group_vars/ and host_vars/ count too, as those beside a playbook do for Ansible.
        patience: seconds that one inventory program may take; default `$RUNBOOK_INVENTORY_TIMEOUT`, or 60.

    Raises:
        UserError: a source is not there, can't be read, or is no inventory: says the file and line.

    Example:
        >>> [host.name for host in load(["web[1:2],db", "localhost,"]).hosts.values()]
        ['web[1:2]', 'db', 'localhost']
    """
    opener = Vault() if vault is None else vault
    draft = Draft()
    files = Files(opener, draft)
    paths = [sources.path_of(each) for each in given]
    for path in paths:
        try:
            sources.fill(draft, path, files, sources.patience() if patience is None else patience)
        except UserError as error:
            raise type(error)(error.what, where=error.where or path or "-i ''", mend=error.mend) from None
    try:
        draft.reconcile()
    except UserError as error:
        raise UserError(error.what, where=error.where or ", ".join(paths), mend=error.mend) from None
    bases = [
        path if os.path.isdir(path) else os.path.dirname(path)  # noqa: PTH112, PTH120
        for path in paths
        if not sources.is_list(path)
    ]
    known = {base: Folder(base, files) for base in bases}
    folders = [known[base] for base in bases]  # one that is named again counts where it is named last
    inventory = Inventory(draft, files, folders, None if beside is None else Folder(beside, files), opener)
    for group in inventory.groups:
        inventory.of_group(group)  # their files are read now, so that what is wrong with one is told now
    return inventory
