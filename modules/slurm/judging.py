"""Why the jobs of a look ended: each is looked into once, so many in a look."""

import re
from typing import Any, Dict, Mapping, Optional, Tuple

from runbook.modules.declare import UNSEEN
from runbook.modules.host import Host
from runbook.modules.logs import catalogued
from runbook.modules.slurm import evidence, kernel, units, verdict
from runbook.modules.slurm.seeing import Seen

_UNIT = re.compile(r" ([kmgt])ib\b")  # sacctmgr makes what it writes small
_READ = 40  # jobs whose output is read in one look; the others are read in the next


class Judging:
    """What was found out so far."""

    def __init__(self, host: Host, progress: Optional[str], catalogue: Mapping[str, Any]) -> None:
        self._host = host
        self._progress = None if progress is None else re.compile(progress)
        self._catalogue = catalogue
        self._nodes: Optional[Dict[str, Any]] = None
        self._kernel: Optional[kernel.Heard] = None
        self._read = 0
        self.left = 0

    def differs(self, before: Mapping[str, Any], one: Seen) -> bool:
        """Tell whether a job is not what was kept of it: Slurm or a person let it run again."""
        now = one.job.state, one.job.ended, self.held(one)
        return (before.get("state"), before.get("ended"), before.get("held")) != now

    def wrong(self, one: Seen) -> bool:
        """Tell whether a job is over, and not as it should be, or nobody can say how it is."""
        if one.job.state == units.UNKNOWN or verdict.stuck(one.job) is not None:
            return True
        return one.job.state in units.OVER and verdict.judge(one.job, verdict.Clues()) is not None

    def ill(self, nodes: Tuple[str, ...]) -> Tuple[str, ...]:
        """Return those nodes that something ails; all where that is known of none."""
        known = tuple(name for name in nodes if name in self._known() and evidence.unfit(self._known()[name]))
        return known or nodes

    def verdict(self, one: Seen) -> Any:
        """Return (the verdict or None, how far it came); UNSEEN in place of a verdict that waits for the next look."""
        job = one.job
        if job.state == units.UNKNOWN:
            return UNSEEN, None
        if job.state not in units.OVER:
            return verdict.stuck(job), None
        who = evidence.person(job.by, job.user)
        bare = verdict.judge(job, verdict.Clues(who=who))
        if evidence.brief(job):
            return verdict.judge(job, verdict.Clues(who=who, unlaunched=evidence.unlaunched(self._known(), job))), None
        if bare is None or bare.name in {"human", "preempt"}:
            return bare, None
        if self._read >= _READ:
            self.left += 1
            return UNSEEN, None
        self._read += 1
        patterns = catalogued.patterns(self._catalogue)
        told = evidence.read(self._host, evidence.outputs(self._host, job), job, self._progress, patterns)
        heard = self._heard() if evidence.here(self._known(), job, self._host.name()) else kernel.Heard()
        clues = verdict.Clues(
            lines=told.lines,
            kernel=kernel.about(heard, job, self._catalogue, self._host.now()),
            nodes=evidence.ailing(self._known(), job),
            progress=told.progress,
            before=one.mark.best if one.mark is not None else None,
            watched=self._progress is not None,
            unread=told.unread,
            deaf=heard.unread,
            who=evidence.person(job.by, job.user),
        )
        return verdict.judge(job, clues), told.progress

    def _known(self) -> Dict[str, Any]:
        """Return the nodes; they are asked for once."""
        if self._nodes is None:
            self._nodes = evidence.nodes(self._host)
        return self._nodes

    def _heard(self) -> kernel.Heard:
        """Return what the kernel of this machine said; it is asked once."""
        if self._kernel is None:
            self._kernel = kernel.hear(self._host)
        return self._kernel

    def held(self, one: Seen) -> str:
        """Return why `resubmit` refused to send a job again; empty where it did not."""
        return _UNIT.sub(lambda found: f" {found[1].upper()}iB", one.mark.why) if one.mark and one.mark.held else ""
