"""Why a job ended: what the accounting, its own output and its nodes tell, put together. Pure."""

from typing import List, NamedTuple, Optional, Sequence, Tuple

from runbook.modules.slurm import units
from runbook.modules.slurm.job import Job

OOM = "out_of_memory"
KILLED = 137  # 128 + SIGKILL, as a shell tells of a child
_KILL = 9
_NEAR = 0.95  # of the memory that was asked for
_SHELLS = {"batch", "extern"}


class Clues(NamedTuple):
    """What is known beside the accounting."""

    lines: Tuple[Tuple[str, str], ...] = ()  # (what it is evidence of, the line) of the job's own output
    nodes: Tuple[Tuple[str, str], ...] = ()  # (node, what ails it)
    progress: Optional[float] = None  # how far it came
    before: Optional[float] = None  # how far any attempt before it had come
    watched: bool = False  # its progress was looked for
    unread: str = ""  # why its output could not be read


class Verdict(NamedTuple):
    """What ended a job, how sure that is (percent), and what led there."""

    name: str
    sure: float
    evidence: Tuple[str, ...]


def judge(job: Job, clues: Clues) -> Optional[Verdict]:
    """Return why a job that is over ended; None where nothing is wrong with it."""
    if job.state not in units.OVER:
        return None
    said = _Said(clues.lines)
    facts = [_state(job)]
    if job.state == "cancelled":
        return _cancelled(job, said, facts)
    if job.state in {"node_fail", "boot_fail", "launch_failed"}:
        return Verdict("node", 95.0, (*facts, *_ailing(clues)))
    if job.state == "preempted":
        return Verdict("preempt", 95.0, tuple(facts))
    memory = _memory(job, said, facts)
    if memory is not None:
        return memory
    if job.state == "completed":
        return None
    if job.state == "timeout":
        return _timeout(clues, said, facts)
    if said.of("preempt"):
        return Verdict("preempt", 80.0, (*facts, *said.of("preempt")))
    if said.of("node"):
        return Verdict("node", 85.0, (*facts, *said.of("node"), *_ailing(clues)))
    if said.of("oom_gpu"):
        return Verdict("oom_gpu", 90.0, (*facts, *said.of("oom_gpu")))
    if clues.nodes:
        return Verdict("node", 70.0, (*facts, *_ailing(clues)))
    return _failed(job, said, clues, facts)


def _cancelled(job: Job, said: "_Said", facts: Sequence[str]) -> Verdict:
    if said.of("preempt"):
        return Verdict("preempt", 85.0, (*facts, *said.of("preempt")))
    if job.by is not None:
        return Verdict("human", 95.0, (*facts, f"cancelled by {job.by}"))
    if job.reason.startswith("Dependency"):
        return Verdict("unknown", 60.0, (*facts, job.reason))
    # accounts that lose who it was can't be told from a person: it is left alone
    return Verdict("human", 60.0, (*facts, "cancelled, and nobody tells by whom"))


def _memory(job: Job, said: "_Said", facts: Sequence[str]) -> Optional[Verdict]:
    """Weigh what speaks for the host's memory: the state, a step of srun, what slurmstepd said, the peak."""
    lines = said.of("oom_host")
    steps = [part for part in job.parts if part.state == OOM]
    told = [f"step {part.name} {OOM.upper()}" for part in steps]
    if job.state == OOM:
        return Verdict("oom_host", 97.0, (*facts, *told, *lines))
    if job.state == "completed":
        # the script went on without its step: that its end is good nobody promises
        started = [part for part in steps if part.name not in _SHELLS]
        return Verdict("oom_host", 75.0, (*facts, *told, *lines)) if started else None
    if steps or lines:
        return Verdict("oom_host", 90.0, (*facts, *told, *lines)) if job.state == "failed" else None
    full = job.memory is not None and job.peak is not None and job.peak >= _NEAR * job.memory
    if full and job.state == "failed" and _was_killed(job):
        peak = f"it took {units.shown_memory(job.peak or 0)} of {units.shown_memory(job.memory or 0)}"
        return Verdict("oom_host", 65.0, (*facts, peak))
    return None


def _timeout(clues: Clues, said: "_Said", facts: Sequence[str]) -> Verdict:
    """A job that did not come forward will not with more time."""
    lines = said.of("timeout")
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


def _failed(job: Job, said: "_Said", clues: Clues, facts: Sequence[str]) -> Verdict:
    unread = (clues.unread,) if clues.unread else ()
    if said.of("timeout") or (job.state == "deadline"):
        return Verdict("timeout" if job.state != "deadline" else "failed", 80.0, (*facts, *said.of("timeout")))
    if _was_killed(job):
        return Verdict("killed_unknown", 50.0, (*facts, "killed, and nothing tells by whom", *unread))
    if job.exit_code or job.signal:
        return Verdict("failed", 90.0, (*facts, *unread))
    if job.state == "failed":
        return Verdict("failed", 70.0, (*facts, job.reason or "no exit code is told", *unread))
    return Verdict("unknown", 30.0, (*facts, *unread))


def _was_killed(job: Job) -> bool:
    """Tell whether a KILL ended it; some versions tell a step's signal as the exit code of its job."""
    by_step = job.exit_code == _KILL and any(part.signal == _KILL for part in job.parts)
    return job.signal == _KILL or job.exit_code == KILLED or by_step


def _ailing(clues: Clues) -> List[str]:
    return [f"{node}: {what}" for node, what in clues.nodes]


def _state(job: Job) -> str:
    code = "" if job.exit_code is None else f" {job.exit_code}:{job.signal or 0}"
    reason = f" ({job.reason})" if job.reason else ""
    return f"{job.state.upper()}{code}{reason}"


class _Said:
    """Lines of the job's own output, by what they are evidence of."""

    def __init__(self, lines: Sequence[Tuple[str, str]]) -> None:
        self._lines = lines

    def of(self, kind: str) -> List[str]:
        """Return the first line of a kind."""
        return [line for told, line in self._lines if told == kind][:1]
