"""A daemon as its manager knows it: what is asked about it, what was seen, and what a manager must be able to do.

A manager (systemd, pidfile, …) is a module `service_NAME.py` whose functions fulfil `Manager`, and one line in the
table of `services.py`.
"""

from typing import Any, Callable, FrozenSet, List, Literal, Optional, Protocol, Tuple

from runbook.modules.actions import Action
from runbook.modules.declare import Absent, Failed, Unclear
from runbook.modules.frozen import frozen
from runbook.modules.host import Host, Process

State = Literal["running", "starting", "stopping", "stopped", "failed", "stale", "zombie", "missing"]
Scope = Literal["system", "user"]


@frozen
class Unit:
    """A daemon as a runbook names it, with what only some managers need to be told."""

    name: str  # the unit; for a pidfile its path
    scope: Scope = "system"  # systemd: whose units
    match: Optional[str] = None  # which command lines belong to it
    start: Tuple[str, ...] = ()  # how to start it, where the manager does not know
    stop: Tuple[str, ...] = ()  # how to ask it to stop; without: TERM
    cwd: Optional[str] = None
    log: Optional[str] = None  # gets its output
    config: Optional[str] = None  # supervisor's configuration file
    grace: float = 10.0  # seconds from TERM to KILL
    settle: float = 1.0  # seconds it must live before it counts as started
    within: float = 30.0  # seconds in which it must have started


@frozen
class Daemon:
    """What was seen of a daemon in one look."""

    state: State
    alive: bool  # it runs: its main process lives, or its manager says so
    pid: Optional[int] = None  # of the main process
    identity: Tuple[Any, ...] = ()  # another one once it was started anew
    restarts: Any = None  # counted by its manager; None = it does not count
    uptime: Optional[float] = None
    exit_code: Optional[int] = None  # of its last run; negative: the signal that ended it
    own: FrozenSet[int] = frozenset()  # its processes
    orphans: Tuple[Process, ...] = ()  # processes of its kind that nobody looks after
    reason: str = ""  # why it is in this state, for a person
    group: str = ""  # the control group in which systemd has it
    ended: bool = False  # of one that is not alive: it was begun, and nothing of it is left


_PATIENCE = 1.0  # seconds; a daemon that becomes another process is nobody for a moment


class Manager(Protocol):
    """What looks after daemons. Modules fulfil it with functions."""

    def check(self, unit: Unit, *, starts: bool) -> None:
        """Raise `Invalid` where the unit says too little or too much; `starts` = it may have to be started."""

    def look(self, host: Host, unit: Unit) -> Daemon:
        """See how it does. Raises `Absent` without such a manager here, `Unclear` when it does not answer."""

    def start(self, host: Host, unit: Unit) -> List[Action]:
        """Plan to have it running; empty when it runs."""

    def stop(self, host: Host, unit: Unit) -> List[Action]:
        """Plan to have it stopped; empty when it is."""

    def restart(self, host: Host, unit: Unit) -> List[Action]:
        """Plan to have it started anew, or started when it is down."""


class Steady:
    """Whether a daemon runs, and has been the same one for `settle` seconds; for `Until`.

    A daemon that began to live and then stays dead fails the step at once, with the reason that its manager knows.
    """

    def __init__(self, host: Host, look: Callable[[], Daemon], settle: float, advice: str) -> None:
        self._host = host
        self._look = look
        self._settle = settle
        self._advice = advice
        self._identity: Tuple[Any, ...] = ()
        self._alive: Optional[float] = None  # since when this one lives
        self._dead: Optional[float] = None  # since when it lives no more

    def __call__(self) -> bool:
        """Look once; what can't be seen right now may be seen at the next look."""
        try:
            daemon = self._look()
        except Absent as error:  # a manager that ended meanwhile may come back
            raise Unclear(str(error)) from error
        now = self._host.now()
        if not daemon.alive:
            self._mourn(daemon, now)
            return False
        self._dead = None
        if self._alive is None or daemon.identity != self._identity:
            self._alive, self._identity = now, daemon.identity
        return daemon.state == "running" and now - self._alive >= self._settle

    def _mourn(self, daemon: Daemon, now: float) -> None:
        """Fail when it is dead for good: it failed, or lived and has been dead for as long as it should have lived."""
        begun = self._alive is not None or daemon.ended
        if daemon.state == "starting" or not begun:
            self._dead = None
            return
        if self._dead is None:
            self._dead = now
        if daemon.state == "failed" or now - self._dead >= max(self._settle, _PATIENCE):
            raise Failed(f"it was started and ended again ({daemon.reason or daemon.state}): {self._advice}")
