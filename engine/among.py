"""Which hosts a command is about, and how they are reached: from `-i`, `-l` and the like to a fleet."""

from __future__ import annotations

import contextlib
import os
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from runbook.engine import fleet
from runbook.engine.errors import HostUnreachable, UserError
from runbook.engine.fleet.hosts import FORKS, Hosts
from runbook.engine.inventory.patterns import EVERYTHING, covers
from runbook.engine.language import taint
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from runbook.engine.fleet.asker import Asker
    from runbook.engine.fleet.line import Line
    from runbook.engine.inventory.inventory import Host, Inventory
    from runbook.engine.model import Runbook

HERE: Final = "localhost"
_FILES: Final = 512  # descriptors for everything but hosts
_FILES_EACH: Final = 6  # of one host's connection, with an agent for another user
AGENT_DIR: Final = "RUNBOOK_AGENT_DIR"


@frozen
class Reach:
    """What the command line says of hosts, and of how they are reached; it goes before the inventory."""

    inventories: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    forks: int = FORKS
    user: str = ""
    private_key: str = ""
    become: bool = False
    become_user: str = ""
    become_password: str | None = None
    accept_new: bool = False
    timeout: float = 10.0  # seconds to connect
    vault_files: tuple[str, ...] = ()
    vault_ids: tuple[str, ...] = ()
    ask: Callable[[str], str] | None = None  # asks the person at the terminal


@frozen
class Chosen:
    """The hosts that a runbook is about."""

    hosts: tuple[Host, ...] = ()  # none: this machine, without an inventory
    size: int = 1  # how many there are before --limit
    users: Mapping[str, tuple[bool, str]] = field(default_factory=dict)  # by host: whether to become, and whom

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(host.name for host in self.hosts) or (HERE,)

    def vars(self, host: str) -> Mapping[str, Any]:
        """Return what an inventory says of one of them."""
        return next((each.vars for each in self.hosts if each.name == host), {})


class Among:
    """The inventory of a command, read once.

    Args:
        reach: what the command line says.
        beside: the directory of the runbook: its group_vars/ and host_vars/ count too.
    """

    def __init__(self, reach: Reach, beside: str | None = None) -> None:
        self._reach = reach
        self.inventory: Inventory | None = None
        if reach.inventories or reach.limits:
            from runbook.engine.inventory import inventory, vault

            opened = vault.vault(reach.vault_files, reach.vault_ids, ask=reach.ask)
            self.inventory = inventory.load(reach.inventories, vault=opened, beside=beside)

    def names(self) -> frozenset[str]:
        """Return the names of the inventory's variables."""
        if self.inventory is None:
            return frozenset()
        return frozenset().union(*(host.written for host in self.inventory.hosts.values()))

    def warnings(self) -> Iterable[str]:
        """Return what is worth telling of the inventory, each `file:line: what`."""
        return () if self.inventory is None else dict.fromkeys(self.inventory.warnings)

    def choose(self, runbook: Runbook) -> Chosen:
        """Return the hosts that a runbook is about, as far as --limit lets them through.

        Raises:
            UserError: nothing matches, or there is no inventory for what it asks for.
        """
        where = f"{runbook.file}: hosts" if runbook.file else "hosts"
        wanted = {call.delegate_to for call in taint.calls(runbook) if call.delegate_to}
        members = (member for pool in runbook.pools.values() for member in pool.members)
        wanted |= {member["host"] for member in members if isinstance(member.get("host"), str)}
        self._delegates(sorted(wanted), runbook.file)
        if self.inventory is not None:
            for detector in runbook.detectors:
                self.inventory.doubt(detector.hosts or "all", f"`hosts` of the detector `{detector.name}`")
        return self.choose_by(runbook.hosts, where)

    def choose_by(self, pattern: str, where: str = "hosts") -> Chosen:
        """Return the hosts of a pattern, as far as --limit lets them through.

        Raises:
            UserError: nothing matches, or there is no inventory for what is asked for.
        """
        if self.inventory is None:
            if pattern not in EVERYTHING and not covers(pattern, HERE):
                raise UserError(f"`{pattern}` needs an inventory", where=where, mend="give one: -i inventory.yaml")
            default = (self._reach.become, self._reach.become_user or "root")
            return Chosen(users={HERE: default})
        if not self._reach.inventories:
            raise UserError("--limit needs an inventory", where="-l", mend="give one: -i inventory.yaml")
        every = self.inventory.matching(pattern)
        try:
            hosts = self.inventory.matching(pattern, self._reach.limits)
        except UserError as error:
            if self._reach.limits and not error.mend:
                error.mend = f"{where} is `{pattern}`"
            raise
        return Chosen(tuple(hosts), len(every), {host.name: self._user(host) for host in [*hosts, *self._controller()]})

    def knows(self, name: str) -> bool:
        """Tell whether an inventory has a host."""
        return self.inventory is not None and self.inventory.host(name) is not None

    def lacks(self, name: str) -> bool:
        """Tell whether there is an inventory, and a host is not in it."""
        return self.inventory is not None and self.inventory.host(name) is None

    def only(self, name: str) -> Chosen:
        """Return one host, if an inventory has it; else this machine."""
        found = self.inventory.host(name) if self.inventory is not None else None
        return Chosen() if found is None else Chosen((found,), 1, {name: self._user(found)})

    def hidden(self) -> list[str]:
        """Return what came out of a vault: no output and no journal may have it."""
        if self.inventory is None:
            return []
        return [*self.inventory.secrets().values()]

    @contextlib.contextmanager
    def fleet(self) -> Iterator[Hosts]:
        """Give the connections to the inventory's hosts; none is made before it is needed, and none outlives this."""
        if self.inventory is None and not self._reach.become:
            with fleet.here(os.environ.get(AGENT_DIR)) as hosts:
                yield hosts
            return
        from runbook.engine.fleet.asker import Asker

        _room(len(self.inventory.hosts) if self.inventory is not None else 1)
        with Hosts(self.dialler(Asker(self._reach.ask)), forks=self._reach.forks) as hosts:
            yield hosts

    def adopt(self, hosts: Hosts, before: Among) -> None:
        """Have connections be made as this inventory has it, and those that it has otherwise be hung up.

        Args:
            hosts: the connections.
            before: the inventory that they were made by.
        """
        from runbook.engine.fleet.asker import Asker

        if self.inventory is None or before.inventory is None:
            return
        old, new = before.inventory.hosts, self.inventory.hosts
        lost = [name for name in old if name not in new or _settings(old[name]) != _settings(new[name])]
        _room(len(new))
        hosts.adopt(self.dialler(Asker(self._reach.ask)), lost)

    def _delegates(self, wanted: Iterable[str], where: str) -> None:
        """Refuse steps that are delegated to hosts that no inventory has."""
        for name in wanted:
            if name in {"controller", HERE}:
                continue
            if self.inventory is None or self.inventory.host(name) is None:
                what = f"a step is delegated to `{name}`, which is in no inventory"
                raise UserError(
                    what, where=where, mend="give one that has it: -i inventory.yaml; or write `controller`"
                )

    def _user(self, host: Host) -> tuple[bool, str]:
        """Return whether everything on a host is done as another user, and as whom."""
        reach, settings = self._reach, host.settings
        become = reach.become or _yes(settings.get("become"))
        return become, reach.become_user or str(settings.get("become_user") or "root")

    def _controller(self) -> Iterable[Host]:
        found = self.inventory.host(HERE) if self.inventory is not None else None
        return [found] if found is not None else []

    def dialler(self, asker: Asker) -> Callable[[str], Line]:
        """Return what makes a line to a host by its name."""
        from runbook.engine.fleet import dial, target
        from runbook.engine.inventory import inventory

        reach = self._reach
        known = self.inventory or inventory.load([])
        options = target.Options(
            user=reach.user,
            private_key_file=reach.private_key,
            timeout=reach.timeout,
            accept_new=reach.accept_new,
            agent_dir=os.environ.get(AGENT_DIR),
            become_password=reach.become_password,
        )

        def dialled(name: str) -> Line:
            host = known.host(name)
            if host is None:
                raise HostUnreachable(
                    "the inventory has no such host", where=name, mend="see `runbook inventory --graph`"
                )
            try:
                return dial.dial(target.target(host, options), asker)
            except HostUnreachable:
                raise
            except UserError as error:
                raise HostUnreachable(error.what, where=error.where or name, mend=error.mend) from error

        return dialled


def _settings(host: Host) -> Mapping[str, Any] | None:
    """Return how a host is reached; None where that can't be made out: whoever dials it is told."""
    try:
        return dict(host.settings)
    except UserError:
        return None


def _room(hosts: int) -> None:
    """Let this process have the descriptors that connections to so many hosts take, as far as the system allows."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES + _FILES_EACH * hosts
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def _yes(given: Any) -> bool:
    return given is True or (isinstance(given, str) and given.lower() in {"yes", "true", "on", "1"}) or given == 1
