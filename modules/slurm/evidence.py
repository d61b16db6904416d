"""What stands beside the accounts of jobs that failed: their own output, their progress, and what ails their nodes."""

import os
import re
import stat
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from runbook.modules.declare import Unclear
from runbook.modules.host import Host
from runbook.modules.slurm.job import Job
from runbook.modules.slurm.queue import TIME

_TAIL = 256 * 1024  # bytes of a job's output that are read
_LONGEST = 400  # characters of a line
_FIELD = re.compile(r"(?:^|\s)(StdErr|StdOut|WorkDir|JobId)=(.*?)(?=\s\w[\w:/.-]*=|\s*$)")
_ILL = re.compile(r"\bxid\b|\becc\b|\bgpu\b|nvlink|nvrm|not responding|kill task failed|hardware", re.IGNORECASE)
_DOWN = re.compile(r"down|fail|inval", re.IGNORECASE)
_KINDS = (
    ("oom_host", re.compile(
        r"oom[-_]kill event|killed by the cgroup out-of-memory|memory cgroup out of memory"
        r"|: tasks? \d+(?:[-,]\d+)*: Out Of Memory"
        r"|exceeded (?:job|step) memory limit|StepId=\S+ exceeded memory limit", re.IGNORECASE)),
    ("timeout", re.compile(r"slurmstepd.*DUE TO TIME LIMIT")),
    ("preempt", re.compile(r"slurmstepd.*DUE TO PREEMPTION")),
    ("node", re.compile(
        r"slurmstepd.*DUE TO NODE FAILURE|NVRM: Xid|GPU has fallen off the bus|uncorrectable ECC error"
        r"|CUDA_ERROR_ECC_UNCORRECTABLE|uncorrectable NVLink error", re.IGNORECASE)),
    ("oom_gpu", re.compile(
        r"CUDA out of memory|OutOfMemoryError: (?:CUDA|HIP)|HIP out of memory|CUDA_ERROR_OUT_OF_MEMORY"
        r"|cudaErrorMemoryAllocation|CUDA error: out of memory", re.IGNORECASE)),
)  # fmt: skip


class Output(NamedTuple):
    """Where a job writes."""

    err: str
    out: str


class Read(NamedTuple):
    """What a job's output tells."""

    lines: Tuple[Tuple[str, str], ...] = ()
    progress: Optional[float] = None
    unread: str = ""


def outputs(host: Host, job: Job) -> Optional[Output]:
    """Return where a job writes; None where the controller does not know it any more.

    Raises:
        Unclear: the controller does not answer.
    """
    done = host.run("scontrol", "--oneliner", "show", "job", job.id, timeout=TIME)
    if done.exit_code:
        if "nvalid job id" in done.stderr + done.stdout:
            return None
        raise Unclear(
            f"the Slurm controller does not tell of job {job.id}: {(done.stderr or done.stdout).strip()[:200]}"
        )
    fields = dict(_FIELD.findall(done.stdout.strip()))
    return Output(fields.get("StdErr", ""), fields.get("StdOut", "")) if fields else None


def read(found: Optional[Output], pattern: Optional["re.Pattern[str]"]) -> Read:
    """Return what the end of a job's output tells; a pattern's last match is how far the job came."""
    if found is None:
        return Read(unread="the controller has forgotten where its output is")
    lines: List[Tuple[str, str]] = []
    progress, unread = None, ""
    for path in dict.fromkeys((found.err, found.out)):
        if not path or path == "/dev/null":
            continue
        try:
            text = _end(path)
        except OSError as error:
            unread = f"{path} can't be read: {error.strerror or error}"
            continue
        lines += _telling(text.splitlines())
        progress = _last(pattern, text) if pattern is not None and progress is None else progress
    return Read(tuple(lines), progress, unread)


def _telling(lines: Sequence[str]) -> Iterator[Tuple[str, str]]:
    for line in lines:
        for kind, pattern in _KINDS:
            if pattern.search(line[:_LONGEST]):
                yield kind, line.strip()[:_LONGEST]


def _last(pattern: "re.Pattern[str]", text: str) -> Optional[float]:
    found = None
    for match in pattern.finditer(text):
        told = match.groupdict().get("value") or (match[1] if pattern.groups else match[0])
        try:
            found = float(told)
        except (TypeError, ValueError):
            continue
    return found


def _end(path: str) -> str:
    """Return the end of a plain file: a pipe or a device would wait for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with open(descriptor, "rb") as file:
        seen = os.fstat(descriptor)
        if not stat.S_ISREG(seen.st_mode):
            raise OSError(0, "it is no plain file")
        file.seek(max(0, seen.st_size - _TAIL))
        return file.read(_TAIL).decode("utf-8", "replace")


def ailing(host: Host) -> Dict[str, str]:
    """Return the nodes that are ill, and what ails them, in the words of whoever took them out.

    Raises:
        Unclear: the controller does not answer.
    """
    done = host.run("sinfo", "--noheader", "--Node", "--format=%N|%T|%E", timeout=TIME)
    if done.exit_code:
        raise Unclear(f"the Slurm controller does not tell of its nodes: {done.stderr.strip()[:200]}")
    found = {}
    for line in done.stdout.splitlines():
        name, state, reason = (*line.split("|", 2), "", "")[:3]
        taken_out = "drain" in state.lower() and _ILL.search(reason)
        if taken_out or _DOWN.search(state):
            found[name] = f"{state} {'' if reason in {'none', ''} else reason}".strip()
    return found


def names(nodes: str) -> List[str]:
    """Return the nodes of a list as Slurm writes it.

    Example:
        >>> names("n[1-3,07],gpu12"), names("r[1-2]n[08-09]")
        (['n1', 'n2', 'n3', 'n07', 'gpu12'], ['r1n08', 'r1n09', 'r2n08', 'r2n09'])
    """
    found: List[str] = []
    for word in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", nodes):
        several = [""]
        for plain, ranges in re.findall(r"([^\[]+)|\[([^\]]*)\]", word):
            ends = [plain] if plain else list(_numbers(ranges))
            several = [one + end for one in several for end in ends][:_MOST]
        found += several
    return found[:_MOST]


_MOST = 20_000  # nodes of one job


def _numbers(ranges: str) -> Iterator[str]:
    for part in ranges.split(","):
        low, dash, high = part.partition("-")
        if not dash:
            yield part
        elif low.isdigit() and high.isdigit() and int(high) - int(low) < _MOST:
            yield from (str(number).zfill(len(low)) for number in range(int(low), int(high) + 1))
