"""The step `kill_gpu_processes`."""

from typing import List, Optional

from runbook.modules.actions import Action, Signal
from runbook.modules.cards import subject, users
from runbook.modules.daemons.processes import pattern
from runbook.modules.declare import Duration, Impact, Regex, Step
from runbook.modules.frozen import frozen
from runbook.modules.host import Host


@frozen
class KillGpuProcesses(Step):
    """End what computes on a GPU, with all that descends from it: TERM, then KILL.

    The driver names the processes; each is held by a descriptor, so none is mistaken for another. What only draws on
    the GPU, such as an X server, is left alone.

    Example:
        - kill_gpu_processes: {}
        - kill_gpu_processes: {gpu: 3, match: 'python.*train[.]py', grace: 30s}
    """

    impact = Impact.DISRUPTIVE
    on_subject = True

    gpu: Optional[str] = None  # its number, UUID or PCI address, or `all`; without, the GPU of the incident
    match: Optional[Regex] = None  # which command lines may be ended; without, all that compute on it
    grace: Duration = 10.0  # time to end by themselves before KILL

    def plan(self, host: Host) -> List[Action]:
        """Ask the driver who computes on it."""
        readings = subject.chosen(host, self.gpu)
        match = None if self.match is None else pattern(self.match)
        doomed = users.doomed(host, readings, match, every=False)
        return [Signal(tuple(doomed), grace=self.grace)] if doomed else []
