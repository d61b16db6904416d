"""The processes of one moment as a tree, and which of them nobody may count or kill: our own."""

import re
from typing import Dict, FrozenSet, Iterable, List, Mapping, Optional, Pattern, Sequence, Set

from runbook.modules import cut
from runbook.modules.declare import Failed, Invalid
from runbook.modules.frozen import frozen
from runbook.modules.host import Host, Process

INIT = 1


@frozen
class Table:
    """The processes of one moment."""

    by_pid: Mapping[int, Process]
    children: Mapping[int, Sequence[int]]
    ours: FrozenSet[int]  # the agent, its parents and its forks

    def ancestors(self, pid: int) -> List[int]:
        """Return the parents of a process, the nearest first, without init."""
        found: List[int] = []
        process = self.by_pid.get(pid)
        while process is not None and process.parent > INIT and process.parent not in found:
            found.append(process.parent)
            process = self.by_pid.get(process.parent)
        return found

    def tree(self, pids: Iterable[int]) -> Set[int]:
        """Return processes with all that descend from them."""
        found: Set[int] = set()
        waiting = list(pids)
        while waiting:
            pid = waiting.pop()
            if pid not in found:
                found.add(pid)
                waiting.extend(self.children.get(pid, ()))
        return found

    def session(self, leader: int) -> Set[int]:
        """Return the processes of a session; its number stays taken while one of them lives."""
        return {process.pid for process in self.by_pid.values() if process.session == leader}

    def strangers(self) -> List[Process]:
        """Return all but our own processes and the kernel's."""
        return [process for process in self.by_pid.values() if process.pid not in self.ours and not process.kernel]

    def matching(self, pattern: "Pattern[str]") -> List[Process]:
        """Return the living processes, none of ours, whose command line matches."""
        return [found for found in self.strangers() if not found.zombie and pattern.search(found.command)]


def table(host: Host, *, anew: bool = False) -> Table:
    """Look at every process; `anew`, where one that was just named must be among them."""
    found = host.processes(anew=anew)
    at, made = (host.moment or {}).get("tree", (None, None))
    if at is not found or made is None:
        made = _table(found, host.pid())
        if host.moment is not None:
            host.moment["tree"] = found, made
    known: Table = made
    return known


def _table(processes: Sequence[Process], own: int) -> Table:
    by_pid = {process.pid: process for process in processes}
    children: Dict[int, List[int]] = {}
    for process in by_pid.values():
        children.setdefault(process.parent, []).append(process.pid)
    partial = Table(by_pid, children, frozenset())
    return Table(by_pid, children, frozenset(_ours(own, partial)))


def pattern(text: str, parameter: str = "match") -> "Pattern[str]":
    """Compile a regex of the runbook.

    Raises:
        Invalid: it is none; the message says where.
    """
    try:
        return re.compile(text)
    except re.error as error:
        place = "" if error.pos is None else f" at character {error.pos + 1}"
        raise Invalid(f"`{parameter}` is no regular expression: {error.msg}{place}") from error


def permitted(host: Host, processes: Sequence[Process]) -> Sequence[Process]:
    """Return those that we may signal: all of them as root, else our own user's.

    Raises:
        Failed: there are some, and all belong to others.
    """
    allowed = [process for process in processes if host.uid() in {0, process.uid}]
    if processes and not allowed:
        raise Failed(
            f"{described(processes)} {'runs' if len(processes) == 1 else 'run'} as uid {processes[0].uid}, "
            f"and the agent as uid {host.uid()}: set `become: true`"
        )
    return allowed


def described(processes: Sequence[Process], most: int = 3) -> str:
    """Name processes for a person: `812 (python serve.py), 813 (…) and 4 more`."""
    named = [f"{process.pid} ({shortened(process)})" for process in processes[:most]]
    more = f" and {len(processes) - most} more" if len(processes) > most else ""
    return f"process{'es' if len(processes) != 1 else ''} {', '.join(named)}{more}"


def shortened(process: Process, width: int = 60) -> str:
    """Return the command line, cut to a readable length, and never within a word: it may be half a password."""
    if len(process.command) <= width:
        return process.command
    return f"{cut.start(process.command, width - 1) or process.name}…"


def _ours(own: int, table: Table) -> Set[int]:
    """Return the looking process, its ancestors, and the other forks of the agent, which share its command line."""
    ancestors = table.ancestors(own)
    found = {own, INIT, *ancestors}
    looking: Optional[Process] = table.by_pid.get(own)
    if looking is not None and looking.parent in ancestors:
        siblings = (table.by_pid[pid] for pid in table.children.get(looking.parent, ()))
        found |= {process.pid for process in siblings if process.argv == looking.argv}
    return found
