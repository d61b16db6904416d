"""What the kernel of this machine says of a job that ran on it: whom it killed for want of memory, and of its GPUs.

A login node is no node of the jobs, as a rule, and then there is nothing to be had here: what a node's own watch finds
reaches Slurm by the reason for which it drains the node.
"""

from typing import TYPE_CHECKING, Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from runbook.modules.declare import Absent, Unclear
from runbook.modules.host import Host
from runbook.modules.logs import catalogued
from runbook.modules.slurm import said
from runbook.modules.slurm.job import Job
from runbook.modules.slurm.said import Line

if TYPE_CHECKING:
    from runbook.modules.logs.entries import Entry

_BEFORE, _AFTER = 5.0, 30.0  # seconds around a job's life; Slurm learns of its end a little later


class Heard(NamedTuple):
    """The kernel's messages since the machine started."""

    entries: "Sequence[Entry]" = ()
    unread: str = ""  # why they can't be read


def hear(host: Host) -> Heard:
    """Read them all."""
    from runbook.modules.logs.beginning import Beginning
    from runbook.modules.logs.kernel import Kernel

    try:
        return Heard(Kernel({}, host, Beginning(start=True)).new())
    except (Absent, Unclear) as error:
        return Heard(unread=str(error))


def about(heard: Heard, job: Job, travelled: Mapping[str, Any], now: float) -> Tuple[Line, ...]:
    """Return what was said of one job while it ran."""
    if job.started is None or not job.raw.partition("+")[0].isdecimal():
        return ()
    until = (job.ended or now) + _AFTER
    mine = [entry for entry in heard.entries if entry.time is not None and job.started - _BEFORE <= entry.time <= until]
    number = int(job.raw.partition("+")[0])
    found: List[Line] = [line for entry in mine for line in [said.victim(entry.text, number)] if line is not None]
    return (*found, *(said.driver(_hardware(mine, travelled, now)) if job.gpus != 0 else ()))


def _hardware(entries: "Sequence[Entry]", travelled: Mapping[str, Any], now: float) -> List[Dict[str, Any]]:
    """Return the messages that signatures of hardware know, with what each calls for."""
    patterns = tuple(one for one in catalogued.patterns(travelled) if one.name.startswith(("kmsg.", "gpu.")))
    if not patterns or not entries:
        return []
    from runbook.modules import xid
    from runbook.modules.logs import match

    lines = [entry.text.replace("\n", " ").replace("\r", " ") for entry in entries]
    block = ("\n".join(lines) + "\n").encode("utf-8", "replace")
    events: List[Dict[str, Any]] = []
    try:
        for hit in match.matcher(patterns, len(block)).hits(block):
            at = entries[hit.index].time if hit.index < len(entries) else now
            events.append({**hit.groups, "line": hit.line, "signature": hit.name, "time": at})
    except match.TooSlow:
        return []
    xid.settle(events, travelled, now)
    return events
