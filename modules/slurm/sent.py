"""Which jobs we sent for which, kept beside the agent: a controller that is killed forgets its last seconds."""

import contextlib
import json
import os
from typing import Dict, List, NamedTuple, Optional

from runbook.modules import durable
from runbook.modules.alone import alone
from runbook.modules.declare import Failed
from runbook.modules.host import Host
from runbook.modules.slurm import units
from runbook.modules.slurm.queue import ENV, TIME

_FILE = "slurm-sent"
_LARGEST = 256 << 10  # bytes, some 4,000 jobs; then the older half is forgotten
_PATIENCE = 10.0  # seconds for another step that writes there
_ABOUT = 2.0  # seconds between our clock and the controller's


class Sent(NamedTuple):
    """A job that was sent in place of one that failed."""

    job: str  # its id
    first: str  # the lineage
    after: str  # the one that failed
    at: float  # when the controller took it, in seconds since the epoch; by our clock where that is no whole number

    @property
    def number(self) -> int:
        """What Slurm counts jobs by."""
        number = self.job.partition("_")[0]
        return int(number) if number.isdecimal() else 0

    def at_once(self, submitted: Optional[float]) -> bool:
        """Tell whether a job with this id was taken when this one was."""
        return submitted is not None and abs(submitted - self.at) <= (0 if self.at == self.at // 1 else _ABOUT)


def note(host: Host, job: str, first: str, after: str) -> None:
    """Write down that a job was sent just now; where that can't be written, its loss would not be seen, and no more."""
    if not host.own_directory():
        return
    line = json.dumps(Sent(job, first, after, _taken(host, job))).encode() + b"\n"
    path = os.path.join(host.own_directory(), _FILE)
    with contextlib.suppress(OSError, Failed), alone(host, _FILE, "been writing down what was sent", _PATIENCE):
        durable.append(path, line)
        if os.path.getsize(path) > _LARGEST:
            with open(path, "rb") as file:
                lines = file.read().splitlines(keepends=True)
            durable.replace(path, b"".join(lines[len(lines) // 2 :]))


def _taken(host: Host, job: str) -> float:
    """Return when the controller took a job: by its own clock, which knows whole seconds, or else by ours."""
    now = host.now()
    done = host.run("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%V", timeout=TIME, env=ENV)
    told = None if done.exit_code else units.moment(done.stdout.partition("\n")[0].strip())
    return now // 1 + 0.5 if told is None else told


def known(host: Host) -> List[Sent]:
    """Return what was sent from this agent's directory, the oldest first."""
    if not host.own_directory():
        return []
    found: List[Sent] = []
    with contextlib.suppress(OSError), open(os.path.join(host.own_directory(), _FILE), "rb") as file:
        for line in file:
            with contextlib.suppress(ValueError, TypeError):
                job, first, after, at = json.loads(line)
                found.append(Sent(str(job), str(first), str(after), float(at)))
    return found


def instead(host: Host, after: str, new: str) -> List[Sent]:
    """Return what was sent in place of a job before the one that is there now."""
    return [one for one in known(host) if one.after == after and one.job != new]


def latest(several: List[Sent]) -> Dict[str, Sent]:
    """Return the last one of each lineage."""
    return {one.first: one for one in sorted(several, key=lambda one: one.at)}
