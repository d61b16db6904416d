"""Jobs of ours that Slurm itself has forgotten: its controller saves every few seconds what it knows, and was killed.

Whatever follows is sent only where nobody can run it any longer. So a job that is in neither queue nor accounts is lost
when its number is still to be given out, or is another job's by now; and, as nodes tell a new controller what runs on
them, and have it ended, not before a while has passed. Where that can't be told, the controller must have been started
since, and the accounting have had long enough to hear of the job.
"""

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from runbook.modules.declare import Failed, Unclear
from runbook.modules.host import Host
from runbook.modules.slurm import controller, lineage, sent, units
from runbook.modules.slurm.controller import Controller
from runbook.modules.slurm.job import Job
from runbook.modules.slurm.sent import Sent

GRACE = 20.0  # seconds in which nodes have told a controller what runs on them
_LATE = 900.0  # seconds for the accounting to hear of a job, where nothing else can be told
_MOST = 5000  # lineages


class Known(NamedTuple):
    """The jobs that Slurm tells of."""

    queued: Sequence[Job]
    ended: Optional[Sequence[Job]]  # None without an accounting

    def has(self, one: Sent) -> bool:
        """Tell whether one of them is a job that we sent."""
        for job in (*self.queued, *(self.ended or ())):
            if _numbered(job, one):
                mark = lineage.read(job.comment)[0] if job.comment else None
                if (mark is not None and mark.after == one.after) or one.at_once(job.submitted):
                    return True
        return False

    def forgot(self, one: Sent, asked: Controller, now: float) -> bool:
        """Tell whether a job that is not shown is unknown to the controller: by its number, or as it is too young."""
        if asked.never_gave(one.number) or asked.would_know(one.at, now):
            return True
        # without a restart it would be our own, which Slurm ran again, and of which somebody changed the comment
        return asked.began_after(one.at) and any(
            _numbered(job, one) and (job.submitted or 0.0) > one.at for job in self.queued
        )


def _numbered(job: Job, one: Sent) -> bool:
    return str(one.number) in {job.raw, job.id.partition("_")[0].partition("+")[0]}


class Found(NamedTuple):
    """What a look found out, and what the next one is to know."""

    lost: Dict[str, Sent]  # by lineage, those that are lost and were not known to be
    missing: Dict[str, List[Any]]  # by lineage: job, when it was sent, since when it is missing, whether for certain
    gone: Dict[str, float]  # by lineage: when the last one was sent that is lost


def look(
    host: Host,
    known: Known,
    marked: Sequence[Sent],
    waits: Mapping[str, Mapping[str, Any]],
    kept: Mapping[str, Any],
) -> Found:
    """Return which lineages wait for a job that Slurm has lost.

    Args:
        host: where.
        known: all jobs that Slurm tells of.
        marked: what earlier looks saw of jobs that we sent.
        waits: by lineage what is known of the job that failed last and that nothing is seen to follow.
        kept: what the look before returned: `missing` and `gone`.

    Raises:
        Unclear: the controller does not answer.
    """
    gone = {first: told for first, told in kept.get("gone", {}).items() if first in waits}
    missing: Dict[str, List[Any]] = {}
    found: Dict[str, Sent] = {}
    following = sent.latest([*marked, *sent.known(host)]) if waits else {}
    now, asked = host.now(), None
    for first, failed in waits.items():
        one = following.get(first)
        if one is None or one.after != failed.get("job_id") or one.at <= gone.get(first, 0.0):
            continue
        if one.at < (failed.get("ended") or 0.0) or known.has(one):
            continue
        asked = asked or controller.look(host)
        told = kept.get("missing", {}).get(first)
        since, certain = (told[2], told[3]) if told and told[:2] == [one.job, one.at] else (now, False)
        certain = certain or known.forgot(one, asked, now)
        begun = max(since, asked.started or 0.0)
        late = known.ended is not None and asked.began_after(one.at) and now - begun >= _LATE
        if late or (certain and now - begun >= GRACE):
            found[first] = one
            gone[first] = one.at
        else:
            missing[first] = [one.job, one.at, since, certain]
    return Found(found, missing, dict(list(gone.items())[-_MOST:]))


def guard(host: Host, job: Job, queued: Sequence[Job]) -> bool:
    """Keep a step from sending a second job where nobody can say that the first is lost; wait for nodes to speak up.

    Returns:
        Whether it waited, so that all may be another way by now.

    Raises:
        Failed: one was sent, and is neither known to Slurm nor lost for certain; or Slurm does not answer.
    """
    if job.state not in units.OVER:
        return False
    ended = job.ended or 0.0
    before = next((one for one in reversed(sent.known(host)) if one.after == job.id and one.at >= ended), None)
    try:
        asked = controller.look(host)
    except Unclear as error:
        raise Failed(str(error)) from error
    age = host.now() - (asked.started or 0.0)
    if (
        before is not None
        and not Known(queued, ()).forgot(before, asked, host.now())
        and not (asked.began_after(before.at) and age >= _LATE)
    ):
        raise Failed(
            f"job {job.id} was sent again as {before.job}, which Slurm does not tell of now: nothing is sent before "
            "its accounting does, or its controller is seen to have forgotten that job"
        )
    if ended >= (asked.started or 0.0) or not 0 <= age < GRACE:
        return False
    host.pause(GRACE - age)
    return True
