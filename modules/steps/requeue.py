"""The step `requeue`."""

from typing import List, Optional

from runbook.modules.actions import Action, Run, Until
from runbook.modules.declare import Impact, Refused, Step
from runbook.modules.frozen import frozen
from runbook.modules.host import Host


@frozen
class Requeue(Step):
    """Let Slurm run a job again under its own id, as `scontrol requeue` does: with what it had, from its beginning.

    That goes for as long as the controller knows the job (MinJobAge after its end). A job that waits is left as it is,
    and so is one that a person cancelled. A program that keeps checkpoints resumes from them.

    Example:
        - requeue: {job: "1234_7"}
    """

    impact = Impact.DISRUPTIVE
    on_subject = True
    idempotent = False

    job: Optional[str] = None  # its id, such as 1234 or 1234_7; without, the newest job of the incident's lineage

    def plan(self, host: Host) -> List[Action]:
        """Look whether it waits already."""
        from runbook.modules.slurm import sending

        job = sending.newest(host, self.job)
        if job.state in {"pending", "configuring", "requeued"}:
            host.note(f"job {job.id} is {job.state}")
            return []
        if job.state == "cancelled":
            raise Refused(f"job {job.id} was cancelled: it is for that person to send it again")
        if job.state == "completed":
            raise Refused(f"job {job.id} is completed: nothing is wrong with it")
        again = Until(
            f"job {job.id} waits or runs again",
            lambda: sending.state(host, job.id) in {"pending", "configuring", "running", "requeued"},
            within=60.0,
            every=1.0,
        )
        return [Run(("scontrol", "requeue", job.id)), again]
