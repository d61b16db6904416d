"""The probe `slurm_usage`."""

import fnmatch
import re
from typing import Any, ClassVar, Iterator, Literal, Optional, Sequence, Tuple, Type

from runbook.modules.declare import Duration, Invalid, Percent, Probe, Record, Size, Time
from runbook.modules.frozen import frozen
from runbook.modules.host import Host

End = Literal[
    "completed", "failed", "timeout", "out_of_memory", "node_fail", "boot_fail", "launch_failed", "deadline",
    "preempted", "cancelled",
]  # fmt: skip
By = Literal["name", "user", "partition", "account", "job"]
_JOB = re.compile(r"\d+([_+]\d+)?")


@frozen
class SlurmUsageRecord(Record):
    """Finished jobs of a kind: what they asked for, what they used, and what to ask for. Null is what nobody knows."""

    kind: str  # a name such as train_*, a user, a partition, an account, or a job's id
    users: Tuple[str, ...]  # whose jobs
    jobs: int  # how many runs ended
    completed: int  # of these, well
    out_of_memory: int  # for lack of memory
    timeout: int  # for lack of time
    cancelled: int  # by people
    failed: int  # in any other way
    memory_asked: Optional[Size]  # on a node, as most of them did
    memory_used: Optional[Size]  # what `quantile` of those that completed took of a node at most
    memory_most: Optional[Size]  # what any took; sampled, so that it may have been more
    memory_suggested: Optional[Size]  # what to ask for
    memory_why: str  # the reason
    time_asked: Optional[Duration]  # the limit; null where there is none
    time_used: Optional[Duration]  # how long `quantile` of those that completed took at most
    time_most: Optional[Duration]  # the longest
    time_suggested: Optional[Duration]  # the limit to ask for
    time_why: str  # the reason
    cpus_asked: Optional[int]  # of each job
    cpus_used: Optional[float]  # how many were busy
    cpus_suggested: Optional[int]  # how many to ask for
    cpus_why: str  # the reason
    gpus_asked: Optional[int]  # of each job
    gpu_percent: Optional[Percent]  # how busy they were; null without gres/gpuutil in the accounting
    gpu_memory_most: Optional[Size]  # the most that a task took
    gpus_suggested: Optional[int]  # how many to ask for
    gpus_why: str  # the reason
    core_hours: float  # taken of the cluster
    core_hours_idle: Optional[float]  # of these, those of jobs that completed in which a core had nothing to do
    core_hours_lost: float  # of these, those of jobs that did not complete
    gpu_hours: float  # the same of GPUs
    gpu_hours_idle: Optional[float]  # null without gres/gpuutil
    gpu_hours_lost: float  # those of jobs that did not complete
    memory_hours_idle: Optional[float]  # GiB-hours that jobs that completed asked for and did not use
    newest: Optional[Time]  # when the last of them ended


@frozen
class SlurmUsage(Probe):
    """What finished Slurm jobs asked for against what they used, by kind, with suggested requests.

    It is what `runbook slurm report` shows. A suggestion is what `quantile` percent of the jobs that completed used at
    most, and `headroom` percent more; a job that ran out of memory or time tells that more than it had is needed, and
    the suggestion is 1.5 times that. Jobs of a name are of one kind, and so are train_7 and train_8.

    Peaks are those of the accounting, which samples them (JobAcctGatherFrequency) and sees no tmpfs.

    Example:
        - name: a kind of job wastes GPUs
          slurm_usage: {since: 1d, by: user}
          every: 1h
          when: gpu_hours_idle > 100
          mode: observe
    """

    record: ClassVar[Type[Record]] = SlurmUsageRecord
    subject: ClassVar[Optional[str]] = "kind"
    first: ClassVar[Optional[str]] = "names"
    timeout: ClassVar[float] = 300.0

    names: Tuple[str, ...] = ()  # patterns of job names: *, ?, [a-z]
    jobs: Tuple[str, ...] = ()  # ids of jobs, of arrays (all tasks), or of tasks (1234_7); `since` does not hold then
    users: Tuple[str, ...] = ()  # whose jobs; none: one's own, and for root everybody's; ["*"]: everybody's
    partitions: Tuple[str, ...] = ()  # jobs in these
    accounts: Tuple[str, ...] = ()  # jobs of these accounts
    states: Tuple[End, ...] = ()  # those that ended so; none: all that ended
    since: Duration = 604800.0  # how far back
    until: Duration = 0.0  # up to how long ago
    by: By = "name"  # what makes jobs of a kind
    quantile: Percent = 95.0  # of the jobs that completed, which a suggestion is to fit
    headroom: Percent = 20.0  # what is added to that

    def check(self) -> None:
        """Ids are numbers, and a time ends after it begins."""
        for job in self.jobs:
            if _JOB.fullmatch(job) is None:
                raise Invalid(f"`{job}` is no job's id: write 1234, or 1234_7 for a task of an array")
        if self.until >= self.since:
            raise Invalid("`until` must be less long ago than `since`")
        if self.quantile <= 0:
            raise Invalid("`quantile` must be more than 0")

    def look(self, host: Host) -> Iterator[Record]:
        """Ask the accounting once."""
        from runbook.modules.slurm import kinds, usage

        now = host.now()
        runs = usage.read(
            host,
            None if self.jobs else now - self.since,
            None if self.until == 0 else now - self.until,
            jobs=self.jobs,
            users=self.users,
            partitions=self.partitions,
            accounts=self.accounts,
            states=self.states,
        )
        if self.names:
            runs = [run for run in runs if any(fnmatch.fnmatchcase(run.name, name) for name in self.names)]
        for kind, mine in kinds.grouped(runs, self.by):
            yield self._record(kind, mine)

    def _record(self, kind: str, runs: Sequence[Any]) -> SlurmUsageRecord:
        from runbook.modules.slurm import advice

        count = {state: sum(run.state == state for run in runs) for state in _TOLD}
        memory = advice.memory(runs, self.quantile, self.headroom)
        time = advice.time(runs, self.quantile, self.headroom)
        cpus = advice.cpus(runs, self.quantile, self.headroom)
        gpus = advice.gpus(runs)
        done = [run for run in runs if run.state == "completed"]
        lost = [run for run in runs if run.state != "completed"]
        idle = [max(0.0, run.core_hours - run.cpu_time / 3600) for run in done if run.cpu_time is not None]
        unused = [_unused(run) for run in done if run.memory and run.peak]
        known = [run for run in runs if run.gpus and run.gpu_percent is not None]
        spare = [run.gpu_hours * (1 - run.gpu_percent / 100) for run in known if run.state == "completed"]
        mean = sum(run.gpu_percent for run in known) / len(known) if known else None
        return SlurmUsageRecord(
            kind=kind,
            users=tuple(sorted({run.user for run in runs})),
            jobs=len(runs),
            **count,
            failed=len(runs) - sum(count.values()),
            memory_asked=_whole(memory.asked),
            memory_used=_whole(memory.used),
            memory_most=_whole(memory.most),
            memory_suggested=_whole(memory.suggested),
            memory_why=memory.why,
            time_asked=time.asked,
            time_used=time.used,
            time_most=time.most,
            time_suggested=time.suggested,
            time_why=time.why,
            cpus_asked=_whole(cpus.asked),
            cpus_used=_some(cpus.used),
            cpus_suggested=_whole(cpus.suggested),
            cpus_why=cpus.why,
            gpus_asked=_whole(gpus.asked),
            gpu_percent=_some(mean),
            gpu_memory_most=max((run.gpu_memory for run in runs if run.gpu_memory is not None), default=None),
            gpus_suggested=_whole(gpus.suggested),
            gpus_why=gpus.why,
            core_hours=_hours(sum(run.core_hours for run in runs)),
            core_hours_idle=_hours(sum(idle)) if idle else None,
            core_hours_lost=_hours(sum(run.core_hours for run in lost)),
            gpu_hours=_hours(sum(run.gpu_hours for run in runs)),
            gpu_hours_idle=_hours(sum(spare)) if spare else None,
            gpu_hours_lost=_hours(sum(run.gpu_hours for run in lost)),
            memory_hours_idle=_hours(sum(unused)) if unused else None,
            newest=max((run.ended for run in runs if run.ended is not None), default=None),
        )


_TOLD = ("completed", "out_of_memory", "timeout", "cancelled")


def _unused(run: Any) -> float:
    """Return GiB-hours."""
    return float(max(0, run.memory - run.peak) / (1 << 30) * run.nodes * run.elapsed / 3600)


def _whole(value: Optional[float]) -> Optional[int]:
    return None if value is None else int(value)


def _some(value: Optional[float]) -> Optional[float]:
    return None if value is None else round(value, 2)


def _hours(value: float) -> float:
    return round(value, 4)
