"""Why a job ended: what the accounting, its own output and its nodes tell, put together. Pure.

The accounting and the kernel are believed before the job's own output, which anybody writes who can write a job: a line
of slurmstepd that they contradict is told as evidence, and decides nothing.
"""

import re
from typing import List, NamedTuple, Optional, Sequence, Tuple

from runbook.modules.slurm import units
from runbook.modules.slurm.job import Job
from runbook.modules.slurm.said import Line

OOM = "out_of_memory"
KILLED = 137  # 128 + SIGKILL, as a shell tells of a child
_KILL, _TERM, _ENDED = 9, 15, 143
_NEAR = 0.95  # of the memory, or the time, that was asked for
_MUCH = 0.8  # of the memory, where a program says itself that it got no more
_SLACK = 90.0  # seconds between a limit and the end of what it ended
_SHELLS = {"batch", "extern"}
OWN = ", whose job it is"
_HELD = re.compile(r"launch[ _]failed[ _]requeued[ _]held|JobHoldMaxRequeue", re.IGNORECASE)  # by Slurm, by nobody else


class Clues(NamedTuple):
    """What is known beside the accounting."""

    lines: Tuple[Line, ...] = ()  # of the job's own output
    kernel: Tuple[Line, ...] = ()  # of the kernel of its node, where we are on it
    nodes: Tuple[Tuple[str, str], ...] = ()  # (node, what ails it)
    progress: Optional[float] = None  # how far it came
    before: Optional[float] = None  # how far any attempt before it had come
    watched: bool = False  # its progress was looked for
    unread: str = ""  # why its output could not be read
    deaf: str = ""  # why the kernel of its node could not, where we are on it
    who: str = ""  # who cancelled it, in words
    unlaunched: Tuple[Tuple[str, str], ...] = ()  # (node, what ails it) where it could not be launched


class Verdict(NamedTuple):
    """What ended a job, how sure that is (percent), and what led there."""

    name: str
    sure: float
    evidence: Tuple[str, ...]


def judge(job: Job, clues: Clues) -> Optional[Verdict]:
    """Return why a job that is over ended; None where nothing is wrong with it."""
    if job.state not in units.OVER:
        return None
    facts = [_state(job)]
    if job.state == "cancelled":
        return _cancelled(job, clues, facts)
    if job.state in {"node_fail", "boot_fail", "launch_failed"}:
        return Verdict("node", 95.0, (*facts, *_ailing(clues), *_first(clues.kernel, "node")))
    if job.state == "preempted":
        return Verdict("preempt", 95.0, tuple(facts))
    memory = _memory(job, clues, facts)
    if memory is not None:
        return memory
    if job.state == "completed":
        return None
    if job.state == "timeout":
        return _timeout(clues, facts)
    facts += _disbelieved(job, clues)
    return _slurms(job, clues, facts) or _hardware(clues, facts) or _programs(job, clues, facts)


def stuck(job: Job) -> Optional[Verdict]:
    """Return why Slurm will not start a job that waits, before a person releases it; None where it will, or runs."""
    if job.state not in {"pending", "requeue_hold"} or _HELD.search(job.reason) is None:
        return None
    return Verdict("unknown", 90.0, (f"{job.state.upper()} ({job.reason})", f"held: `scontrol release {job.id}`"))


def _cancelled(job: Job, clues: Clues, facts: Sequence[str]) -> Verdict:
    if clues.unlaunched:
        could = [f"{node}: {what}, as it was to start there" for node, what in clues.unlaunched]
        return Verdict("node", 85.0, (*facts, *could))
    preempted = _first(clues.lines, "preempt")
    if preempted and job.by in {None, "0", "root"}:
        return Verdict("preempt", 80.0, (*facts, *preempted))
    if job.reason.startswith("DependencyNeverSatisfied") and not (clues.who.endswith(OWN) and job.user != "root"):
        return Verdict("unknown", 70.0, (*facts, "what it waited for has failed, and Slurm cancelled it for that"))
    if job.by is not None:
        return Verdict("human", 95.0, (*facts, f"cancelled by {clues.who or job.by}"))
    # accounts that lose who it was can't be told from a person: it is left alone
    return Verdict("human", 60.0, (*facts, "cancelled, and nobody tells by whom"))


def _memory(job: Job, clues: Clues, facts: Sequence[str]) -> Optional[Verdict]:
    """Weigh what speaks for the host's memory: the state, a step of srun, the kernel, slurmstepd, the peak."""
    steps = [part for part in job.parts if part.state == OOM]
    told = [f"step {part.name} {OOM.upper()}" for part in steps]
    killed = _first(clues.kernel, "oom_host")
    lines = _first(clues.lines, "oom_host") or _first(clues.lines, "over_memory")
    if job.state == OOM:
        return Verdict("oom_host", 99.0 if killed else 97.0, (*facts, *told, *killed, *lines))
    if job.state == "completed":
        # the script went on without its step: that its end is good nobody promises
        started = [part for part in steps if part.name not in _SHELLS]
        return Verdict("oom_host", 75.0, (*facts, *told, *killed, *lines)) if started else None
    if steps:  # of a timeout, too: the others waited for the one that was killed
        sure = 90.0 if job.state == "failed" else 80.0
        return Verdict("oom_host", sure, (*facts, *told, *killed, *lines))
    if job.state != "failed":
        return None
    if killed:
        return Verdict("oom_host", 92.0, (*facts, *killed, *lines))
    shared = _first(clues.kernel, "oom_node")
    if shared:
        return Verdict("oom_host", 75.0, (*facts, "its node had no memory left, whatever the job asked for", *shared))
    return _memory_told(job, clues, facts)


def _memory_told(job: Job, clues: Clues, facts: Sequence[str]) -> Optional[Verdict]:
    """Weigh what the output says of the host's memory, where neither the accounting nor the kernel says it."""
    over, lines = _first(clues.lines, "over_memory"), _first(clues.lines, "oom_host")
    if over and _was_killed(job):
        return Verdict("oom_host", 85.0, (*facts, *over))
    if lines and not job.parts:  # no step is told, so nothing contradicts it
        return Verdict("oom_host", 75.0 if _was_killed(job) else 65.0, (*facts, *lines, "only its output says so"))
    share = (job.peak or 0) / job.memory if job.memory else 0.0
    peak = f"it took {units.shown_memory(job.peak or 0)} of {units.shown_memory(job.memory or 0)}"
    if share >= _NEAR and _was_killed(job):
        return Verdict("oom_host", 65.0, (*facts, peak))
    refused = _last(clues.lines, "memory_refused")
    if refused and share >= _MUCH:
        return Verdict("oom_host", 75.0, (*facts, *refused, peak))
    if refused:
        return Verdict("oom_host", 55.0, (*facts, *refused, *([peak] if job.peak else [])))
    return None


def _timeout(clues: Clues, facts: Sequence[str]) -> Verdict:
    """A job that did not come forward will not with more time."""
    lines = _first(clues.lines, "timeout")
    if not clues.watched or clues.unread:
        return Verdict("timeout", 80.0, (*facts, *lines, clues.unread or "its progress is not watched"))
    if clues.progress is None:
        return Verdict("stall", 75.0, (*facts, *lines, "no line of its output tells of progress"))
    if clues.before is None or clues.progress > clues.before:
        came = f"it came to {clues.progress:g}" + ("" if clues.before is None else f", from {clues.before:g}")
        return Verdict("timeout", 95.0, (*facts, *lines, came))
    return Verdict(
        "stall", 90.0, (*facts, *lines, f"it came to {clues.progress:g}, and was at {clues.before:g} before")
    )


def _slurms(job: Job, clues: Clues, facts: Sequence[str]) -> Optional[Verdict]:
    """Weigh what slurmstepd said of a job whose state does not say it."""
    late = _first(clues.lines, "timeout")
    if job.state == "deadline":
        return Verdict("failed", 80.0, (*facts, *late))
    if late and _at_limit(job):
        return Verdict("timeout", 80.0, (*facts, *late))
    preempted = _first(clues.lines, "preempt")
    if preempted and _was_killed(job):
        return Verdict("preempt", 70.0, (*facts, *preempted, "only its output says so"))
    lost = _first(clues.lines, "node_fail")
    if lost and (clues.nodes or _was_killed(job)):
        return Verdict("node", 85.0 if clues.nodes else 65.0, (*facts, *lost, *_ailing(clues)))
    return None


def _hardware(clues: Clues, facts: Sequence[str]) -> Optional[Verdict]:
    """Weigh what speaks for a GPU or a node."""
    kernel, lines, ailing = _first(clues.kernel, "node"), _first(clues.lines, "node"), _ailing(clues)
    if kernel:
        return Verdict("node", 95.0 if lines or ailing else 85.0, (*facts, *kernel, *lines, *ailing))
    if lines:
        said = [] if ailing else ["only its output says so"]
        return Verdict("node", 90.0 if ailing else 70.0, (*facts, *lines, *ailing, *said))
    return None


def _programs(job: Job, clues: Clues, facts: Sequence[str]) -> Verdict:
    """Weigh what the program itself said, and how it ended."""
    ended = _last(clues.lines, "oom_gpu")
    if ended:
        return Verdict("oom_gpu", 90.0, (*facts, *ended))
    survived = _first(clues.lines, "oom_gpu")
    if survived:
        return Verdict("oom_gpu", 60.0, (*facts, *survived, "it went on for long after that"))
    if clues.nodes:
        return Verdict("node", 70.0, (*facts, *_ailing(clues)))
    rest = [*_first(clues.kernel, "app"), *([clues.unread] if clues.unread else [])]
    if _was_killed(job):
        deaf = [clues.deaf] if clues.deaf else []
        return Verdict("killed_unknown", 50.0, (*facts, "killed, and nothing tells by whom", *rest, *deaf))
    if job.exit_code or job.signal:
        return Verdict("failed", 90.0, (*facts, *rest))
    if job.state == "failed":
        return Verdict("failed", 70.0, (*facts, job.reason or "no exit code is told", *rest))
    return Verdict("unknown", 30.0, (*facts, *rest))


def _disbelieved(job: Job, clues: Clues) -> List[str]:
    """Return what the output claims, and what contradicts it."""
    found = []
    if _first(clues.lines, "oom_host"):
        found.append("its output tells of an out-of-memory kill, and no step of the accounting does: not believed")
    if _first(clues.lines, "over_memory") and not _was_killed(job):
        found.append("its output tells of a kill for its memory, and it was not killed: not believed")
    if _first(clues.lines, "timeout") and not _at_limit(job) and job.state != "deadline":
        found.append("its output tells of the time limit, which it had not reached: not believed")
    if _first(clues.lines, "preempt") and not _was_killed(job):
        found.append("its output tells of a preemption, and it ended by itself: not believed")
    if _first(clues.lines, "node_fail") and not clues.nodes and not _was_killed(job):
        found.append("its output tells of a node failure, and its nodes are well: not believed")
    return found


def _was_killed(job: Job) -> bool:
    """Tell whether a KILL or TERM ended it; some versions tell a step's signal as the exit code of its job."""
    by_step = job.exit_code == _KILL and any(part.signal == _KILL for part in job.parts)
    return job.signal in {_KILL, _TERM} or job.exit_code in {KILLED, _ENDED} or by_step


def _at_limit(job: Job) -> bool:
    if job.elapsed is None or job.limit is None or job.limit == units.UNLIMITED:
        return False
    return job.elapsed >= min(_NEAR * job.limit, job.limit - _SLACK) and job.elapsed > 0


def _ailing(clues: Clues) -> List[str]:
    return [f"{node}: {what}" for node, what in clues.nodes]


def _state(job: Job) -> str:
    code = "" if job.exit_code is None else f" {job.exit_code}:{job.signal or 0}"
    reason = f" ({job.reason})" if job.reason else ""
    return f"{job.state.upper()}{code}{reason}"


def _first(lines: Sequence[Line], kind: str) -> List[str]:
    """Return the first line of a kind."""
    return [line.text for line in lines if line.kind == kind][:1]


def _last(lines: Sequence[Line], kind: str) -> List[str]:
    """Return the last line of a kind, where it stands at the end of the output."""
    return [line.text for line in lines if line.kind == kind and line.late][-1:]
