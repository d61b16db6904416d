"""The probe `slurm`."""

import pwd
import re
from typing import Any, ClassVar, Dict, Iterator, Literal, Mapping, Optional, Sequence, Tuple, Type

from runbook.modules.declare import UNSEEN, Duration, Invalid, Percent, Probe, Record, Regex, Size, Tally, Time
from runbook.modules.frozen import field, fields, frozen
from runbook.modules.host import Host

State = Literal[
    "pending", "configuring", "running", "suspended", "stopped", "completing", "stage_out", "signaling", "resizing",
    "requeued", "requeue_hold", "requeue_fed", "special_exit", "resv_del_hold", "revoked",
    "completed", "failed", "timeout", "out_of_memory", "node_fail", "boot_fail", "launch_failed", "deadline",
    "preempted", "cancelled",
]  # fmt: skip
Cause = Literal[
    "oom_host", "oom_gpu", "timeout", "stall", "node", "preempt", "human", "killed_unknown", "failed", "unknown"
]
_KEPT = 5000  # failed lineages that are kept
_SIGNATURES = (
    *("cuda.oom", "torch.cpu_oom", "py.memory", "cuda.ecc", "cuda.nvlink", "gpu.lost"),
    *("kmsg.xid", "kmsg.xid154", "kmsg.xid_nvlink5", "kmsg.fallen_off_bus", "kmsg.mce"),
)
_LOST = ", which was sent in its place, is lost: Slurm's controller was killed, and has forgotten it"
_JOB = re.compile(r"\d+([_+]\d+)?")


@frozen
class SlurmRecord(Record):
    """The newest job of a lineage: a job, or what became of it by resubmission."""

    job_id: str  # as sacct names it: 1234, or 1234_7 for a task of an array
    name: str  # the job's name
    user: str  # whose it is
    state: State  # as Slurm has it, in small letters
    verdict: Optional[Cause]  # why it ended; null while it has not, and where nothing is wrong
    confidence: Percent  # how sure that is; 0 without a verdict
    evidence: Tuple[str, ...]  # what led there
    exit_code: Optional[int]  # null while it has not ended
    signal: Optional[int]  # the signal that ended it, or 0
    memory_requested: Optional[Size]  # what it asked for on each node
    memory_peak: Optional[Size]  # the most that a task was seen to take; sampled, so that it may have been more
    time_limit: Optional[Duration]  # null where there is none
    elapsed: Optional[Duration]  # how long it has run
    partition: str  # where it was sent to
    restarts: int  # how often Slurm itself has started it again
    nodes: Tuple[str, ...]  # where it runs or ran
    ill_nodes: Tuple[str, ...]  # those of them that failed it, as far as that is known
    lineage: str  # the job that it all began with: the subject
    attempt: int  # 1 = that job itself
    tries: int  # how often it was sent again after an attempt that came no further: what a limit counts
    progress: Optional[float]  # how far it came, with `progress`, where it failed
    core_hours: float  # what the lineage has taken so far
    gpu_hours: float  # the same in hours of GPUs, as far as the accounting tells of them
    reason: str  # why it waits, or ended, in Slurm's words
    comment: str  # what people wrote there
    held: str  # why `resubmit` refused to send it again; empty where it did not
    lost: int  # how many jobs Slurm itself has lost that were sent in its place: its controller was killed
    ended: Optional[Time]  # when; null while it has not


@frozen
class Slurm(Probe):
    r"""The jobs of a Slurm cluster, and why those that failed did.

    A job that `resubmit` sent again, and whatever became of that, is one lineage and one record: that of its newest
    job. A lineage is well when that job runs or is done. Jobs that failed before the first look are history and not
    shown (`since` says otherwise); one that failed later is shown for `keep`, or until the lineage goes on.

    The verdict is made of what the accounting tells of the job and its steps, the end of the job's own output (with
    what slurmstepd wrote there), the state of its nodes, and its progress: `oom_host oom_gpu timeout stall node preempt
    human killed_unknown failed unknown`. A cancelled job is a person's. With `progress`, a job that ran out of time
    without coming further than the attempt before has the verdict `stall`. A job can write anything into its output:
    where the accounting says otherwise, it is told and not believed. A job that Slurm holds for ever, since it could
    not be launched, is `unknown`. A failed job whose successor Slurm itself has forgotten, as its controller was
    killed, is shown again, and counts it in `lost`.

    On a machine that is itself a node of the job, its kernel is asked too: whom it killed for want of memory in the
    job's control group, and for errors of GPUs (as root, or in the group systemd-journal). Other nodes are not asked.
    What their own watch finds reaches this one by Slurm: `log: {kernel: true, signatures: [kmsg.xid]}` with `recover:
    [{drain_node: {reason: Xid}}]` on the nodes. A job that failed there in the ten minutes before then has the verdict
    `node`.

    Slurm's commands are looked for on the PATH, in the usual places (/opt/slurm/bin …), and where a login shell has
    them. As root, a job's output is opened with the rights of the job's user.

    However many jobs there are, a look asks `sacct` once and `squeue` once, and `scontrol` about each job that newly
    failed. A controller or an accounting that does not answer leaves all unknown. Where Slurm keeps no accounts,
    finished jobs are seen for as long as the controller keeps them (MinJobAge).

    Example:
        - name: out of memory
          slurm: {names: [train_*], users: [ml]}
          when: verdict == 'oom_host' and tries < 3
          clear: state in ['running', 'completed'] and verdict is none
          verify: {every: 30s, within: 7d}
          recover: [{resubmit: {multiply: {memory: 1.5}}}]
        - name: stuck in the queue
          slurm: {partitions: [gpu]}
          when: state == 'pending' and reason == 'DependencyNeverSatisfied'
    """

    record: ClassVar[Type[Record]] = SlurmRecord
    subject: ClassVar[Optional[str]] = "lineage"
    first: ClassVar[Optional[str]] = "names"
    timeout: ClassVar[float] = 120.0
    counting: ClassVar[Optional[str]] = "count"

    names: Tuple[str, ...] = ()  # patterns of job names: *, ?, [a-z]
    jobs: Tuple[str, ...] = ()  # ids of jobs, of arrays (all tasks), or of tasks (1234_7)
    users: Tuple[str, ...] = ()  # whose jobs; "*" is everybody's, and none is that for root, and one's own for others
    partitions: Tuple[str, ...] = ()  # jobs in these
    comments: Tuple[str, ...] = ()  # patterns of the comment that people gave (`sbatch --comment`)
    after: Tuple[str, ...] = ()  # jobs that depend on these jobs
    progress: Optional[Regex] = None  # how far a job came, in its output: the group `value`, or the first one
    signatures: Tuple[str, ...] = _SIGNATURES  # the catalogue's, of GPU memory, host memory and broken hardware
    since: Duration = 0.0  # how far back the first look takes failures
    keep: Duration = 604800.0  # how long a failed job is shown
    healthy: bool = True  # show jobs with which nothing is wrong, too; those that were sent again are always shown
    count: bool = False  # count the jobs by state, for `watch --show-job-counts`; it takes a little more
    _catalogue: Mapping[str, Any] = field(default_factory=dict)  # what the engine knows of `signatures`

    @classmethod
    def vain(cls, opened: Mapping[str, Any], seen: Mapping[str, Any]) -> bool:
        """A successor that failed, too, or that Slurm has lost, ends the wait for it; so does a run of the same job."""
        if seen.get("verdict") is None:
            return False
        later = any((seen.get(name) or 0) > (opened.get(name) or 0) for name in ("lost", "ended"))
        return later or seen.get("job_id") != opened.get("job_id")

    @classmethod
    def tally(cls, state: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> Optional[Tally]:
        """Return how many jobs are in each state, with `count`."""
        from runbook.modules.slurm import tally

        return tally.told(state, records)

    def check(self) -> None:
        """Ids are numbers."""
        for job in (*self.jobs, *self.after):
            if _JOB.fullmatch(job) is None:
                raise Invalid(f"`{job}` is no job's id: write 1234, or 1234_7 for a task of an array")
        if self.progress is not None:
            re.compile(self.progress)

    def look(self, host: Host) -> Iterator[Record]:
        """Ask once for all jobs; read the output of those that newly failed."""
        from runbook.modules.slurm import commands, judging, lost, seeing, units

        commands.find(host)
        kept, now = host.remembered, host.now()
        # a watch that comes back after a year does not take up what failed in that
        began = max(float(kept.get("began", now - self.since)), now - max(self.keep, self.since))
        wanted = seeing.Wanted(self.jobs, self.names, self._whose(host), self.partitions, self.comments, self.after)
        sight = seeing.look(host, wanted, kept, began)
        failed: Dict[str, Dict[str, Any]] = dict(kept.get("failed", {}))
        followed: Dict[str, Dict[str, Any]] = dict(kept.get("followed", {}))
        found: Dict[str, SlurmRecord] = {}
        pending = judging.Judging(host, self.progress, self._catalogue)
        for one in sight.seen:
            before = failed.pop(one.first, None)
            if before is not None and one.job.id != before.get("job_id"):
                followed[one.first] = before
            before = before or followed.get(one.first)
            if not self.healthy and before is None and one.mark is None and not pending.wrong(one):
                continue
            over = one.job.state in units.OVER
            if over and before is not None and before.get("job_id") == one.job.id and not pending.differs(before, one):
                record = _again(before)
            else:
                record = _record(one, pending, (before or {}).get("lost", 0))
            if record.verdict is not None and record.verdict is not UNSEEN:
                failed[one.first] = _kept(record)
            elif record.verdict is UNSEEN and before is not None:
                failed[one.first] = before
            found[one.first] = record
            if over and record.verdict is not UNSEEN:
                followed.pop(one.first, None)
        waits = {
            first: told
            for first, told in {**followed, **failed}.items()
            if first not in found or found[first].job_id == told["job_id"]
        }
        gone = lost.look(host, lost.Known(sight.queued, sight.ended), [*seeing.marked(sight.marks, waits)], waits, kept)
        for first, forgotten in gone.lost.items():
            told = failed[first] = _forgotten(waits[first], forgotten)
            followed.pop(first, None)
            found[first] = _again(told)
        failed, followed = (
            {
                first: told
                for first, told in several.items()
                if first in found or now - (told.get("ended") or now) < self.keep
            }
            for several in (failed, followed)
        )
        for first, told in failed.items():
            found.setdefault(first, _again(told))
        cursor = sight.cursor if pending.left == 0 else min(sight.cursor, float(kept.get("cursor", began)))
        counted = self._counted(kept, sight.seen, failed, cursor, pending.left + len(gone.missing))
        host.remember(
            began=began,
            looked=now,
            cursor=cursor,
            settled=sight.settled,
            failed=dict(list(failed.items())[-_KEPT:]),
            followed=dict(list(followed.items())[-_KEPT:]),
            missing=gone.missing,
            gone=gone.gone,
            marks=sight.marks,
            depends=sight.depends,
            **counted,
        )
        yield from found.values()

    def _whose(self, host: Host) -> Tuple[str, ...]:
        """Return whose jobs are meant: who is not root can mend nobody's but their own."""
        if "*" in self.users:
            return ()
        return self.users if self.users or host.uid() == 0 else (_me(host),)

    def _counted(
        self, kept: Mapping[str, Any], seen: Sequence[Any], failed: Mapping[str, Any], cursor: float, unread: int
    ) -> Dict[str, Any]:
        if not self.count:
            return {}
        from runbook.modules.slurm import tally

        return {"tally": {**tally.counted(kept.get("tally", {}), seen, failed, cursor), "unread": unread}}


def _again(told: Mapping[str, Any]) -> SlurmRecord:
    """Return a record as an earlier look kept it."""
    known = {field.name for field in fields(SlurmRecord)}
    mine = {name: value for name, value in told.items() if name in known}
    listed: Dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in mine.items()}
    return SlurmRecord(**{"gpu_hours": 0.0, "lost": 0, **listed})  # what an earlier version kept has none


def _kept(record: SlurmRecord) -> Dict[str, Any]:
    return {name.name: getattr(record, name.name) for name in fields(SlurmRecord)}


def _forgotten(told: Mapping[str, Any], one: Any) -> Dict[str, Any]:
    """Return what is known of a failed job whose successor is lost: it is to be sent once more."""
    said = f"job {one.job}{_LOST}"
    evidence = [text for text in told.get("evidence", ()) if not text.endswith(_LOST)]
    return {**told, "lost": int(told.get("lost") or 0) + 1, "evidence": (*evidence, said)}


def _me(host: Host) -> str:
    try:
        return pwd.getpwuid(host.uid()).pw_name
    except KeyError:
        return str(host.uid())


def _record(one: Any, judging: Any, lost: int) -> SlurmRecord:
    from runbook.modules.slurm import evidence, units

    job, mark = one.job, one.mark
    found, progress = judging.verdict(one)
    over = job.state in units.OVER
    nodes = tuple(evidence.names(job.nodes)) if job.nodes else ()
    tries = 0 if mark is None else mark.tries
    return SlurmRecord(
        job_id=job.id,
        name=job.name,
        user=job.user,
        state=UNSEEN if job.state == units.UNKNOWN else job.state,
        verdict=found if found is UNSEEN or found is None else found.name,
        confidence=found.sure if found else 0.0,
        evidence=found.evidence if found else (),
        exit_code=job.exit_code if over else None,
        signal=job.signal if over else None,
        memory_requested=job.memory,
        memory_peak=job.peak,
        time_limit=None if job.limit == units.UNLIMITED else job.limit,
        elapsed=job.elapsed,
        partition=job.partition,
        restarts=job.runs - 1,
        nodes=nodes,
        ill_nodes=judging.ill(nodes) if found and found.name == "node" else (),
        lineage=one.first,
        attempt=1 if mark is None else mark.attempt,
        tries=tries,
        progress=progress,
        core_hours=round((0.0 if mark is None else mark.spent) + (job.elapsed or 0.0) * job.cpus / 3600, 4),
        gpu_hours=round((0.0 if mark is None else mark.gpu) + (job.elapsed or 0.0) * (job.gpus or 0) / 3600, 4),
        reason=job.reason,
        comment=one.comment,
        held=judging.held(one),
        lost=lost,
        ended=job.ended if over else None,
    )
