"""An inventory while it is read: groups and hosts as files name them, in Ansible's order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runbook.engine.inventory.texts import Mark

LOCALHOST: Final = ("127.0.0.1", "localhost", "::1")
ALL: Final = "all"
MAX_DEPTH: Final = 100
UNGROUPED: Final = "ungrouped"
_PRIORITY: Final = "ansible_group_priority"


class Group:
    """A group: its own hosts and children, in the order in which they were named, and its own vars."""

    __slots__ = ("children", "depth", "hosts", "name", "origins", "parents", "priority", "vars")

    def __init__(self, name: str) -> None:
        self.name = name
        self.hosts: dict[str, None] = {}
        self.children: dict[str, None] = {}
        self.parents: dict[str, None] = {}
        self.vars: dict[str, Any] = {}
        self.origins: dict[str, str] = {}
        self.priority = 1
        self.depth = 0


class Named:
    """A host: the groups that name it, and its own vars."""

    __slots__ = ("groups", "name", "origins", "source", "vars")

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.source = source
        self.groups: dict[str, None] = {}
        self.vars: dict[str, Any] = {}
        self.origins: dict[str, str] = {}


class Draft:
    """What the sources said so far.

    Attributes:
        groups: by name, in the order in which they were first named.
        hosts: as groups.
        source: the `-i` or file that is being read.
        warnings: what is worth telling, each `where: what`.
    """

    def __init__(self) -> None:
        self.groups: dict[str, Group] = {}
        self.hosts: dict[str, Named] = {}
        self.source = ""
        self.warnings: list[str] = []
        self.add_group(ALL)
        self.add_group(UNGROUPED)
        self.add_child(ALL, UNGROUPED)

    def add_group(self, name: str) -> None:
        """Add a group where there is none of the name."""
        if name not in self.groups:
            self.groups[name] = Group(name)

    def add_host(self, name: str, group: str | None = None, port: int | None = None) -> None:
        """Add a host where there is none of the name, and put it into a group; a port counts when it is new."""
        if not name:
            raise UserError("a host has no name")
        host = self.hosts.get(name)
        if host is None:
            host = self.hosts[name] = Named(name, self.source)
            if port:
                host.vars["ansible_port"] = port
        if group is not None:
            self.groups[group].hosts[name] = None
            host.groups[group] = None

    def add_child(self, parent: str, child: str) -> None:
        """Put a group below another.

        Raises:
            UserError: the other lies below it already.
        """
        if child in self.groups[parent].children:
            return
        if parent == child:
            raise UserError(f"the group `{child}` is its own child", mend="delete it below itself")
        if child in self.ancestors(parent):
            way = " → ".join(self._way(child, parent))
            raise UserError(f"the group `{child}` is its own ancestor: {way} → {child}",
                            mend=f"take `{child}` out of the children of `{parent}`")  # fmt: skip
        self.groups[parent].children[child] = None
        self.groups[child].parents[parent] = None

    def set_group(self, name: str, key: Any, value: Any, origin: str = "") -> None:
        """Set a var of a group; `ansible_group_priority` is its priority, and no var.

        Raises:
            UserError: the priority is no whole number.
        """
        group = self.groups[name]
        if key == _PRIORITY:
            try:
                group.priority = int(value)
            except (TypeError, ValueError):
                raise UserError(f"{_PRIORITY} is a whole number, not `{value}`", where=origin) from None
            return
        group.vars[key] = _copied(value)
        group.origins[key] = origin

    def set_host(
        self, name: str, given: Mapping[Any, Any], origin: str, places: Mapping[Any, tuple[Mark, Mark]]
    ) -> None:
        """Set vars of a host; where a group has its name, the group gets them, as in Ansible."""
        if name in self.groups:
            for key, value in given.items():
                self.set_group(name, key, value, origin)
            return
        host = self.hosts[name]
        for key, value in given.items():
            host.vars[key] = _copied(value) if isinstance(value, (dict, list)) else value
            place = places.get(key)
            host.origins[key] = f"{origin}:{place[0][0]}" if place else origin

    def ancestors(self, *names: str) -> set[str]:
        """Return the groups above groups, at any height."""
        return self._beyond(names, "parents")

    def _beyond(self, names: Iterable[str], way: str) -> set[str]:
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            for each in getattr(self.groups[waiting.pop()], way):
                if each not in found:
                    found.add(each)
                    waiting.append(each)
        return found

    def _way(self, upper: str, lower: str) -> list[str]:
        """Return the groups from one down to another."""
        waiting = [[upper]]
        seen = {upper}
        while waiting:
            way = waiting.pop(0)
            if way[-1] == lower:
                return way
            for child in self.groups[way[-1]].children:
                if child not in seen:
                    seen.add(child)
                    waiting.append([*way, child])
        return [upper, lower]

    def reconcile(self) -> None:
        """Put what stands outside under `all`, and hosts without a group of their own under `ungrouped`."""
        for group in list(self.groups.values()):
            if group.name != ALL and not self.ancestors(group.name):
                self.add_child(ALL, group.name)
        beyond: dict[tuple[str, ...], bool] = {}
        for host in self.hosts.values():
            mine = tuple(host.groups)
            if mine not in beyond:
                beyond[mine] = bool(({*mine} | self.ancestors(*mine)) - {ALL, UNGROUPED})
            if UNGROUPED in host.groups:
                if beyond[mine]:
                    del host.groups[UNGROUPED], self.groups[UNGROUPED].hosts[host.name]
            elif not beyond[mine]:
                if host.name in self.groups:  # as Ansible has it: the group of this name, and not the host
                    self.add_child(UNGROUPED, host.name)
                else:
                    self.add_host(host.name, UNGROUPED)
        for name in self.groups.keys() & self.hosts.keys():
            self.warnings.append(f"`{name}` is the name of a group and of a host")
        self._measure()

    def _measure(self) -> None:
        """Give every group its depth: the longest way down from the top."""
        for group in self.groups.values():
            group.depth = 0
        waiting = [name for name, group in self.groups.items() if not group.parents]
        missing = {name: len(group.parents) for name, group in self.groups.items()}
        while waiting:
            upper = self.groups[waiting.pop()]
            for name in upper.children:
                lower = self.groups[name]
                lower.depth = max(lower.depth, upper.depth + 1)
                if lower.depth > MAX_DEPTH:
                    raise UserError(f"groups are nested deeper than {MAX_DEPTH}: `{name}`", mend="flatten them")
                missing[name] -= 1
                if not missing[name]:
                    waiting.append(name)


def _copied(value: Any) -> Any:
    """Return a value that shares nothing: what is printed as YAML shows by anchors what is shared."""
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value
