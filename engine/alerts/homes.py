"""Which host of the inventory an alert is about, by one of its labels."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from runbook.engine.inventory.addresses import Unfit, is_address, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runbook.engine.recover.state import Plan

_KNOWN: Final = 10_000  # values of labels of which is remembered whom they name
_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")


class Homes:
    """The hosts of a runbook by all that they are called.

    A host's own name goes before its address, that before its short name; a short name of several means none of them.

    Args:
        hosts: their names, with the address under which each is reached, if that is another.
        alone: there is no inventory: whatever is heard of is about this machine.
    """

    def __init__(self, hosts: Mapping[str, str], *, alone: bool = False) -> None:
        self._alone = next(iter(hosts)) if alone else None
        addresses = [(address.lower(), name) for name, address in hosts.items() if address]
        short = [(name.lower().partition(".")[0], name) for name in hosts if "." in name and not is_address(name)]
        short += [(each.partition(".")[0], name) for each, name in addresses if not is_address(each)]
        self._bare = {name.lower() for name in hosts if "." not in name}
        self._known = _clear(short) | _clear(addresses) | {name.lower(): name for name in hosts}
        self._homes: dict[str, str | None] = {}

    def home(self, label: str) -> str | None:
        """Return the host that a label's value names; None = none of ours.

        Example:
            >>> homes = Homes({"gpu01.lan": "10.0.0.1", "gpu02.lan": ""})
            >>> homes.home("gpu01:9400"), homes.home("10.0.0.1:9100"), homes.home("http://gpu02.lan/health")
            ('gpu01.lan', 'gpu01.lan', 'gpu02.lan')
        """
        if self._alone is not None:
            return self._alone
        if label not in self._homes:
            if len(self._homes) >= _KNOWN:
                self._homes.clear()
            self._homes[label] = self._find(label)
        return self._homes[label]

    def _find(self, label: str) -> str | None:
        text = _SCHEME.sub("", label.strip(), count=1).partition("/")[0].rpartition("@")[2]
        try:
            host = parse(text.rstrip("."))[0].lower()
        except Unfit:
            return None
        if host in self._known:
            return self._known[host]
        bare = host.partition(".")[0]  # the same name in another domain is another machine
        return self._known[bare] if bare in self._bare and not is_address(host) else None


def of(plan: Plan) -> Homes:
    """Return the hosts that a plan is about."""
    return Homes({name: _address(plan, name) for name in plan.scopes}, alone=not plan.groups)


def _address(plan: Plan, name: str) -> str:
    """Return under which address a host is reached, as its inventory says."""
    given = plan.scopes[name].runbook.vars.get("ansible_host")
    return given if isinstance(given, str) else ""


def _clear(named: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Leave out what several hosts are called."""
    found: dict[str, set[str]] = {}
    for called, name in named:
        found.setdefault(called, set()).add(name)
    return {called: next(iter(names)) for called, names in found.items() if len(names) == 1}
