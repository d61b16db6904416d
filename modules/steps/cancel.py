"""The step `cancel`."""

from typing import List, Optional

from runbook.modules.actions import Action, Run, Until
from runbook.modules.declare import Failed, Impact, Step
from runbook.modules.frozen import frozen
from runbook.modules.host import Host


@frozen
class Cancel(Step):
    """Cancel a Slurm job, whether it waits or runs; one that is over is left as it is.

    Example:
        - cancel: {job: "1234"}
    """

    impact = Impact.DISRUPTIVE
    on_subject = True

    job: Optional[str] = None  # its id, such as 1234 or 1234_7; without, the newest job of the incident's lineage

    def plan(self, host: Host) -> List[Action]:
        """Look whether it is over, cancel it, and wait for its end."""
        from runbook.modules.slurm import sending, units

        job = sending.newest(host, self.job)
        if job.state in units.OVER:
            host.note(f"job {job.id} is {job.state}")
            return []
        ended = Until(
            f"job {job.id} has ended",
            lambda: sending.state(host, job.id) in {None, *units.OVER},
            within=120.0,
            every=1.0,
        )
        if host.which("scancel") is None:
            raise Failed("scancel is not on the PATH")
        return [Run(("scancel", job.id)), ended]
