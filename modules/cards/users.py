"""Who uses a GPU: the processes that the driver names, with all that descends from them, and those nobody may end."""

import os
from contextlib import suppress
from typing import Any, Dict, List, Mapping, Optional, Pattern, Sequence

from runbook.modules.actions import Target
from runbook.modules.cards.subject import called
from runbook.modules.daemons.processes import INIT, Table, described, permitted, shortened, table
from runbook.modules.declare import Failed, Refused
from runbook.modules.host import Host, Process

Reading = Mapping[str, Any]


def pids(reading: Reading) -> List[int]:
    """Return the processes that compute on a GPU, directly or through a server."""
    return sorted({int(one["pid"]) for one in reading.get("processes", ())} | set(reading.get("served", ())))


def doomed(host: Host, readings: Sequence[Reading], match: "Optional[Pattern[str]]", *, every: bool) -> List[Target]:
    """Return what is to be ended so that nothing computes on these GPUs.

    Args:
        host: where they run.
        readings: of the GPUs.
        match: which command lines may be ended; None = any.
        every: refuse where one may not be ended; else those that match are enough.

    Raises:
        Refused: one that may not be ended uses a GPU.
        Failed: one belongs to another user, or can't be seen.
    """
    users = {pid: called(reading) for reading in readings for pid in pids(reading)}
    if not users:
        return []
    seen = table(host, anew=True)
    hidden = sorted(set(users) - set(seen.by_pid))
    alive = [seen.by_pid[pid] for pid in sorted(users) if pid in seen.by_pid and not seen.by_pid[pid].zombie]
    _not_ours(seen, alive, users)
    if hidden:
        raise Failed(
            f"{users[hidden[0]]} is used by {_numbers(hidden)}, which can't be seen from here: an agent in a container "
            "sees no others; run it on the host itself"
        )
    spared = [one for one in alive if match is not None and match.search(one.command) is None]
    if spared and every:
        raise Refused(f"{users[spared[0].pid]} is used by {described(spared)}, which `match` leaves alone")
    wanted = [one.pid for one in alive if one not in spared]
    family = sorted(seen.tree(wanted) - seen.ours - {INIT} - {one.pid for one in spared})
    living = [seen.by_pid[pid] for pid in family if not seen.by_pid[pid].zombie]
    if every and len(permitted(host, living)) < len(living):
        others = [one for one in living if one not in permitted(host, living)]
        raise Failed(f"{described(others)} run as another user than the agent: set `become: true`")
    return [Target(one.pid, one.started, shortened(one)) for one in permitted(host, living)]


def holders(minors: Sequence[int], proc: str = "/proc") -> Dict[int, str]:
    """Return the processes that have the devices of these GPUs open, with their names; those that can be seen."""
    wanted = {f"/dev/nvidia{minor}" for minor in minors}
    found: Dict[int, str] = {}
    for name in os.listdir(proc):
        with suppress(OSError):
            if name.isdigit() and any(
                os.readlink(f"{proc}/{name}/fd/{descriptor}") in wanted
                for descriptor in os.listdir(f"{proc}/{name}/fd")
            ):
                with open(f"{proc}/{name}/comm", encoding="utf-8", errors="replace") as comm:
                    found[int(name)] = comm.readline().strip()
    return found


def _not_ours(seen: Table, alive: Sequence[Process], users: Mapping[int, str]) -> None:
    own = next((one for one in alive if one.pid in seen.ours), None)
    if own is not None:
        raise Refused(f"{users[own.pid]} is used by {described([own])}, which this step runs under")


def _numbers(found: Sequence[int]) -> str:
    return f"process{'es' if len(found) > 1 else ''} {', '.join(map(str, found))}"
