"""What a job may ask for: the limits of its partition, of its association, and of the nodes that there are."""

import re
from typing import Dict, List, NamedTuple, Optional

from runbook.modules.declare import Unclear
from runbook.modules.host import Host
from runbook.modules.slurm import units
from runbook.modules.slurm.job import Job
from runbook.modules.slurm.queue import TIME

_FIELD = re.compile(r"(\w+)=(\S*)")
_TRES = re.compile(r"(?:^|,)mem=([^,]+)")


class Room(NamedTuple):
    """The most that one job may have; infinite where nothing bounds it. Each with what sets the bound."""

    memory: float = units.UNLIMITED  # bytes a node
    memory_by: str = ""
    time: float = units.UNLIMITED  # seconds
    time_by: str = ""
    cpus: float = units.UNLIMITED  # on one node
    cpus_by: str = ""


def look(host: Host, job: Job) -> Room:
    """Ask for the limits of a job's partition, of its nodes and of its association.

    Raises:
        Unclear: the controller does not answer.
    """
    memory: Dict[str, float] = {}
    time: Dict[str, float] = {}
    cpus: Dict[str, float] = {}
    partition = job.partition
    told = _told(host, "scontrol", "--oneliner", "show", "partition", partition)
    fields = dict(_FIELD.findall(told))
    longest = units.duration(fields.get("MaxTime", ""))
    if longest is not None:
        time[f"MaxTime of the partition {partition}"] = longest
    most = units.memory(fields.get("MaxMemPerNode", ""), unit="M")[0]
    if most:
        memory[f"MaxMemPerNode of the partition {partition}"] = most
    each = units.memory(fields.get("MaxMemPerCPU", ""), unit="M")[0]
    if each:
        memory[f"MaxMemPerCPU of the partition {partition}"] = each * max(1, job.cpus // max(1, job.node_count))
    sizes = [line.split("|") for line in _told(
        host, "sinfo", "--noheader", "--exact", f"--partition={partition}", "--format=%m|%c"
    ).splitlines()]  # fmt: skip
    real = [found for row in sizes for found in [units.memory(row[0].rstrip("+"), unit="M")[0]] if found is not None]
    if real:
        memory[f"the largest node of the partition {partition}"] = max(real)
    cores = [int(row[1].rstrip("+")) for row in sizes if len(row) > 1 and row[1].rstrip("+").isdigit()]
    if cores:
        cpus[f"the largest node of the partition {partition}"] = max(cores)
    for wall, tres in _associations(host, job):
        if wall is not None:
            time[f"MaxWall of {job.user} in the account {job.account}"] = wall
        bound = _TRES.search(tres)
        size = units.memory(bound[1], unit="M")[0] if bound is not None else None
        if size:
            memory[f"MaxTRES of {job.user} in the account {job.account}"] = size / max(1, job.node_count)
    return Room(*_least(memory), *_least(time), *_least(cpus))


def _least(bounds: Dict[str, float]) -> "tuple[float, str]":
    if not bounds:
        return units.UNLIMITED, ""
    name = min(bounds, key=lambda one: bounds[one])
    return bounds[name], name


def _told(host: Host, *argv: str) -> str:
    done = host.run(*argv, timeout=TIME)
    if done.exit_code:
        said = (done.stderr or done.stdout).strip().splitlines()[:1] or ["it says nothing"]
        raise Unclear(f"Slurm does not tell of its limits ({' '.join(argv[:4])}): {said[0]}")
    return done.stdout


def _associations(host: Host, job: Job) -> "List[tuple[Optional[float], str]]":
    """Return the limits of the user's association; nothing where there are none to be had."""
    if not job.account or host.which("sacctmgr") is None:
        return []
    done = host.run(
        *("sacctmgr", "--noheader", "--parsable2", "show", "associations"),
        *(f"user={job.user}", f"account={job.account}", "format=MaxWall,MaxTRES"), timeout=TIME,
    )  # fmt: skip
    rows = [line.split("|") for line in done.stdout.splitlines()] if not done.exit_code else []
    return [(units.duration(row[0]), row[1]) for row in rows if len(row) > 1]
