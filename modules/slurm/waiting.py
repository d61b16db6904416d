"""Jobs that wait for one that was sent again (`--dependency`), and what lets them wait for the new one instead."""

import contextlib
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence

from runbook.modules.alone import alone
from runbook.modules.declare import Failed, Unclear
from runbook.modules.host import Host
from runbook.modules.slurm import accounts, queue, verdict
from runbook.modules.slurm.job import Job

_PATIENCE = 120.0  # seconds for another one that moves dependencies on this host
_WHOLE = {"afterok", "afterany", "afterburstbuffer"}  # of an array: all its tasks


class Waiter(NamedTuple):
    """A job that waits, and its dependency as it should be."""

    job: str
    depends: str


def waiters(host: Host, queued: Sequence[Job], old: str, new: str) -> List[Waiter]:
    """Return those that wait for a job, or for the array that it is a task of.

    Raises:
        Unclear: the accounting does not answer.
    """
    array, _, index = old.partition("_")
    asked: Dict[str, List[str]] = {}
    found = []
    for job in queued:
        if job.state != "pending" or array not in job.dependency:
            continue
        if index and _names_array(job.dependency, array) and not asked:
            asked[array] = _unfinished(host, queued, array)
        left = [task for task in asked.get(array, ()) if task != old]
        now = moved(job.dependency, old, new, left, job.id.partition("_")[2])
        if now != "".join(_clauses(job.dependency)):
            found.append(Waiter(job.id, now))
    return found


def move(host: Host, old: str, new: str, only: Optional[str] = None, before: Optional[float] = None) -> int:
    """Let them wait for the new job, and return how many were told; one at a time, since each reads what it changes.

    Args:
        host: where.
        old: the job that they wait for.
        new: the one that they are to wait for.
        only: the job that is meant; None means all.
        before: those that were submitted until then (seconds since the epoch), as the number may be another one's now.

    Raises:
        Failed: Slurm does not answer, or does not let us.
    """
    with alone(host, "slurm-waiting", "been moving dependencies", _PATIENCE):
        try:
            queued = queue.read(host)
            meant = [job for job in queued if before is None or (job.submitted or 0.0) <= before]
            found = waiters(host, meant, old, new)
        except Unclear as error:
            raise Failed(str(error)) from error
        told = [one for one in found if only in {None, one.job}]
        for waiter in told:
            done = host.run("scontrol", "update", f"JobId={waiter.job}", f"Dependency={waiter.depends}", timeout=60.0)
            if done.exit_code:
                said = (done.stderr or done.stdout).strip()[:200]
                raise Failed(f"job {waiter.job} can't be told to wait for {new}, which was sent for {old}: {said}")
    return len(told)


def moved(depends: str, old: str, new: str, left: Sequence[str], index: str) -> str:
    """Return a dependency in which a new job stands in place of the old one.

    Args:
        depends: as squeue shows it.
        old: the job that failed, such as 74 or 74_1.
        new: the one that was sent in its place.
        left: of the array of the old one, those tasks that are not well yet, without the old one.
        index: of the one that waits, where it is a task itself: for `aftercorr`.

    Example:
        >>> moved("afterok:74_*(failed),afterany:9(unfulfilled)", "74_1", "98_1", ["74_2"], "")
        'afterok:74_2:98_1,afterany:9'
        >>> moved("aftercorr:74_*(failed)", "74_1", "98_1", [], "1")
        'afterok:98_1'
    """
    any_of = "?" in depends  # of an array, all its tasks can't be said there
    return "".join(_moved(clause, old, new, () if any_of else left, "" if any_of else index)
                   for clause in _clauses(depends))  # fmt: skip


def _moved(clause: str, old: str, new: str, left: Sequence[str], index: str) -> str:
    kind, *jobs = clause.split(":")
    array, _, number = old.partition("_")
    kept: List[str] = []
    more = ""
    for job in jobs:
        whole = bool(number) and job in {array, f"{array}_*"}
        if job.partition("+")[0] == old:
            kept.append(new)
        elif whole and kind in _WHOLE:
            kept += [*left, new]
        elif whole and kind == "aftercorr" and index == number:
            more = f"afterok:{new}"
        else:
            kept.append(job)
    same = ":".join([kind, *dict.fromkeys(kept)]) if kept or not jobs else ""
    return ",".join(filter(None, (same, more)))


def _clauses(depends: str) -> List[str]:
    """Return the clauses of a dependency, with the `,` or `?` between them, and without how each stands."""
    bare = "".join(part.partition("(")[0] if "(" in part else part for part in depends.split(")"))
    parts: List[str] = [""]
    for letter in bare:
        if letter in ",?":
            parts += [letter, ""]
        else:
            parts[-1] += letter
    return parts


def _names_array(depends: str, array: str) -> bool:
    return any(job in {array, f"{array}_*"} for clause in _clauses(depends) for job in clause.split(":")[1:])


def _unfinished(host: Host, queued: Sequence[Job], array: str) -> List[str]:
    """Return the tasks of an array that are not well yet, whether they run, wait, or have failed."""
    known = {job.id: job for job in _tasks(queued, array)}
    with contextlib.suppress(accounts.Disabled):
        for job in accounts.tasks(host, array):
            known.setdefault(job.id, job)
    well = {name for name, job in known.items() if job.state == "completed" and not verdict.judge(job, verdict.Clues())}
    return sorted((name for name in known if name not in well), key=lambda name: int(name.partition("_")[2]))


def _tasks(jobs: Sequence[Job], array: str) -> Iterator[Job]:
    for job in jobs:
        if job.id.startswith(f"{array}_"):
            yield job
