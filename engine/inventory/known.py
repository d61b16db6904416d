"""What the rules of lint may ask of an inventory: whether the hosts and groups that a runbook names are in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.inventory import select
from runbook.engine.language.lint.outside import Astray, Outside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.inventory.inventory import Inventory


class Known:
    """An inventory's hosts and groups."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory

    def astray(self, pattern: str) -> Iterator[Astray]:
        """Yield the parts of a pattern that name no host and no group."""
        for term, name, near in select.astray(self._inventory, pattern):
            hint = "a group without hosts is enough for it" if term[0] == "!" and near is None else _hint(near)
            yield Astray(name, f"the inventory has no host and no group `{name}`", hint)

    def stranger(self, name: str) -> Astray | None:
        """Return why a name is no host's; None where it is one."""
        if self._inventory.host(name) is not None:
            return None
        if name in self._inventory.groups:
            return Astray(name, f"`{name}` is a group of the inventory, and a host is wanted", "name one of its hosts")
        return Astray(name, f"the inventory has no host `{name}`", _hint(select.likest(self._inventory, name)))


def outside(inventory: Inventory) -> Outside:
    """Return what an inventory adds to what a runbook says."""
    names = frozenset().union(*(host.written for host in inventory.hosts.values()))
    return Outside(names, Known(inventory))


def _hint(near: str | None) -> str:
    return f"did you mean {near}?" if near else "`runbook inventory --graph -i INVENTORY` shows what there is"
