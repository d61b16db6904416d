"""The `health` probe: processor, memory and disk of the host."""

import os
import time
from typing import Any, Callable, ClassVar, Dict, Iterator, Optional, Tuple, Type

from runbook.modules.declare import UNSEEN, Duration, Invalid, Path, Percent, Probe, Record, Size, Unclear
from runbook.modules.frozen import frozen
from runbook.modules.host import Host

SAMPLE = 0.1  # seconds between two samples where no earlier look left one
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
        psutil = _psutil()
        busy = _busy(host, psutil.cpu_times)
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
    psutil = _psutil()
    load1 = _seen(lambda: os.getloadavg()[0])
    memory = _seen(psutil.virtual_memory)
    swap = _seen(psutil.swap_memory)
    return {
        "load1": load1,
        "load_per_cpu": UNSEEN if load1 is UNSEEN else load1 / (psutil.cpu_count() or 1),
        "memory_available": UNSEEN if memory is UNSEEN else int(memory.available),
        "memory_used_percent": UNSEEN if memory is UNSEEN else float(memory.percent),
        "swap_used_percent": UNSEEN if swap is UNSEEN else float(swap.percent),
        "open_files_percent": _seen(_open_files),
        "pressure_memory": _seen(_pressure),
        "uptime": _seen(lambda: host.now() - host.boot_time()),
    }


def _psutil() -> Any:
    try:
        import psutil
    except ImportError as error:
        from runbook.modules import needs

        raise Unclear(needs.missing(["psutil"]) or f"psutil can't be loaded: {error}") from error
    return psutil


def _seen(ask: Callable[[], Any]) -> Any:
    """Return the answer, or UNSEEN where this kernel or container does not give it."""
    try:
        return ask()
    except (OSError, ValueError, IndexError, KeyError, Unclear):
        return UNSEEN


def _share(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole > 0 else 0.0


def _busy(host: Host, times: Callable[[], Any]) -> Any:
    boot = _seen(host.boot_time)
    since = None if boot is UNSEEN else boot
    now = _seen(lambda: _processor(times()))
    if now is UNSEEN:
        return UNSEEN
    sample = host.remembered.get("processor") or {}
    before = sample.get("busy", 0.0), sample.get("total", 0.0)
    fresh = SAMPLE <= host.now() - sample.get("at", 0.0) <= OLDEST and sample.get("boot") == since
    if not fresh or now[1] <= before[1]:
        before = now
        time.sleep(SAMPLE)
        now = _processor(times())
    host.remember(processor={"busy": now[0], "total": now[1], "at": host.now(), "boot": since})
    return min(100.0, max(0.0, 100.0 * (now[0] - before[0]) / max(now[1] - before[1], 1e-9)))


def _processor(times: Any) -> Tuple[float, float]:
    """Seconds that the processors were busy, and seconds in all. Guests' time is part of user time already."""
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return total - times.idle - getattr(times, "iowait", 0.0), total


def _open_files() -> float:
    with open("/proc/sys/fs/file-nr", encoding="ascii") as file:
        opened, unused, most = (int(word) for word in file.read().split())
    return _share(opened - unused, most)


def _pressure() -> float:
    with open("/proc/pressure/memory", encoding="ascii") as file:
        words = file.readline().split()
    return float(dict(word.split("=") for word in words[1:])["avg10"])
