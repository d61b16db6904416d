"""The probe `process`."""

import os
import pwd
from typing import TYPE_CHECKING, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from runbook.modules.daemons.processes import Table, pattern, table
from runbook.modules.declare import Absent, Duration, Invalid, Percent, Probe, Record, Regex, Size
from runbook.modules.frozen import frozen
from runbook.modules.host import Host
from runbook.modules.host import Process as Seen

if TYPE_CHECKING:
    from runbook.modules.listening.sources import Source

_SAMPLE = 0.2  # seconds between two samples at a first look
_FRESH = 1.0  # seconds; a kept sample younger than this says too little
_MOST = 2000  # processes whose sample is kept
_TICKS = os.sysconf("SC_CLK_TCK")


@frozen
class ProcessRecord(Record):
    """The processes that match, as a whole."""

    count: int  # how many live
    pids: Tuple[int, ...]  # their pids
    rss: Size  # their resident memory together; what they share is counted for each
    cpu_percent: Percent  # since the last look, 100 = one core; at a first look of a short sample
    oldest_age: Optional[Duration]  # since the start of the one that runs longest
    zombies: int  # dead ones whose parent takes no note: children of those that match, or of the name
    uninterruptible: int  # those that wait for a disk, a network file system or a driver (state D)


@frozen
class Process(Probe):
    """Count the processes whose command line matches, and add up what they take.

    The agent itself and its parents are never counted.

    Example:
        - process: 'train[.]py'
          when: count == 0
        - process: {name: vllm, user: llm}
          when: zombies > 0 or uninterruptible > 0
    """

    record = ProcessRecord

    match: Optional[Regex] = None  # a regular expression, searched for in the command line
    name: Optional[str] = None  # the program's name: its file, or what the kernel calls it
    user: Optional[str] = None  # only processes of this user, by name or number

    def check(self) -> None:
        """Something to look for."""
        if self.match is None and self.name is None and self.user is None:
            raise Invalid("nothing to look for: write `match`, `name` or `user`")
        if self.match is not None:
            pattern(self.match)

    def look(self, host: Host) -> Iterator[ProcessRecord]:
        """Count them; compare their CPU time with that of the last look."""
        uid = _uid(self.user) if self.user is not None else None
        seen = table(host)
        found = [one for one in self._chosen(seen, uid) if not one.zombie]
        yield ProcessRecord(
            count=len(found),
            pids=tuple(one.pid for one in found),
            rss=sum(one.rss for one in found),
            cpu_percent=_cpu_percent(host, found),
            oldest_age=_age(host, found),
            zombies=len(self._zombies(seen, found, uid)),
            uninterruptible=sum(one.state == "D" for one in found),
        )

    def sources(self, host: Host, records: "Sequence[Record]") -> "Iterator[Source]":
        """Hear of the ends of those that live; one that begins is seen at the next look."""
        from runbook.modules.listening import sources

        pids = {pid for record in records if isinstance(record, ProcessRecord) for pid in record.pids}
        if pids:
            by_pid = table(host).by_pid
            for pid in pids & by_pid.keys():
                yield sources.process(pid, by_pid[pid].started)

    def _chosen(self, seen: Table, uid: Optional[int]) -> List[Seen]:
        regex = pattern(self.match) if self.match is not None else None
        return [
            one
            for one in seen.strangers()
            if (regex is None or regex.search(one.command))
            and (self.name is None or _named(one, self.name))
            and (uid is None or one.uid == uid)
        ]

    def _zombies(self, seen: Table, found: Sequence[Seen], uid: Optional[int]) -> Sequence[int]:
        """A zombie has no command line any more: its parent or its name tells whose it is."""
        parents = {one.pid for one in found}
        chosen = {one.pid for one in self._chosen(seen, uid) if one.zombie}
        children = {one.pid for one in seen.strangers() if one.zombie and one.parent in parents}
        return sorted(chosen | children)


def _named(process: Seen, name: str) -> bool:
    return name in {process.name, os.path.basename(process.argv[0])} or process.argv[0] == f"[{name[:15]}]"


def _uid(user: str) -> int:
    try:
        return int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid
    except KeyError as error:
        raise Absent(f"there is no user {user} here") from error


def _age(host: Host, found: Sequence[Seen]) -> Optional[float]:
    if not found:
        return None
    return max(0.0, host.now() - host.boot_time() - min(one.started for one in found) / _TICKS)


def _cpu_percent(host: Host, found: Sequence[Seen]) -> float:
    """Compare with the sample that was kept, else with one taken right now; say the same again right after that."""
    now, sample, kept = host.now(), _sample(found), host.remembered
    at, before = float(kept.get("at", now)), kept.get("cpu", {})
    if "percent" in kept and 0 <= now - at < _FRESH:
        host.remember(at=at, cpu=before, percent=kept["percent"])
        return float(kept["percent"]) if found else 0.0
    percent = _percent(before, sample, now - at) if now - at >= _FRESH else _glimpsed(host, found, sample)
    host.remember(at=now, cpu=dict(list(sample.items())[:_MOST]), percent=percent)
    return percent


def _glimpsed(host: Host, found: Sequence[Seen], sample: Mapping[str, float]) -> float:
    """Wait for a moment, and compare with that."""
    if not found:
        return 0.0
    host.pause(_SAMPLE)
    pids = set(sample)
    return _percent(sample, _sample([one for one in host.processes(anew=True) if _key(one) in pids]), _SAMPLE)


def _sample(found: Sequence[Seen]) -> Dict[str, float]:
    return {_key(one): one.cpu_seconds for one in found}


def _key(process: Seen) -> str:
    return f"{process.pid}:{process.started}"


def _percent(before: Mapping[str, float], after: Mapping[str, float], elapsed: float) -> float:
    """CPU seconds a second; a process that was not there before has spent all of its own since."""
    spent = sum(max(0.0, cpu - before.get(key, 0.0)) for key, cpu in after.items())
    return round(100.0 * spent / elapsed, 1)
