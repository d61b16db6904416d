"""What the lines of a job's output, or of a kernel, are evidence of. Pure."""

import re
from typing import Any, Container, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from runbook.modules.logs.patterns import Pattern

_LONGEST = 400  # characters of a line
_LATE = 400  # lines from the end within which what is said may have ended the job
_OF_SLURM = re.compile(r"(?<![\w\"'`])(?:slurmstepd|slurmd|srun)(?:[-\[]\S{1,80})?: (?:error: )?(?P<said>.+)")
_ID = r"(?P<id>\d+(?:[_+]\d+)?)"
_SLURMS = (
    ("oom_host", re.compile(
        rf"detected \d+ oom[-_ ]kill event\S* in (?:StepId ?= ?|step )?(?:{_ID})?"
        r"|killed by the cgroup out-of-memory handler"
        r"|\S+: tasks? [\d,\[\]-]+: Out Of Memory", re.IGNORECASE)),
    ("over_memory", re.compile(
        rf"(?:(?:job|step|StepId ?= ?|JobId ?= ?) ?{_ID}\S* )?exceeded (?:(?:job|step) )?(?:virtual )?memory limit",
        re.IGNORECASE)),
    ("timeout", re.compile(rf"\*\*\* [A-Z ]*(?:JOB|STEP)[A-Z ]* {_ID}.* DUE TO TIME ?LIMIT")),
    ("preempt", re.compile(rf"\*\*\* [A-Z ]*(?:JOB|STEP)[A-Z ]* {_ID}.* DUE TO PREEMPTION")),
    ("node_fail", re.compile(rf"\*\*\* [A-Z ]*(?:JOB|STEP)[A-Z ]* {_ID}.* DUE TO NODE FAILURE")),
)  # fmt: skip
_SIGNATURES = {"cuda.oom": "oom_gpu", "torch.cpu_oom": "memory_refused", "py.memory": "memory_refused"}
_VICTIM = re.compile(
    r"oom-kill:constraint=\w+,.*?(?:oom_memcg=(?P<limit>[^,]*)|(?P<whole>global_oom)),task_memcg=(?P<victim>[^,]*),task="
    r"|Task in (?P<old>/\S+) killed as a result of limit of (?P<old_limit>/\S*)"
)
_CGROUP = re.compile(
    r"^(?!/user\.slice/)(?:/\S*)?/(?:slurm(?:_[^/]+)?/uid_\d+|(?:[^/]+_)?slurmstepd\.scope)/job_(\d+)(?:/|$)"
)
_SERIOUS = {"reset", "reboot", "vendor"}


class Line(NamedTuple):
    """One line that is evidence of something."""

    kind: str  # oom_host, over_memory, timeout, preempt, node_fail, node, oom_gpu, memory_refused; of a kernel more
    text: str
    late: bool = True  # it stands at the end


def telling(text: str, ids: Container[str], patterns: Sequence[Pattern] = ()) -> List[Line]:
    """Return what the end of a job's output tells.

    Args:
        text: the output.
        ids: the job's own; what slurmstepd said of another job, and this one only printed, is left out.
        patterns: the catalogue's, of what programs and drivers say.
    """
    lines = re.split(r"\r\n|\r|\n", text)
    found = [(number, *told) for number, line in enumerate(lines) for told in _slurms(line[:_LONGEST], ids)]
    found += _catalogued(text, patterns)
    return [
        Line(kind, said, len(lines) - number <= _LATE) for number, kind, said in sorted(found, key=lambda one: one[0])
    ]


def _slurms(line: str, ids: Container[str]) -> Iterator[Tuple[str, str]]:
    ours = _OF_SLURM.search(line)
    if ours is None:
        return
    for kind, pattern in _SLURMS:
        found = pattern.search(ours["said"])
        named = found.groupdict().get("id") if found is not None else None
        if found is not None and (named is None or named in ids):
            yield kind, ours[0].strip()


def _catalogued(text: str, patterns: Sequence[Pattern]) -> List[Tuple[int, str, str]]:
    if not patterns:
        return []
    from runbook.modules.logs import match

    block = text.encode("utf-8", "replace")
    block += b"" if block.endswith(b"\n") else b"\n"
    found: List[Tuple[int, str, str]] = []
    try:
        for hit in match.matcher(tuple(patterns), len(block)).hits(block):
            said = hit.line.strip().split("\n")[0][:_LONGEST]
            found.append((hit.index, _SIGNATURES.get(hit.name, "node"), said))
    except match.TooSlow:
        pass  # what was found until then
    return found


def victim(text: str, job: int) -> Optional[Line]:
    """Return what a line of the kernel tells of a process of a job that it killed for want of memory.

    The control group decides, which root makes; a process can choose its own name, and a user groups of their own.

    Example:
        >>> victim("oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg="
        ... "/slurm/uid_5/job_7,task_memcg=/slurm/uid_5/job_7/step_0,task=python3,pid=9,uid=5", 7).kind
        'oom_host'
    """
    found = _VICTIM.search(text)
    if found is None or _job(found["victim"] or found["old"] or "") != job:
        return None
    own = _job(found["limit"] or found["old_limit"] or "") == job
    return Line("oom_host" if own else "oom_node", f"kernel: {text.strip()[:_LONGEST]}")


def _job(path: str) -> Optional[int]:
    found = _CGROUP.match(path)
    return int(found[1]) if found is not None else None


def driver(events: Sequence[Any]) -> List[Line]:
    """Return what lines of a kernel tell of its node's hardware; `app` is an error of the program's own."""
    return [
        Line(
            "node" if event.get("action") in _SERIOUS or event.get("action") is None else "app",
            f"kernel: {event['line']}",
        )
        for event in events
        if event.get("action") != "ignore"
    ]
