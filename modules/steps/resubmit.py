"""The step `resubmit`."""

from dataclasses import field
from typing import Any, Dict, List, Literal, Mapping, NoReturn, Optional, Tuple

from runbook.modules.actions import Action, Do
from runbook.modules.declare import Duration, Failed, Impact, Invalid, Path, Refused, Size, Step, Unclear
from runbook.modules.frozen import frozen
from runbook.modules.host import Host

Resource = Literal["memory", "time", "cpus"]
_SLURMS_OWN = frozenset({"preempted"})


@frozen
class Resubmit(Step):
    """Send a Slurm job that failed again, as it was, with more of what it lacked.

    Its script, arguments, options and environment are those of the job: from the accounting (AccountingStoreFlags
    job_script, job_env), from the controller while it knows the job, or from the file that it was. Of an array only the
    task that failed is sent. Memory becomes the larger of what was asked for and what was used, times the multiplier.
    A time that the partition does not allow becomes the longest that it does; memory or CPUs that no node or limit
    allows are said, and nothing is sent.

    The comment of the new job tells its lineage: which job it began with, which attempt it is, what was changed and
    why. So Slurm itself knows what was sent, and neither a crash nor another runbook sends a second one for the same
    failure; what Slurm itself has lost, as its controller was killed, is sent once more. Nothing is sent for a job that
    Slurm has requeued, that a person cancelled, or that is well. Jobs that wait for the old one (`afterok:`, also for
    the whole array, and `aftercorr:`) then wait for the new one. It is sent as the user whose it is. Slurm keeps a
    command line's words joined by blanks: an argument with blanks in it comes back
    as several. The parts of a heterogeneous job are not sent one by one.

    Example:
        - resubmit: {multiply: {memory: 1.5}}
        - resubmit: {job: "1234", why: it ran out of time, multiply: {time: 1.5}, attempts: 5}
    """

    impact = Impact.DISRUPTIVE
    on_subject = True
    timeout = 600.0

    job: Optional[str] = None  # its id, such as 1234 or 1234_7; without, the newest job of the incident's lineage
    multiply: Mapping[Resource, float] = field(default_factory=dict)  # more of memory, time (its limit), cpus (a task)
    max_memory: Optional[Size] = None  # no more than this on a node
    max_time: Optional[Duration] = None  # no longer than this
    attempts: int = 3  # how often a lineage is sent again; those after an attempt that came further are not counted
    core_hours: Optional[float] = None  # what a lineage may have taken before it is sent again no more
    gpu_hours: Optional[float] = None  # the same in hours of GPUs, as the accounting tells them
    progress: Optional[float] = None  # how far the job came, as the probe tells
    exclude: Tuple[str, ...] = ()  # nodes that it must not run on; of earlier attempts they are remembered
    environment: Mapping[str, str] = field(default_factory=dict)  # variables that are set, such as a smaller batch
    script: Optional[Path] = None  # the script, where Slurm keeps it no more
    why: str = ""  # the verdict, for the comment

    def check(self) -> None:
        """More, and not less."""
        for name, factor in self.multiply.items():
            if not 1 <= factor <= 100:
                raise Invalid(f"`multiply: {{{name}: {factor:g}}}` must lie between 1 and 100")
        if self.attempts < 1:
            raise Invalid("`attempts` must be at least 1")

    def plan(self, host: Host) -> List[Action]:
        """Look what Slurm knows of it, and whether what it needs is to be had."""
        from runbook.modules.slurm import sending

        standing = sending.following(host, self.job)
        job = standing.job
        if standing.successor is not None:
            host.note(f"job {job.id} was sent again already, as {standing.successor.id}")
            return _moves(host, standing, standing.successor.id)
        if not _ended(host, standing):
            return []
        try:
            request, change, tries = self._request(host, standing)
        except Refused as refusal:
            why = str(refusal)
            return [Do(f"leave {job.name} ({job.id}) as it is: {why}", lambda _: _leave(host, standing, why))]
        why = f", {self.why}" if self.why else ""
        what = f"resubmit {job.name} ({job.id}){why}: {change} (resubmission {tries} of {self.attempts})"
        return [Do(what, lambda hands: self._send(hands, host, job.id, request, change))]

    def _request(self, host: Host, standing: Any) -> "Tuple[Any, str, int]":
        """Return what the new job asks for, in words what is changed, and which resubmission it is."""
        from runbook.modules.slurm import lineage, room, sending

        job, mark = standing.job, standing.mark
        if "+" in job.id:
            raise Refused(
                f"job {job.id} is part of a heterogeneous job, whose parts can't be sent one by one: whoever sent it "
                "must send it again"
            )
        best = None if mark is None else mark.best
        advanced = self.progress is not None and (best is None or self.progress > best)
        tries = (0 if mark is None else mark.tries) + (0 if advanced else 1)
        if tries > self.attempts:
            raise Refused(
                f"job {job.id} is attempt {mark.attempt} of {mark.first}, and `attempts: {self.attempts}` are used up: "
                "a person must look at it"
            )
        spent = (0.0 if mark is None else mark.spent) + (job.elapsed or 0.0) * job.cpus / 3600
        if self.core_hours is not None and spent >= self.core_hours:
            raise Refused(f"the lineage has taken {spent:.4g} core-hours, and may have {self.core_hours:g}")
        gpu = self._gpu_hours(job, mark)
        try:
            bounds = room.look(host, job)
        except Unclear as error:
            raise Failed(str(error)) from error
        changes: List[str] = []
        memory = self._memory(job, bounds, changes)
        time = self._time(job, bounds, changes)
        cpus = self._cpus(job, bounds, changes)
        known = () if mark is None else mark.bad
        bad = tuple(dict.fromkeys((*known, *self.exclude)))
        if self.exclude:
            changes.append(f"without {', '.join(self.exclude)}")
        changes += [f"{name} set" for name in self.environment]
        change = ", ".join(changes) or "as it was"
        reached = [value for value in (best, self.progress) if value is not None]
        made = lineage.Mark(
            first=job.id if mark is None else mark.first,
            after=job.id,
            attempt=2 if mark is None else mark.attempt + 1,
            tries=tries,
            progress=self.progress,
            best=max(reached) if reached else None,
            spent=spent,
            gpu=gpu,
            bad=bad,
            why=f"{self.why}, {change}" if self.why else change,
        )
        comment = lineage.written(standing.comment, made)
        if time is None and job.limit is not None:
            time = job.limit
        if memory is None and job.memory is not None:
            memory = job.memory
        return sending.Request(memory, time, cpus, bad, comment, self.environment), change, tries

    def _gpu_hours(self, job: Any, mark: Any) -> float:
        """Return what the lineage has taken of GPUs."""
        before = 0.0 if mark is None else mark.gpu
        if self.gpu_hours is None:
            return before + (job.elapsed or 0.0) * (job.gpus or 0) / 3600
        if job.gpus is None and job.elapsed:
            raise Refused(
                f"how many GPUs job {job.id} had nobody tells, so that `gpu_hours` can't be held: it wants Slurm's "
                "accounting, and gres/gpu among AccountingStorageTRES of slurm.conf"
            )
        spent: float = before + (job.elapsed or 0.0) * (job.gpus or 0) / 3600
        if spent >= self.gpu_hours:
            raise Refused(f"the lineage has taken {spent:.4g} GPU-hours, and may have {self.gpu_hours:g}")
        return spent

    def _memory(self, job: Any, bounds: Any, changes: List[str]) -> Optional[int]:
        from runbook.modules.slurm import units

        factor = self.multiply.get("memory")
        if factor is None:
            return None
        if job.memory is None:
            raise Refused(f"job {job.id} asked for all the memory of its nodes: there is no more to be had")
        used = max(job.memory, job.peak or 0)
        wanted = units.megabytes(used * factor) << 20
        if self.max_memory is not None and wanted > self.max_memory:
            wanted = self.max_memory
            if wanted <= used:
                raise Refused(
                    f"job {job.id} had {units.shown_memory(used)} already, which is all that `max_memory` allows"
                )
        if wanted > bounds.memory:
            raise Refused(
                f"job {job.id} would need {units.shown_memory(wanted)} on a node, and {bounds.memory_by} allows "
                f"{units.shown_memory(bounds.memory)}: it is not sent"
            )
        changes.append(f"memory {units.shown_memory(job.memory)} to {units.shown_memory(wanted)}")
        return wanted

    def _time(self, job: Any, bounds: Any, changes: List[str]) -> Optional[float]:
        from runbook.modules.slurm import units

        factor = self.multiply.get("time")
        if factor is None or job.limit in {None, units.UNLIMITED}:
            return None
        used: float = max(job.limit, job.elapsed or 0.0)
        most: float = min(bounds.time, self.max_time if self.max_time is not None else units.UNLIMITED)
        wanted: float = min(-int(-used * factor // 60) * 60.0, most)
        if wanted < used or (wanted == used and factor > 1 and self.progress is None):
            name = "`max_time`" if self.max_time is not None and most == self.max_time else bounds.time_by
            raise Refused(
                f"job {job.id} had {units.shown_time(used)}, which is all that {name} allows: it is not sent, since it "
                "would end there again"
            )
        if wanted > job.limit:
            changes.append(f"time {units.shown_time(job.limit)} to {units.shown_time(wanted)}")
        return wanted

    def _cpus(self, job: Any, bounds: Any, changes: List[str]) -> Optional[int]:
        factor = self.multiply.get("cpus")
        if factor is None:
            return None
        wanted = -int(-job.cpus * factor // 1)
        if wanted / max(1, job.node_count) > bounds.cpus:
            raise Refused(
                f"job {job.id} would need {wanted} CPUs, and {bounds.cpus_by} has {bounds.cpus:g}: it is not sent"
            )
        changes.append(f"CPUs {job.cpus} to {wanted}")
        return wanted

    def _send(self, hands: Any, host: Host, wanted: str, request: Any, change: str) -> Mapping[str, Any]:
        """Look once more, alone, and send it."""
        from runbook.modules.slurm import lineage, lost, sending, sent, submission, waiting

        del hands
        mark = lineage.read(request.comment)[0]
        with sending.alone(host, mark.first if mark is not None else wanted):
            standing = sending.look(host, wanted)
            if standing.successor is None and lost.guard(host, standing.job, standing.queued):
                standing = sending.look(host, wanted)
            if standing.successor is not None:
                new, fresh = standing.successor.id, False
            elif not _ended(host, standing):
                return {"changed": False}
            else:
                try:
                    given = submission.found(host, standing.job, self.script)
                    new = sending.send(host, standing.job, given, request)
                except Refused as refusal:
                    _leave(host, standing, str(refusal))
                if mark is not None:
                    sent.note(host, new, mark.first, mark.after)
                fresh = True
        try:
            if waiting.waiters(host, standing.queued, wanted, new):
                waiting.move(host, wanted, new)
            for each in sent.instead(host, wanted, new):  # lost by Slurm: who was told to wait for them waits for none
                waiting.move(host, each.job, new, before=each.at)
        except Unclear as error:
            raise Failed(f"sent as {new}, and those that wait for {wanted} could not be told: {error}") from error
        told = {"job": new, "after": wanted, "changed": fresh, "change": change}
        return {**told, "lineage": mark.first, "attempt": mark.attempt} if mark is not None else told

    def report(self, host: Host) -> Dict[str, Any]:
        """Say nothing beyond what was done."""
        del host
        return {}


def _leave(host: Host, standing: Any, why: str) -> NoReturn:
    """Say that a job is not sent again, where everybody sees it."""
    from runbook.modules.slurm import sending

    sending.hold(host, standing, why)
    raise Refused(why)


def _ended(host: Host, standing: Any) -> bool:
    """Tell whether a job is one to be sent again; a note says why it is not.

    Raises:
        Refused: it is well, or a person ended it.
    """
    from runbook.modules.slurm import units, verdict

    job = standing.job
    if job.state not in units.OVER or job.state in _SLURMS_OWN:
        host.note(f"job {job.id} is {job.state}: Slurm has it in hand")
        return False
    if job.state == "cancelled" and not _unlaunched(host, job):
        by = "" if job.by is None else f" by {job.by}"
        raise Refused(f"job {job.id} was cancelled{by}: it is for that person to send it again")
    if verdict.judge(job, verdict.Clues()) is None:
        raise Refused(f"job {job.id} is {job.state}: nothing is wrong with it")
    return True


def _unlaunched(host: Host, job: Any) -> bool:
    from runbook.modules.slurm import evidence

    if not evidence.brief(job):
        return False
    try:
        return bool(evidence.unlaunched(evidence.nodes(host), job))
    except Unclear as error:
        raise Failed(str(error)) from error


def _moves(host: Host, standing: Any, new: str) -> List[Action]:
    """Return what lets those wait for the new job that wait for the old one."""
    from runbook.modules.slurm import waiting

    old = standing.job.id
    try:
        found = waiting.waiters(host, standing.queued, old, new)
    except Unclear as error:
        raise Failed(str(error)) from error
    return [
        Do(
            f"job {waiter.job} waits for {new}: {waiter.depends}",
            _mover(host, old, new, waiter.job),
        )
        for waiter in found
    ]


def _mover(host: Host, old: str, new: str, job: str) -> Any:
    from runbook.modules.slurm import waiting

    return lambda _: {"moved": waiting.move(host, old, new, job)}
