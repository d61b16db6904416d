"""What finished jobs asked for and what they used: one `sacct` for all of them, with their steps.

Each run counts by itself, also those of a job that Slurm requeued: they took their hours. What the accounting does not
know (no jobacct_gather, no GPU figures) is None.
"""

import re
import time
from typing import Dict, List, NamedTuple, Optional, Sequence

from runbook.modules.declare import Absent, Unclear
from runbook.modules.host import Host
from runbook.modules.slurm import commands, units
from runbook.modules.slurm.queue import ENV, SEPARATOR, rows, said

COLUMNS = (
    *("JobID", "User", "Account", "Partition", "State", "ElapsedRaw", "TimelimitRaw", "ReqMem", "ReqCPUS", "AllocCPUS"),
    *("NNodes", "TotalCPU", "MaxRSS", "AllocTRES", "TRESUsageInMax", "TRESUsageInTot", "End", "JobName"),
)
TIME = 240.0  # seconds for a long time of a busy cluster
_KEY = re.compile(r"(\d+(?:[_+]\d+)?)(?:\.(\w+))?")
_DISABLED = ("accounting storage is disabled", "accounting_storage/none")
_UNKNOWN = 18446744073709551614  # what some versions print for no figure: 2^64 - 2 and beyond


class Run(NamedTuple):
    """One run of a job."""

    id: str
    name: str
    user: str
    account: str
    partition: str
    state: str
    elapsed: float  # seconds
    limit: Optional[float]  # seconds; None where there is none, or it is not told
    memory: Optional[int]  # bytes asked for on a node; None: all of it, or not told
    peak: Optional[int]  # bytes on a node, the most that a step was seen to take
    asked: int  # CPUs
    cpus: int  # CPUs that it had, which may be more: whole cores, whole nodes
    cpu_time: Optional[float]  # seconds
    nodes: int
    gpus: int
    gpu_percent: Optional[float]  # how busy its GPUs were
    gpu_memory: Optional[int]  # bytes, the most that a task was seen to take
    ended: Optional[float]  # seconds since the epoch

    @property
    def core_hours(self) -> float:
        """What it took of the cluster."""
        return self.elapsed * self.cpus / 3600

    @property
    def gpu_hours(self) -> float:
        """The same of GPUs."""
        return self.elapsed * self.gpus / 3600


def read(
    host: Host,
    since: Optional[float],
    until: Optional[float],
    *,
    jobs: Sequence[str] = (),
    users: Sequence[str] = (),
    partitions: Sequence[str] = (),
    accounts: Sequence[str] = (),
    states: Sequence[str] = (),
) -> List[Run]:
    """Return the runs that ended between two moments.

    Args:
        host: where sacct is.
        since: seconds since the epoch; None: from the beginning, which is for a few jobs that are named.
        until: the same; None: now.
        jobs: only these, and the tasks of these arrays.
        users: only these users' jobs; `*`: everybody's; none: one's own, and for root everybody's.
        partitions: only jobs in these.
        accounts: only jobs of these accounts.
        states: only those that ended so; empty: all that ended.

    Raises:
        Absent: there is no Slurm here, or it keeps no accounts.
        Unclear: the accounting does not answer.
    """
    commands.find(host, "sacct")
    words = [f"--jobs={','.join(jobs)}"] if jobs else []
    if since is not None:
        words += [f"--starttime={_moment(since)}", f"--endtime={'now' if until is None else _moment(until)}"]
        words.append(f"--state={','.join(sorted(state.upper() for state in (states or units.OVER - _NEW)))}")
    words += ["--allusers"] if "*" in users else [f"--user={','.join(users)}"] if users else []
    words += [f"--partition={','.join(partitions)}"] if partitions else []
    words += [f"--accounts={','.join(accounts)}"] if accounts else []
    argv = ("sacct", "--noheader", "--parsable2", f"--delimiter={SEPARATOR}", "--duplicates")
    done = host.run(*argv, f"--format={','.join(COLUMNS)}", *words, timeout=TIME, env=ENV)
    if done.exit_code:
        if any(word in done.stderr.lower() for word in _DISABLED):
            raise Absent("this Slurm keeps no accounts: AccountingStorageType is not set in slurm.conf")
        raise Unclear(f"the Slurm accounting does not answer: {said(done.stderr or done.stdout)}")
    runs = [run for run in parsed(done.stdout) if run.state in (states or units.OVER)]
    if since is None:
        return runs
    latest = float("inf") if until is None else until
    return [run for run in runs if run.ended is not None and since <= run.ended <= latest]


_NEW = frozenset({"launch_failed"})  # a state that older versions do not know, and would refuse


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))


def parsed(told: str) -> List[Run]:
    """Return the runs of what `sacct` printed, each with what its steps used."""
    whole: List[Dict[str, str]] = []
    steps: List[List[Dict[str, str]]] = []
    newest: Dict[str, int] = {}
    for row in rows(told, len(COLUMNS)):
        cells = dict(zip(COLUMNS, row))
        found = _KEY.fullmatch(cells["JobID"].strip())
        if found is None:
            continue
        if found[2] is None:
            newest[found[1]] = len(whole)
            whole.append(cells)
            steps.append([])
        elif found[1] in newest:
            steps[newest[found[1]]].append(cells)
    made = [_run(cells, mine) for cells, mine in zip(whole, steps)]
    return [run for run in made if run is not None]


def tres(told: str) -> Dict[str, str]:
    """Return what stands in a column of trackable resources.

    Example:
        >>> tres("cpu=2,mem=100M,gres/gpu=1,gres/gpu:a100=1")["gres/gpu"]
        '1'
    """
    pairs = (word.split("=", 1) for word in told.split(",") if "=" in word)
    return {name.strip(): value.strip() for name, value in pairs}


def _run(cells: Dict[str, str], steps: Sequence[Dict[str, str]]) -> Optional[Run]:
    state, _ = units.state(cells["State"])
    elapsed = units.duration(cells["ElapsedRaw"], unit=1.0)
    if state is None or elapsed is None:
        return None
    nodes, cpus = _count(cells["NNodes"]), _count(cells["AllocCPUS"])
    asked, per = units.memory(cells["ReqMem"], unit="M")
    if asked is not None and not per:
        asked //= nodes  # since 21.08 it is what the whole job asked for
    elif asked is not None and per == "c":
        asked = asked * cpus // nodes
    limit = units.duration(cells["TimelimitRaw"])
    peaks = [peak for peak in map(_peak, steps) if peak]
    cpu_time = _seconds(cells["TotalCPU"])
    given = tres(cells["AllocTRES"])
    gpus = _gpus(given)
    return Run(
        id=cells["JobID"].strip(),
        name=cells["JobName"],
        user=cells["User"],
        account=units.text(cells["Account"]),
        partition=cells["Partition"],
        state=state,
        elapsed=elapsed,
        limit=None if limit == units.UNLIMITED else limit,
        memory=asked or None,
        peak=max(peaks, default=None),
        asked=_count(cells["ReqCPUS"]),
        cpus=cpus,
        cpu_time=cpu_time if cpu_time or peaks else None,
        nodes=nodes,
        gpus=gpus,
        gpu_percent=_gpu_percent(steps, gpus),
        gpu_memory=_gpu_memory(steps),
        ended=units.moment(cells["End"]),
    )


def _seconds(text: str) -> Optional[float]:
    """Return a CPU time, which is told to the millisecond where it is short."""
    whole, _, rest = text.strip().partition(".")
    seconds = units.duration(whole, unit=1.0)
    return seconds if seconds is None or not rest.isdigit() else seconds + float(f"0.{rest[:6]}")


def _count(text: str) -> int:
    return max(1, int(text)) if text.isdigit() and len(text) < 10 else 1


def _peak(step: Dict[str, str]) -> Optional[int]:
    """Return what a step took of a node: its largest task, or all its tasks spread over its nodes."""
    largest = units.memory(step["MaxRSS"])[0]
    together = units.memory(tres(step["TRESUsageInTot"]).get("mem", ""))[0]
    known = [value for value in (largest, None if together is None else together // _count(step["NNodes"])) if value]
    return max((value for value in known if value < _UNKNOWN), default=None)


def _gpus(given: Dict[str, str]) -> int:
    if given.get("gres/gpu", "").isdigit():
        return int(given["gres/gpu"])
    return sum(int(value) for name, value in given.items() if name.startswith("gres/gpu:") and value.isdigit())


def _gpu_percent(steps: Sequence[Dict[str, str]], gpus: int) -> Optional[float]:
    """Return how busy the GPUs were: Slurm adds up what each task was seen to use of each of them."""
    told = [tres(step["TRESUsageInTot"]).get("gres/gpuutil", "") for step in steps]
    seen = [int(value) for value in told if value.isdigit() and int(value) < _UNKNOWN]
    return round(min(100.0, max(seen) / gpus), 1) if seen and gpus else None


def _gpu_memory(steps: Sequence[Dict[str, str]]) -> Optional[int]:
    told = [units.memory(tres(step["TRESUsageInMax"]).get("gres/gpumem", ""))[0] for step in steps]
    return max((value for value in told if value is not None and value < _UNKNOWN), default=None)
