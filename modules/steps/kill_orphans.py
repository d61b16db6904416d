"""The step `kill_orphans`."""

from typing import List, Optional

from runbook.modules.actions import Action, Signal
from runbook.modules.daemons import services
from runbook.modules.daemons.orphans import outside, parentless, targets
from runbook.modules.daemons.processes import pattern, table
from runbook.modules.daemons.unit import Scope, Unit
from runbook.modules.declare import Duration, Failed, Impact, Invalid, Path, Regex, Step
from runbook.modules.frozen import frozen
from runbook.modules.host import Host


@frozen
class KillOrphans(Step):
    """Kill processes of a daemon's kind that nobody looks after, with all that descends from them: TERM, then KILL.

    With a `unit`: what matches outside it, and what its last run left behind; of a pidfile's last run only what matches
    too, where there is a `match`. With `match` alone: what matches and has lost its parent, which is every daemon of
    that kind too. Never the unit's own processes, those of another service,
    of a container or a batch job, the agent, its parents, or init.

    Example:
        - kill_orphans: {unit: /run/trainer/trainer.pid, match: 'train[.]py'}
        - kill_orphans: {match: 'multiprocessing[.]spawn', grace: 5s}
    """

    impact = Impact.DISRUPTIVE
    pathlike = ("unit",)

    unit: Optional[str] = None  # the unit as its manager names it, or the absolute path of a pidfile
    match: Optional[Regex] = None  # which command lines belong to the daemon
    manager: services.ManagerName = "auto"  # auto: whoever knows it; a path is a pidfile, or a runit directory
    scope: Scope = "system"  # systemd: the system's units, or those of the user that the agent runs as
    config: Optional[Path] = None  # supervisor: its configuration file, where that lies elsewhere than usual
    grace: Duration = 10.0  # time to end by themselves before KILL

    def check(self) -> None:
        """A unit, or a pattern that says something."""
        if self.unit is not None:
            services.check(self.manager, Unit(self.unit, scope=self.scope, config=self.config, match=self.match))
        elif self.match is None:
            raise Invalid("write a `unit`, or a `match` that tells which processes to kill")
        elif pattern(self.match).search("") is not None:
            raise Invalid(f"`match: {self.match}` matches every command line; say what to kill")

    def plan(self, host: Host) -> List[Action]:
        """List them once; each is named by its pid and the time it started."""
        return services.planned(lambda: self._plan(host))

    def _plan(self, host: Host) -> List[Action]:
        if self.unit is None:
            seen = table(host)
            orphans = outside(host, seen, (), parentless(seen, seen.matching(pattern(self.match or ""))))
            doomed = targets(host, seen, (), orphans)
        else:
            unit = Unit(self.unit, scope=self.scope, config=self.config, match=self.match)
            daemon = services.manager(self.manager).look(host, unit)
            if daemon.state == "missing":
                raise Failed(f"there is no unit {self.unit}")
            doomed = targets(host, table(host), daemon.own, daemon.orphans) if daemon.orphans else []
        return [Signal(tuple(doomed), grace=self.grace, tree=True)] if doomed else []
