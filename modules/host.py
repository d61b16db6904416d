"""What a module may ask of the machine it runs on. It only looks; `perform.py` does.

Golden cases answer these questions from data, so a probe or a plan is a pure function of what the host says.
"""

import os
import time
from functools import lru_cache
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, TypeVar

from runbook.modules.declare import Unclear
from runbook.modules.frozen import field, frozen, thawed

Shared = TypeVar("Shared")
_AT_ONCE = 0.1  # seconds for which the processes are those of one moment
_NEVER = float("-inf")
_LATELY = 1.0  # the same for GPUs, whose own counters are no younger, and for when the machine started
_LONGEST = 65536  # bytes of a process's command line
_KERNEL_THREAD = 0x00200000  # PF_KTHREAD among the flags of /proc/PID/stat


@frozen
class Completed:
    """A finished program: its exit code (negative: the signal that ended it) and what it printed."""

    exit_code: int
    stdout: str = ""
    stderr: str = ""


@frozen
class Process:
    """One process as /proc shows it."""

    pid: int
    parent: int
    started: int  # clock ticks since boot: with the pid it names the process for good
    state: str  # R S D Z T …, as in /proc/PID/stat
    uid: int
    argv: Tuple[str, ...]
    session: int = 0
    rss: int = 0  # bytes
    cpu_seconds: float = 0.0
    name: str = ""  # as the kernel calls it: 15 letters of the program's name
    group: Optional[str] = None  # the control group, where it is known already
    kernel: bool = False  # a thread of the kernel's own; in a container its usual numbers belong to others

    @property
    def command(self) -> str:
        """The command line, its words joined by spaces."""
        return " ".join(self.argv)

    @property
    def cgroup(self) -> str:
        """The control group as systemd sees it, such as /system.slice/vllm.service; empty for kernel threads.

        It is read when it is asked for: few looks ask, and of few processes.
        """
        if self.group is not None:
            return self.group
        return "" if self.kernel else _cgroup(f"/proc/{self.pid}")

    @property
    def zombie(self) -> bool:
        """Dead, but its parent has not yet asked how it ended."""
        return self.state == "Z"


@thawed
class Host:
    """The machine, as modules see it."""

    writable: Tuple[str, ...] = ()  # the only trees in which a step may write
    remembered: Mapping[str, Any] = field(default_factory=dict)  # what this probe kept at its last look
    kept: Dict[str, Any] = field(default_factory=dict)  # what it wants to be given next time
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)
    moment: Optional[Dict[str, Any]] = None  # what looks of one moment share; a step shares nothing
    base: str = ""  # the agent's own directory
    about: Mapping[str, Any] = field(default_factory=dict)  # a step's host, runbook, incident, detector and subject
    hide: Tuple[str, ...] = ()  # secrets that a step which gathers must take out of what it finds
    notes: List[str] = field(default_factory=list)  # what a step tells beside its actions

    def remember(self, **values: Any) -> None:
        """Keep values (JSON) for this probe's next look: a cursor, a sample, the start of a clock."""
        self.kept.update(values)

    def note(self, text: str) -> None:
        """Tell people what a plan leaves as it is, and why; where it is empty, that is all that they hear of it.

        Example:
            host.note("3 kept: checkpoint-500 (among the newest)")
        """
        self.notes.append(text)

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def boot_time(self) -> float:
        """When the machine started, in seconds since the epoch."""
        return self._shared("boot_time", _LATELY, _boot_time)

    def uptime(self) -> float:
        """Seconds since the machine started, those in which it slept as well; nobody can set this clock."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def boot_id(self) -> str:
        """What tells this boot from others; empty where the kernel does not say."""
        return boot_id()

    def name(self) -> str:
        """What the machine calls itself, without its domain."""
        return os.uname().nodename.partition(".")[0]

    def pid(self) -> int:
        """The process that looks: the agent, or a fork of it."""
        return os.getpid()

    def uid(self) -> int:
        """The user that the agent acts as."""
        return os.geteuid()

    def own_directory(self) -> str:
        """Where the agent keeps what it must not lose: how to undo what it did, and snapshots."""
        return self.base

    def pause(self, seconds: float) -> None:
        """Let a moment pass between two samples."""
        time.sleep(seconds)

    def free_space(self, path: str) -> int:
        """Bytes that are free, to users other than root too, on the file system that holds the path.

        Raises:
            Unclear: it can't be asked.
        """
        try:
            found = os.statvfs(path)
        except OSError as error:
            raise Unclear(f"the free space at {path} can't be read: {error.strerror}") from error
        return found.f_bavail * found.f_frsize

    def which(self, program: str) -> Optional[str]:
        """Where a program is on the PATH, or None."""
        import shutil  # costs an agent's start a tenth of its time

        return shutil.which(program, path=self.env.get("PATH"))

    def run(
        self, *argv: str, timeout: float = 10.0, env: Optional[Mapping[str, str]] = None, cwd: Optional[str] = None
    ) -> Completed:
        """Ask a program a question; for looking only.

        Raises:
            Unclear: it did not answer in time, or can't be started.
        """
        from runbook.modules.programs import ask  # what it imports costs an agent's start

        code, output, errors = ask(argv, {**self.env, "LC_ALL": "C", **(env or {})}, cwd, timeout)
        return Completed(code, output.decode("utf-8", "replace"), errors.decode("utf-8", "replace"))

    def processes(self, *, anew: bool = False) -> Sequence[Process]:
        """Every process that can be seen, by pid; looks of one moment get the same answer, unless asked `anew`."""
        page = os.sysconf("SC_PAGE_SIZE")
        tick = os.sysconf("SC_CLK_TCK")
        return self._shared("processes", _NEVER if anew else _AT_ONCE, lambda: list(_processes(page, tick)))

    def gpus(self, *, closely: bool = False) -> Sequence[Mapping[str, Any]]:
        """What the NVIDIA driver tells of each GPU, as `nvml.read` has it; `closely`, what a step must know of it."""
        from runbook.modules.nvml import read, read_closely

        return read_closely() if closely else self._shared("gpus", _LATELY, read)

    def shared(self, name: str, ask: Callable[[], Shared]) -> Shared:
        """Return what looks of one moment are told alike; it is asked for once."""
        return self._shared(name, _AT_ONCE, ask)

    def _shared(self, name: str, fresh: float, ask: Callable[[], Shared]) -> Shared:
        """Return what another look of this moment was told, if that is fresh, else ask."""
        if self.moment is None:
            return ask()
        at, known = self.moment.get(name, (0.0, None))
        if known is None or time.monotonic() - at > fresh:
            known = ask()
            self.moment[name] = time.monotonic(), known
        answer: Shared = known
        return answer


def _boot_time() -> float:
    _, found, rest = _content("/proc/stat", 1 << 16).partition(b"\nbtime ")
    if not rest.partition(b"\n")[1]:  # before it stand a line for each processor and a number for each interrupt
        _, found, rest = _content("/proc/stat", 1 << 20).partition(b"\nbtime ")
    if not found:
        raise Unclear("/proc/stat names no boot time")
    return float(rest.split(None, 1)[0])


@lru_cache(maxsize=1)
def boot_id() -> str:
    """What tells this boot of this machine from others; empty where the kernel does not say."""
    try:
        return _content("/proc/sys/kernel/random/boot_id", 64).decode("ascii").strip()
    except OSError:
        return ""


def _processes(page: int, tick: int) -> Iterator[Process]:
    for name in sorted((n for n in os.listdir("/proc") if n.isdigit()), key=int):
        place = f"/proc/{name}"
        try:
            stat = _content(place + "/stat", 4096)
            head, _, tail = stat.rpartition(b")")
            fields = tail.split(None, 22)
            kernel = bool(int(fields[6]) & _KERNEL_THREAD)
            line = b"" if kernel else _content(place + "/cmdline", _LONGEST)
            uid = os.stat(place).st_uid
        except OSError:
            continue  # it ended while we looked
        argv = tuple(filter(None, line[: line.rfind(b"\0") + 1].decode("utf-8", "replace").split("\0")))
        comm = head.partition(b"(")[2].decode("utf-8", "replace")
        found = object.__new__(Process)  # its `__init__` looks at each field, which takes as long as all the rest
        found.__dict__.update(
            pid=int(name),
            parent=int(fields[1]),
            started=int(fields[19]),
            state=fields[0].decode(),
            uid=uid,
            argv=argv or (f"[{comm}]",),
            session=int(fields[3]),
            rss=int(fields[21]) * page,
            cpu_seconds=(int(fields[11]) + int(fields[12])) / tick,
            name=comm,
            group=None,
            kernel=kernel,
        )
        yield found


def _cgroup(place: str) -> str:
    """The group in systemd's own hierarchy; a host of cgroup v2 has only one."""
    try:
        lines = _content(place + "/cgroup", _LONGEST)
    except OSError:
        return ""  # it ended while we looked
    for mark in (b":name=systemd:", b"::"):
        _, found, rest = lines.partition(mark)
        if found:
            return rest.partition(b"\n")[0].decode("utf-8", "replace")
    return ""


def _content(path: str, most: int) -> bytes:
    """Return what a small file of /proc holds; a buffered reader would take three times as long."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, most)
    finally:
        os.close(descriptor)
