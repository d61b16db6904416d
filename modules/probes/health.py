"""The `health` probe: processor, memory and disk of the host."""

import os
import time
from typing import Any, Callable, ClassVar, Dict, Iterator, Optional, Tuple, Type

from runbook.modules.declare import UNSEEN, Duration, Invalid, Path, Percent, Probe, Record, Size, Unclear
from runbook.modules.frozen import frozen
from runbook.modules.host import Host

SAMPLE = 0.1  # seconds between two samples where no earlier look left one
_MEMORY = (b"\nMemTotal:", b"\nMemAvailable:", b"\nSwapTotal:", b"\nSwapFree:")
OLDEST = 600.0  # an earlier sample tells of the time since then; older ones tell too little of now


@frozen
class Vitals(Record):
    """The state of the host, and of the file system that holds a path."""

    path: str  # the path that was asked for; empty: the host as a whole, with the file system of /
    cpu_percent: Percent  # of all processors, since the look before (10 minutes at most), else for 0.1 s
    load1: float  # processes running or waiting, mean of the last minute
    load_per_cpu: float  # the same for each processor: over 1, work is waiting
    memory_available: Size  # memory that programs can still get without swapping
    memory_used_percent: Percent  # the rest of the memory
    swap_used_percent: Percent  # of the swap; 0 where there is none
    disk_free: Size  # space that users other than root can still take
    disk_used_percent: Percent  # as df shows it
    inodes_used_percent: Optional[Percent]  # of the file system's inodes; null where it has no such limit
    open_files_percent: Percent  # open files of the whole host, of those that the kernel allows
    pressure_memory: Percent  # share of the last 10 s in which some program waited for memory
    uptime: Duration  # since the host started


@frozen
class Health(Probe):
    """Processor, memory and disk of the host. With a path, the disk fields are about the file system that holds it.

    Example:
        - name: disk filling up
          health: /var/lib/models
          when: disk_free < 50GB or inodes_used_percent > 95
    """

    record: ClassVar[Type[Record]] = Vitals
    subject: ClassVar[Optional[str]] = "path"

    path: Tuple[Path, ...] = ()  # files or directories on the file systems to look at, a record each; default /

    def check(self) -> None:
        """Refuse a path that depends on where the agent happens to run."""
        for path in self.path:
            if not path.startswith("/"):
                raise Invalid(f"`{path}` is not a whole path: begin it with /")

    def look(self, host: Host) -> Iterator[Record]:
        """Read it all once, and the disk of each path."""
        busy = _busy(host)
        shared = {"cpu_percent": busy, **host.shared("vitals", lambda: _vitals(host))}
        for path in self.path or ("",):
            yield Vitals(path=path, **shared, **self._disk(path))

    def _disk(self, path: str) -> Dict[str, Any]:
        """Return the fields about a disk; of one of several paths that can't be asked they are not seen."""
        try:
            disk = os.statvfs(path or "/")
        except OSError as error:
            if len(self.path) > 1:
                return dict.fromkeys(("disk_free", "disk_used_percent", "inodes_used_percent"), UNSEEN)
            if isinstance(error, FileNotFoundError):
                raise Unclear(f"{path} is not there, so nothing is known of its disk") from None
            raise Unclear(f"the disk of {path} can't be read: {error.strerror}") from error
        return {
            "disk_free": disk.f_bavail * disk.f_frsize,
            "disk_used_percent": _share(disk.f_blocks - disk.f_bfree, disk.f_blocks - disk.f_bfree + disk.f_bavail),
            "inodes_used_percent": _share(disk.f_files - disk.f_ffree, disk.f_files) if disk.f_files else None,
        }


def _vitals(host: Host) -> Dict[str, Any]:
    """Return the fields that do not depend on a path, nor on the look before."""
    load1 = _seen(lambda: os.getloadavg()[0])
    memory = _seen(_memory)
    total, available, swap, swap_free = (UNSEEN,) * 4 if memory is UNSEEN else memory
    return {
        "load1": load1,
        "load_per_cpu": UNSEEN if load1 is UNSEEN else load1 / (os.cpu_count() or 1),
        "memory_available": available,
        "memory_used_percent": UNSEEN if memory is UNSEEN else _share(total - available, total),
        "swap_used_percent": UNSEEN if memory is UNSEEN else _share(swap - swap_free, swap),
        "open_files_percent": _seen(_open_files),
        "pressure_memory": _seen(_pressure),
        "uptime": _seen(lambda: host.now() - host.boot_time()),
    }


def _memory() -> Tuple[int, int, int, int]:
    """Bytes of memory, those that are available, bytes of swap, and those that are free."""
    text = b"\n" + _content("/proc/meminfo")
    total, available, swap, free = (
        1024 * int(text[text.index(name) + len(name) :].split(None, 1)[0]) for name in _MEMORY
    )
    return total, min(available, total), swap, free


def _seen(ask: Callable[[], Any]) -> Any:
    """Return the answer, or UNSEEN where this kernel or container does not give it."""
    try:
        return ask()
    except (OSError, ValueError, IndexError, KeyError, Unclear):
        return UNSEEN


def _share(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole > 0 else 0.0


def _busy(host: Host) -> Any:
    boot = _seen(host.boot_time)
    since = None if boot is UNSEEN else boot
    now = _seen(lambda: host.shared("ticks", _processor))
    if now is UNSEEN:
        return UNSEEN
    sample = host.remembered.get("processor") or {}
    before = sample.get("busy", 0.0), sample.get("total", 0.0)
    fresh = SAMPLE <= host.now() - sample.get("at", 0.0) <= OLDEST and sample.get("boot") == since
    if not fresh or now[1] <= before[1]:
        before, now = host.shared("processor", _sampled)
    host.remember(processor={"busy": now[0], "total": now[1], "at": host.now(), "boot": since})
    return min(100.0, max(0.0, 100.0 * (now[0] - before[0]) / max(now[1] - before[1], 1e-9)))


def _sampled() -> Tuple[Tuple[float, float], Tuple[float, float]]:
    before = _processor()
    time.sleep(SAMPLE)
    return before, _processor()


def _processor() -> Tuple[float, float]:
    """Seconds that the processors were busy, and seconds in all."""
    ticks = [int(word) for word in _content("/proc/stat").split(b"\n", 1)[0].split()[1:9]]  # guests' are of user's time
    tick = os.sysconf("SC_CLK_TCK")
    total = sum(ticks)
    return (total - ticks[3] - ticks[4]) / tick, total / tick


def _content(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 1 << 16)
    finally:
        os.close(descriptor)


def _open_files() -> float:
    opened, unused, most = (int(word) for word in _content("/proc/sys/fs/file-nr").split())
    return _share(opened - unused, most)


def _pressure() -> float:
    words = _content("/proc/pressure/memory").split(b"\n", 1)[0].split()
    return float(dict(word.split(b"=") for word in words[1:])[b"avg10"])
