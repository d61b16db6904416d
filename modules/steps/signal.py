"""The step `signal`."""

from typing import List, Optional, Sequence

from runbook.modules import actions
from runbook.modules.actions import ENDING, Action, Target
from runbook.modules.daemons import docker, services
from runbook.modules.daemons.orphans import ours
from runbook.modules.daemons.processes import INIT, Table, described, pattern, permitted, shortened, table
from runbook.modules.daemons.unit import Scope, Unit
from runbook.modules.declare import Duration, Failed, Impact, Invalid, Path, Refused, Regex, SignalName, Step
from runbook.modules.frozen import frozen
from runbook.modules.host import Host, Process


@frozen
class Signal(Step):
    """Send a signal: to the main process of a unit, or to every process whose command line matches.

    A process is held while it is looked at and signalled, so that none is mistaken that got its pid. The agent, its
    parents and init are never signalled, nor by `match` what runs in a container or batch job. TERM, INT, QUIT, ABRT
    and KILL are waited for; a process that is gone already is nothing to do for them, and a failure for the others,
    which somebody was to hear.

    Example:
        - signal: {unit: nginx, signal: HUP}
        - signal: {unit: /run/trainer.pid, match: 'train[.]py', signal: USR1}
        - signal: {match: 'ray::IDLE', signal: TERM, kill: true, tree: true}
    """

    impact = Impact.DISRUPTIVE
    idempotent = False  # a signal that was sent was heard
    pathlike = ("unit",)

    signal: SignalName = "TERM"  # its name or number, such as HUP
    unit: Optional[str] = None  # the unit as its manager names it, or the absolute path of a pidfile
    match: Optional[Regex] = None  # which command lines; with a `unit` it unmasks a reused pid
    manager: services.ManagerName = "auto"  # auto: whoever knows it; a path is a pidfile, or a runit directory
    scope: Scope = "system"  # systemd: the system's units, or those of the user that the agent runs as
    config: Optional[Path] = None  # supervisor: its configuration file, where that lies elsewhere than usual
    tree: bool = False  # also what descends from them, and what lies in a session that one of them leads
    grace: Duration = 10.0  # how long a process may take to end
    kill: bool = False  # KILL what is still there after that

    def check(self) -> None:
        """Something to signal, and a KILL only where an end is expected."""
        if self.kill and self.signal not in ENDING:
            raise Invalid(f"`kill: true` would end what is only told {self.signal}: leave it out, or send TERM")
        if self.unit is not None:
            services.check(self.manager, self._unit(self.unit))
        elif self.match is None:
            raise Invalid("write a `unit`, or a `match` that tells which processes to signal")
        elif pattern(self.match).search("") is not None:
            raise Invalid(f"`match: {self.match}` matches every command line; say which to signal")

    def plan(self, host: Host) -> List[Action]:
        """Name the processes by their pids and the times they started."""
        return services.planned(lambda: self._plan(host))

    def _plan(self, host: Host) -> List[Action]:
        if self.unit is not None and services.owner(self.manager, host, self._unit(self.unit)) is docker:
            found = docker.signal(host, self._unit(self.unit), self.signal, ends=self.signal in ENDING)
            return found or self._nobody(f"the container {self.unit} does not run")
        seen = table(host, anew=True)
        if self.unit is not None:
            main = self._main(host, seen, self.unit)
            chosen: Sequence[Process] = [] if main is None else [main]
        else:
            chosen = ours(seen.by_pid.get(host.pid()), seen.matching(pattern(self.match or "")))
        if not chosen:
            return self._nobody(f"{self.unit} does not run" if self.unit else f"no process matches {self.match}")
        targets = tuple(Target(one.pid, one.started, shortened(one)) for one in self._all(host, seen, chosen))
        return [actions.Signal(targets, self.signal, grace=self.grace, kill=self.kill, tree=self.tree)]

    def _main(self, host: Host, seen: Table, name: str) -> Optional[Process]:
        """Return the unit's main process; its manager names the same one before and after we saw it."""
        unit = self._unit(name)
        manager = services.owner(self.manager, host, unit)
        before = manager.look(host, unit)
        if before.state == "missing":
            raise Failed(f"there is no unit {name}")
        if not before.alive:
            return None
        if before.pid is None:
            raise Failed(f"{name} has no main process ({before.reason or before.state}): give a `match` alone")
        if before.pid not in seen.by_pid:
            seen = table(host, anew=True)
        main = seen.by_pid.get(before.pid)
        if main is None or main.zombie or manager.look(host, unit).pid != main.pid:
            raise Failed(f"the main process of {name} changed while it was looked at; try again")
        if main.pid in seen.ours:
            raise Refused(f"{described([main])} is the agent's own, or one that it runs under; it is not signalled")
        return main

    def _all(self, host: Host, seen: Table, chosen: Sequence[Process]) -> Sequence[Process]:
        found = list(permitted(host, chosen))
        if self.tree:
            pids = seen.tree(one.pid for one in found)
            pids = pids.union(*(seen.session(one.pid) for one in found if one.session == one.pid))
            more = [seen.by_pid[pid] for pid in sorted(pids - {one.pid for one in found} - seen.ours - {INIT})]
            found += permitted(host, [one for one in more if not one.zombie and not one.kernel])
        return found

    def _nobody(self, why: str) -> List[Action]:
        if self.signal in ENDING:
            return []
        raise Failed(f"{why}, so nobody hears {self.signal}")

    def _unit(self, name: str) -> Unit:
        return Unit(name, scope=self.scope, config=self.config, match=self.match, grace=self.grace)
