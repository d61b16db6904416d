"""What the controller tells of itself: when it started, and which id its next job gets."""

import re
from typing import NamedTuple, Optional

from runbook.modules.declare import Unclear
from runbook.modules.host import Host
from runbook.modules.slurm import units
from runbook.modules.slurm.queue import ENV, TIME, said

_FIELD = re.compile(r"^(BOOT_TIME|NEXT_JOB_ID|MinJobAge)\s*=\s*(\S+)", re.MULTILINE)
_SEQUENCE = 0x03FFFFFF  # of a federation's ids, the bits above tell the cluster
_AHEAD = 100_000  # ids; what lies further ahead is from before the numbers began anew (MaxJobId)


class Controller(NamedTuple):
    """The one that answers now."""

    started: Optional[float]  # seconds since the epoch; of a backup, when its program started
    following: Optional[int]  # the number of the next job
    keeps: float = 0.0  # seconds for which it knows a job that has ended

    def began_after(self, moment: float) -> bool:
        """Tell whether it was started after a moment (seconds since the epoch), or in that very second."""
        return self.started is not None and self.started >= moment // 1

    def would_know(self, moment: float, now: float) -> bool:
        """Tell whether it would still know a job of a moment before it was started, even one that ended at once."""
        return self.began_after(moment) and now - moment < self.keeps

    def never_gave(self, number: int) -> bool:
        """Tell whether it is still to give out a job's number: then it knows nothing of whoever had it before."""
        if self.following is None:
            return False
        return 0 <= (number & _SEQUENCE) - (self.following & _SEQUENCE) < _AHEAD


def look(host: Host) -> Controller:
    """Ask it.

    Raises:
        Unclear: it does not answer.
    """
    done = host.run("scontrol", "show", "config", timeout=TIME, env=ENV)
    if done.exit_code:
        raise Unclear(f"the Slurm controller does not answer: {said(done.stderr or done.stdout)}")
    told = dict(_FIELD.findall(done.stdout))
    following = told.get("NEXT_JOB_ID", "")
    number = int(following) if following.isdecimal() else None
    return Controller(units.moment(told.get("BOOT_TIME", "")), number, float(units.count(told.get("MinJobAge", ""))))
