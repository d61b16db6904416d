"""The step `daemon`."""

from typing import List, Literal, Optional

from runbook.modules.actions import Action
from runbook.modules.daemons import readiness, services
from runbook.modules.daemons.unit import Scope, Unit
from runbook.modules.declare import Argv, Duration, Impact, Invalid, Path, ProbeCall, Regex, Step
from runbook.modules.frozen import frozen
from runbook.modules.host import Host


@frozen
class Daemon(Step):
    """Have a daemon running, or stopped; one that is so already is left alone.

    Example:
        - daemon: {unit: vllm, state: started}
        - daemon:
            unit: /run/trainer/trainer.pid
            state: started
            match: 'train[.]py'
            start: [python3, /opt/trainer/train.py, --resume]
            log: /var/log/trainer/output.log
    """

    impact = Impact.DISRUPTIVE  # but see `effective_impact`
    timeout = 3600.0  # its waits have bounds of their own
    writes = ("log",)
    pathlike = ("unit",)

    unit: str  # the unit as its manager names it, or the absolute path of a pidfile
    state: Literal["started", "stopped"] = "started"  # what it should be
    manager: services.ManagerName = "auto"  # auto: whoever knows it; a path is a pidfile, or a runit directory
    match: Optional[Regex] = None  # which command lines belong to the daemon; unmasks a reused pid
    scope: Scope = "system"  # systemd: the system's units, or those of the user that the agent runs as
    config: Optional[Path] = None  # supervisor: its configuration file, where that lies elsewhere than usual
    start: Argv = ()  # pidfile: how to start it; it must write the pidfile itself
    stop: Argv = ()  # pidfile: how to ask it to stop; without, it gets TERM
    cwd: Optional[Path] = None  # pidfile: the directory that `start` and `stop` run in
    log: Optional[Path] = None  # pidfile: a file below `writable` that gets its output
    grace: Duration = 10.0  # pidfile: time to stop by itself before KILL; systemd has its own TimeoutStopSec
    settle: Duration = 1.0  # how long it must live before it counts as started
    within: Duration = 30.0  # how long it may take to be up and settled, or stopped; and then, to be ready
    until: Optional[ProbeCall] = None  # a probe that must find it well (http ok, port open, …) before it counts as up

    def check(self) -> None:
        """A name that the manager can know, and what it needs."""
        services.check(self.manager, self._unit(), starts=self.state == "started")
        if self.until is not None:
            if self.state == "stopped":
                raise Invalid("`until` is for a daemon that is to run, and this one is to be stopped")
            readiness.check(self.until)

    def effective_impact(self) -> Impact:
        """Starting what is down disturbs nobody."""
        return Impact.LOW if self.state == "started" else Impact.DISRUPTIVE

    def plan(self, host: Host) -> List[Action]:
        """Ask its manager what is to be done."""
        unit = self._unit()
        manager = services.manager(self.manager)
        actions = services.planned(lambda: (manager.start if self.state == "started" else manager.stop)(host, unit))
        return actions if self.until is None else [*actions, readiness.ready(host, self.until, self.within)]

    def _unit(self) -> Unit:
        return Unit(
            self.unit,
            scope=self.scope,
            config=self.config,
            match=self.match,
            start=self.start,
            stop=self.stop,
            cwd=self.cwd,
            log=self.log,
            grace=self.grace,
            settle=self.settle,
            within=self.within,
        )
