"""An inventory as `ansible-inventory` prints it: `--list` in JSON or YAML, `--graph`, `--host`."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.errors import UserError
from runbook.engine.inventory.draft import ALL
from runbook.engine.inventory.inventory import MAGIC
from runbook.engine.inventory.texts import Map, Opened, Sealed, Unsafe

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from runbook.engine.inventory.draft import Group
    from runbook.engine.inventory.inventory import Host, Inventory

MAX_LINES: Final = 2_000_000
_PROFILE: Final = "inventory_legacy"
_RUNS: Final = (
    "async_path collection_name config_file dependent_role_names diff_mode facts forks inventory_sources limit "
    "play_batch play_hosts play_hosts_all play_role_names playbook_python role_name role_names run_tags skip_tags "
    "verbosity version"
)
_INTERNAL: Final = frozenset(
    {*MAGIC, *(f"ansible_{name}" for name in _RUNS.split())}
    | {"hostvars", "playbook_dir", "play_hosts", "role_name", "role_names", "role_path", "role_uuid"}
)


class View:
    """What is to be shown of an inventory.

    Args:
        inventory: what was read.
        among: the names of the hosts that a limit lets through.
        export: the vars where they are set, groups' with groups; without it, each host's as they were merged.
        beside: vars files beside a runbook count for groups too.
    """

    def __init__(
        self, inventory: Inventory, among: Collection[str], *, export: bool = False, beside: bool = False
    ) -> None:
        self.inventory = inventory
        self.among = frozenset(among)
        self.export = export
        self.beside = beside

    def of_host(self, host: Host) -> dict[Any, Any]:
        """Return a host's vars, without what only a run knows."""
        given = self.inventory.own(host, beside=self.beside) if self.export else host.written
        return _outward(given)

    def of_group(self, group: Group) -> dict[Any, Any]:
        """Return a group's own vars."""
        given = self.inventory.of_group(group.name, beside=self.beside)
        if group.priority != 1:
            given["ansible_group_priority"] = group.priority
        return _outward(given)

    def json(self) -> str:
        """Return `--list`."""
        found = self._tables(self.inventory.groups[ALL], set())
        shown = {name: given for name in self._shown() if (given := self.of_host(self.inventory.hosts[name]))}
        found["_meta"] = {"hostvars": shown, "profile": _PROFILE}
        return text(found)

    def yaml(self) -> str:
        """Return `--list --yaml`."""
        return yaml_text(self._tree(self.inventory.groups[ALL], set(), set()))

    def graph(self, name: str = ALL, *, with_vars: bool = False) -> str:
        """Return `--graph`.

        Raises:
            UserError: there is no such group, or the tree is endless.
        """
        group = self.inventory.groups.get(name)
        if group is None:
            from runbook.engine.language.nearest import nearest

            near = nearest(name, self.inventory.groups)
            mend = f"did you mean {near}?" if near else f"there are {', '.join([*self.inventory.groups][:20])}"
            raise UserError(f"there is no group `{name}`", mend=mend)
        lines = list(itertools.islice(self._lines(group, 0, with_vars=with_vars), MAX_LINES + 1))
        if len(lines) > MAX_LINES:
            raise UserError(f"the tree has more than {MAX_LINES} lines: groups stand below several others",
                            mend="show a part of it: --graph GROUP")  # fmt: skip
        return "\n".join(lines)

    def _shown(self) -> Iterator[str]:
        return (name for name in self.inventory.within(ALL) if name in self.among)

    def _tables(self, group: Group, seen: set[str]) -> dict[str, Any]:
        own: dict[str, Any] = {}
        found = {group.name: own}
        if group.name != ALL:
            own["hosts"] = [name for name in group.hosts if name in self.among]
        own["children"] = list(group.children)
        for child in group.children:
            if child not in seen:
                found.update(self._tables(self.inventory.groups[child], seen))
                seen.add(child)
        if self.export:
            own["vars"] = self.of_group(group)
        return _without_empty(group.name, own, found)

    def _tree(self, group: Group, groups: set[str], hosts: set[str]) -> dict[str, Any]:
        own: dict[str, Any] = {"children": {}, "hosts": {}}
        for child in group.children:
            if child in groups:
                own["children"][child] = {}
            elif child != ALL:
                own["children"].update(self._tree(self.inventory.groups[child], groups, hosts))
                groups.add(child)
        for name in group.hosts if group.name != ALL else ():
            if name in self.among:
                own["hosts"][name] = {} if name in hosts else self.of_host(self.inventory.hosts[name])
                hosts.add(name)
        if self.export and (given := self.of_group(group)):
            own["vars"] = given
        return _without_empty(group.name, own, {group.name: own})

    def _lines(self, group: Group, depth: int, *, with_vars: bool) -> Iterator[str]:
        yield _indented(f"@{group.name}:", depth)
        for child in group.children:
            yield from self._lines(self.inventory.groups[child], depth + 1, with_vars=with_vars)
        for name in group.hosts if group.name != ALL else ():
            yield _indented(name, depth + 1)
            if with_vars:
                yield from self._vars(self.of_host(self.inventory.hosts[name]), depth + 2)
        if with_vars:
            yield from self._vars(self.of_group(group), depth + 1)

    def _vars(self, given: Mapping[Any, Any], depth: int) -> Iterator[str]:
        for name, value in sorted(given.items(), key=lambda item: str(item[0])):
            yield _indented(f"{{{name} = {self._plain(value)}}}", depth)

    def _plain(self, value: Any) -> str:
        if isinstance(value, Sealed):
            try:
                return self.inventory.vault.decrypt(value.ciphertext, value.where)
            except UserError:
                return str(value)
        return str(value)


def text(found: Mapping[Any, Any]) -> str:
    """Return JSON as `ansible-inventory` writes it."""
    plain = _jsonable(found, ())
    try:
        return json.dumps(plain, sort_keys=True, indent=4, ensure_ascii=False)
    except TypeError:  # keys of several kinds have no order
        return json.dumps(json.loads(json.dumps(plain)), sort_keys=True, indent=4, ensure_ascii=False)


def yaml_text(found: Mapping[Any, Any]) -> str:
    """Return YAML as `ansible-inventory --yaml` writes it."""
    import yaml
    from yaml.cyaml import CSafeDumper

    class Dumper(CSafeDumper):
        """Knows the texts of inventories."""

        def ignore_aliases(self, data: Any) -> bool:
            return isinstance(data, (dt.date, dt.time)) or bool(super().ignore_aliases(data))

    Dumper.add_representer(set, lambda dumper, data: dumper.represent_list(sorted(data, key=str)))
    Dumper.add_representer(Map, lambda dumper, data: dumper.represent_dict(data))
    for kind in (Unsafe, Opened):
        Dumper.add_representer(kind, lambda dumper, data: dumper.represent_str(str(data)))
    Dumper.add_representer(Sealed, lambda dumper, data: dumper.represent_scalar("!vault", data.ciphertext, style="|"))
    written: str = yaml.dump(found, Dumper=Dumper, default_flow_style=False, allow_unicode=True)
    return written


def _jsonable(value: Any, path: tuple[Any, ...]) -> Any:
    """Return what JSON can say of a value; `path` tells where Ansible marks what is no template."""
    if isinstance(value, Unsafe):
        marked = path[:2] == ("_meta", "hostvars") or path[1:2] == ("vars",)
        return {"__ansible_unsafe": str(value)} if marked else str(value)
    if isinstance(value, Sealed):
        return {"__ansible_vault": value.ciphertext}
    if isinstance(value, dict):
        return {key: _jsonable(each, (*path, key)) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(each, (*path, number)) for number, each in enumerate(value)]
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _outward(given: Mapping[Any, Any]) -> dict[Any, Any]:
    return {name: value for name, value in given.items() if name not in _INTERNAL}


def _without_empty(name: str, own: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    for key in ("hosts", "vars", "children"):
        if key in own and not own[key]:
            del own[key]
    if not own:
        del found[name]
    return found


def _indented(line: str, depth: int) -> str:
    return "  |" * depth + f"--{line}" if depth else line
