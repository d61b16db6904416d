"""The probe `daemon`."""

from typing import TYPE_CHECKING, Any, Iterator, List, Mapping, Optional, Sequence

from runbook.modules.daemons import services
from runbook.modules.daemons.unit import Daemon as Seen
from runbook.modules.daemons.unit import Scope, State, Unit
from runbook.modules.declare import Duration, Path, Probe, Record, Regex
from runbook.modules.frozen import frozen
from runbook.modules.host import Host

if TYPE_CHECKING:
    from runbook.modules.listening.sources import Source


@frozen
class DaemonRecord(Record):
    """How one daemon does."""

    unit: str  # the unit, as the runbook names it
    alive: bool  # its main process runs; a zombie or another process with its old pid does not count
    state: State  # running, starting, stopping, stopped, failed, stale (its pidfile lies), zombie, or missing (no unit)
    pid: Optional[int]  # of its main process
    restarts: (
        int  # how often its manager restarted it by itself; for a pidfile: how often another process took its place
    )
    uptime: Optional[Duration]  # since its main process started
    exit_code: Optional[int]  # of its last run, negative for a signal; only a manager knows it
    orphans: int  # processes that `match` outside the unit, or were left behind by its last run


@frozen
class Daemon(Probe):
    """See whether a daemon runs: for systemd, supervisor, runit, docker, or by its pidfile.

    A pidfile is not believed: its process must live, be no zombie, be no younger than the file, and match.

    Example:
        - daemon: vllm
          when: not alive
        - daemon: {unit: /run/trainer.pid, match: 'train[.]py'}
          when: not alive or orphans > 0
    """

    record = DaemonRecord
    subject = "unit"

    unit: str  # the unit as its manager names it, or the absolute path of a pidfile
    manager: services.ManagerName = "auto"  # auto: whoever knows it; a path is a pidfile, or a runit directory
    match: Optional[Regex] = None  # which command lines belong to the daemon; tells orphans and reused pids
    scope: Scope = "system"  # systemd: the system's units, or those of the user that the agent runs as
    config: Optional[Path] = None  # supervisor: its configuration file, where that lies elsewhere than usual

    def check(self) -> None:
        """A name that the manager can know."""
        services.check(self.manager, self._unit())

    def look(self, host: Host) -> Iterator[DaemonRecord]:
        """Ask the manager, and count restarts where it does not."""
        seen = services.manager(self.manager).look(host, self._unit())
        group = seen.group or host.remembered.get("group", "")
        if group:
            host.remember(group=group)
        yield DaemonRecord(
            unit=self.unit,
            alive=seen.alive,
            state=seen.state,
            pid=seen.pid,
            restarts=_counted(host, seen) if seen.restarts is None else seen.restarts,
            uptime=seen.uptime,
            exit_code=seen.exit_code,
            orphans=len(seen.orphans),
        )

    def sources(self, host: Host, records: "Sequence[Record]") -> "Iterator[Source]":
        """Hear of the end of its main process, and of what its manager makes of it: a control group, a pidfile."""
        from runbook.modules.daemons import heard

        pids = [record.pid for record in records if isinstance(record, DaemonRecord) and record.alive and record.pid]
        yield from heard.sources_of(self._unit(), self.manager, pids, host.kept.get("group", ""))

    def _unit(self) -> Unit:
        return Unit(self.unit, scope=self.scope, config=self.config, match=self.match)


def _counted(host: Host, seen: Seen) -> int:
    """Count the processes that took the place of the one before, as far as our looks saw them."""
    kept: Mapping[str, Any] = host.remembered
    last: List[Any] = list(kept.get("identity", ()))
    count = int(kept.get("restarts", 0))
    if seen.identity and last and list(seen.identity) != last:
        count += 1
    host.remember(identity=list(seen.identity) or last, restarts=count)
    return count
