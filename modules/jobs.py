"""Which Slurm job a process, or a cgroup, belongs to."""

import os
import re
from typing import Optional

_CGROUP = re.compile(r"/job_(\d{1,18})(?:/|$)", re.MULTILINE)
_LATE = 2.0  # seconds by which a line's time may be behind the start of the process that it names
_MOST = 4 << 20  # bytes of an environment


def of_process(pid: int, at: Optional[float] = None, proc: str = "/proc") -> Optional[int]:
    """Return the job of a process that still lives, by its environment or else by its cgroup.

    Args:
        pid: its number, which may belong to another process by now.
        at: when it was seen; a process that began later is another one.
        proc: where the kernel shows its processes.
    """
    if at is not None and _began(pid, proc) > at + _LATE:
        return None
    found = re.search(rb"(?:^|\0)SLURM_JOB_ID=(\d{1,18})(?:\0|$)", _read(f"{proc}/{pid}/environ"))
    if found is not None:
        return int(found[1])
    return of_cgroup(_read(f"{proc}/{pid}/cgroup").decode("utf-8", "replace"))


def of_cgroup(path: str) -> Optional[int]:
    """Return the job that a cgroup was made for: 7 of `/slurm/uid_0/job_7/step_0`."""
    found = _CGROUP.search(path)
    return int(found[1]) if found is not None else None


def _began(pid: int, proc: str) -> float:
    """Return when a process began, in seconds since the epoch; 0 where that can't be told."""
    fields = _read(f"{proc}/{pid}/stat").rpartition(b")")[2].split()
    boot = re.search(rb"^btime (\d+)", _read(f"{proc}/stat"), re.MULTILINE)
    if len(fields) < 20 or boot is None:
        return 0.0
    return int(boot[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_MOST)
    except OSError:
        return b""
