"""What one look sees: of each lineage its newest job, from the queue, the accounts, and what earlier looks kept."""

import fnmatch
import re
from typing import Any, Container, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from runbook.modules.frozen import frozen
from runbook.modules.host import Host
from runbook.modules.slurm import accounts, asked, lineage, queue, units
from runbook.modules.slurm.job import Job
from runbook.modules.slurm.lineage import Mark
from runbook.modules.slurm.sent import Sent

OVERLAP = 600.0  # seconds that are asked for again: the controller tells the accounting with a delay
_GAP = 300.0  # seconds without a look after which what was late in between may still come
_LATE = 900.0  # seconds for the controller to tell what it kept while the accounting was down
_MARKS = 5000  # jobs of ours that are remembered
_FIRST = re.compile(r"\[runbook first=(\S+)")
_ENDED = re.compile(  # reasons that tell of an end; of others, an ended job's is what it last waited for
    r"NonZeroExitCode|RaisedSignal|OutOfMemory|TimeLimit|DeadLine|NodeDown|BootFail|JobLaunchFailure|SystemFailure"
    r"|InactiveLimit|Prolog|DependencyNeverSatisfied|.*[Ff]ail"
)


@frozen
class Wanted:
    """Which jobs are looked at; empty: all."""

    jobs: Tuple[str, ...] = ()
    names: Tuple[str, ...] = ()
    users: Tuple[str, ...] = ()
    partitions: Tuple[str, ...] = ()
    comments: Tuple[str, ...] = ()
    after: Tuple[str, ...] = ()

    def take(self, job: Job, mark: Optional[Mark], comment: str, depends: str) -> bool:
        """Tell whether a job is one of them; a job that we sent is, if the one that it began with was."""
        return (
            (not self.users or job.user in self.users)
            and (not self.partitions or not {*job.partition.split(",")}.isdisjoint(self.partitions))
            and (not self.names or any(fnmatch.fnmatchcase(job.name, one) for one in self.names))
            and (not self.comments or any(_like(comment, one, mark) for one in self.comments))
            and (not self.jobs or any(_is(name, one) for one in self.jobs for name in _names(job, mark)))
            and (not self.after or any(_named(depends, one) for one in self.after))
        )


def _like(comment: str, pattern: str, mark: Optional[Mark]) -> bool:
    """Tell whether a comment is like a pattern; with what `resubmit` writes into it, sacctmgr makes all of it small."""
    small = mark is not None and mark.held
    return fnmatch.fnmatchcase(comment, pattern) or (small and fnmatch.fnmatchcase(comment, pattern.lower()))


def _names(job: Job, mark: Optional[Mark]) -> Sequence[str]:
    return (job.id,) if mark is None else (job.id, mark.first)


def _is(job: str, wanted: str) -> bool:
    """Tell whether a job is the one that is wanted, or a task of that array."""
    return job == wanted or job.partition("_")[0] == wanted or job.partition("+")[0] == wanted


def _named(depends: str, job: str) -> bool:
    return any(_is(word, job) for word in _jobs(depends))


def _jobs(depends: str) -> Iterator[str]:
    """Yield the ids in a dependency such as `afterok:12(failed),afterany:13_*`."""
    for clause in depends.replace("?", ",").split(","):
        for word in clause.split(":")[1:]:
            yield word.partition("(")[0].rstrip("*").rstrip("_").partition("+")[0]


class Seen(NamedTuple):
    """The newest job of a lineage."""

    job: Job
    first: str  # the lineage: the job that it began with
    mark: Optional[Mark]  # of a job that we sent
    comment: str  # what people wrote


class Sight(NamedTuple):
    """One look at a whole Slurm, and what the next one is to know."""

    seen: List[Seen]
    cursor: float
    settled: float  # until then the cursor stays: what was late may still come
    marks: Dict[str, Any]
    depends: Dict[str, str]
    queued: Sequence[Job]  # all that the controller knows
    ended: Optional[Sequence[Job]]  # all that the accounting tells of; None where there is none


def look(host: Host, wanted: Wanted, kept: Mapping[str, Any], began: float) -> Sight:
    """Ask the accounts, then the queue: what ended before and waits again by then was requeued by Slurm itself.

    Raises:
        Absent: there is no Slurm here.
        Unclear: the controller or the accounting does not answer.
    """
    now, began = host.now(), began // 1  # Slurm's times are whole seconds
    cursor = min(float(kept.get("cursor", began)), now)
    start = (max(began, cursor) - OVERLAP) // 60 * 60
    whose = wanted.users, wanted.partitions
    waiting = {job.id: job for job in queue.read(host, *whose)} if host.which("sacct") is None else None
    try:
        ended: Optional[List[Job]] = asked.once(
            host, "sacct", whose, start, lambda: accounts.since(host, start, *whose)
        )
    except accounts.Disabled:
        ended = None
    if waiting is None:
        waiting = queue.by_id(asked.once(host, "squeue", whose, 0.0, lambda: queue.read(host, *whose)))
    settled = float(kept.get("settled", 0.0))
    if now - float(kept.get("looked", now)) > _GAP:
        settled = now + _LATE
    found = _together(waiting, ended, began, start, now)
    marks, depends = _marks(waiting, kept), _depends(waiting, kept, wanted)
    newest = _newest(found, wanted, marks, depends)
    queued = [*waiting.values()]
    return Sight(newest, now if now >= settled else cursor, settled, marks, depends, queued, ended)


def _together(
    waiting: Mapping[str, Job], ended: Optional[List[Job]], began: float, start: float, now: float
) -> List[Job]:
    """Return each job once: as the queue has it while it is not over, and then as the accounts have it."""
    found: Dict[str, Job] = {}
    for job in ended or ():
        if (job.ended or now) >= began:
            found[job.id] = job
    for job in waiting.values():
        if job.state not in units.OVER:
            found[job.id] = job._replace(runs=found[job.id].runs + 1) if job.id in found else job
        elif job.id not in found and (job.ended or now) >= max(began, start):
            late = ended is not None and now - (job.ended or now) < OVERLAP
            found[job.id] = job._replace(state="completing") if late else job
        elif job.id in found and _ENDED.match(job.reason):
            found[job.id] = found[job.id]._replace(reason=job.reason)
    return [
        job if job.state not in units.OVER or _ENDED.match(job.reason) else job._replace(reason="")
        for job in found.values()
    ]


def _marks(waiting: Mapping[str, Job], kept: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the comments of jobs that we sent, and when they were: not every accounting keeps comments."""
    marks: Dict[str, Any] = dict(kept.get("marks", {}))
    for job in waiting.values():
        if "[runbook " in job.comment:
            marks[job.id] = [job.comment, job.submitted]
    return dict(list(marks.items())[-_MARKS:])


def marked(marks: Mapping[str, Any], lineages: Container[str]) -> Iterator[Sent]:
    """Yield the jobs that were seen to be ours, of some lineages."""
    for job, told in marks.items():
        comment, submitted = _remembered(told)
        first = _FIRST.search(comment)
        mark = lineage.read(comment)[0] if first is not None and first[1] in lineages else None
        if mark is not None and submitted is not None:
            yield Sent(job, mark.first, mark.after, submitted)


def _remembered(told: Any) -> "Tuple[str, Optional[float]]":
    return (told, None) if isinstance(told, str) else (told[0], told[1])  # an earlier version kept the comment alone


def _comment(job: Job, marks: Mapping[str, Any]) -> str:
    """Return a job's comment, or what was seen of it earlier: a number that Slurm lost is another job's later."""
    if "[runbook " in job.comment or job.id not in marks:
        return job.comment
    comment, submitted = _remembered(marks[job.id])
    return comment if None in {submitted, job.submitted} or submitted == job.submitted else job.comment


def _depends(waiting: Mapping[str, Job], kept: Mapping[str, Any], wanted: Wanted) -> Dict[str, str]:
    """Return what jobs depended on, where that was asked for: it is forgotten when they start."""
    if not wanted.after:
        return {}
    found: Dict[str, str] = dict(kept.get("depends", {}))
    found.update((job.id, job.dependency) for job in waiting.values() if job.dependency)
    return dict(list(found.items())[-_MARKS:])


def _newest(jobs: Sequence[Job], wanted: Wanted, marks: Mapping[str, Any], depends: Mapping[str, str]) -> List[Seen]:
    newest: Dict[str, Seen] = {}
    owners = {job.id: job.user for job in jobs}
    for job in sorted(jobs, key=_number):
        comment = _comment(job, marks)
        mark, people = lineage.read(comment) if comment else (None, "")
        if mark is not None and owners.setdefault(mark.first, job.user) != job.user:
            mark, people = None, comment  # whoever writes such a comment has not taken over another one's job
        if not wanted.take(job, mark, people, depends.get(job.id, job.dependency)):
            continue
        first = lineage.leader(job.id) if mark is None else mark.first
        known = newest.get(first)
        if known is None or _order(mark, job) > _order(known.mark, known.job):
            newest[first] = Seen(job, first, mark, people)
    return list(newest.values())


def _order(mark: Optional[Mark], job: Job) -> "Tuple[int, int, bool, bool]":
    """Return what the newest job of a lineage is the greatest by; of one of several parts, the one that is not well."""
    part = job.id.partition("+")[2]
    return 1 if mark is None else mark.attempt, _number(job), job.state != "completed", part in {"", "0"}


def _number(job: Job) -> int:
    number = job.id.partition("+")[0] if "+" in job.id else job.raw
    return int(number) if number.isdigit() else 0
