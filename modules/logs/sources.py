"""The sources of one `log` probe: files, the journal, the kernel, containers; one that fails silences no other."""

import time
from typing import Any, Callable, Dict, List, Mapping, Sequence, Union

from runbook.modules.declare import Absent, Unclear
from runbook.modules.host import Host
from runbook.modules.logs import tail as files
from runbook.modules.logs.beginning import parsed
from runbook.modules.logs.patterns import Pattern
from runbook.modules.logs.room import Line, Room
from runbook.modules.logs.tail import Tail

_OWN = ("journal", "kernel", "docker")  # sources that keep what they know under their name; files keep theirs plainly
_SUMS = ("behind", "passed_over")


class Sources:
    """What is new in them in one look."""

    def __init__(self, host: Host, patterns: Sequence[Pattern], begin: str) -> None:
        self._host = host
        self._patterns = patterns
        self._begin = parsed(begin)
        self._room = Room(until=time.monotonic() + files.BUDGET)
        self._kept: Dict[str, Any] = {name: host.remembered[name] for name in _OWN if name in host.remembered}
        self._said: Dict[str, Any] = {"behind": 0}
        self._absent: List[str] = []
        self._unclear: List[str] = []
        self._nothing: List[str] = []
        self._asked = 0

    def new(
        self,
        paths: Sequence[str],
        journal: Union[bool, Mapping[Any, Any]],
        containers: Sequence[str],
        *,
        kernel: bool,
    ) -> List[Line]:
        """Return the lines that match.

        Raises:
            Absent: the host has none of the sources.
            Unclear: none of them could be read.
        """
        lines: List[Line] = []
        if paths:
            lines += self._try(lambda: self._files(paths))
        if journal:
            lines += self._try(lambda: self._journal({} if journal is True else journal))
        if kernel:
            lines += self._try(self._kernel)
        if containers:
            lines += self._try(lambda: self._docker(containers))
        failed = [*self._unclear, *self._absent]
        if len(failed) == self._asked:
            raise Unclear("; ".join(self._unclear)) if self._unclear else Absent("; ".join(self._absent))
        self._tell(self._unclear)
        return lines

    def keep(self) -> Dict[str, Any]:
        """Return what the next look has to be given."""
        nothing = {"nothing": "; ".join(self._nothing)} if self._nothing and len(self._nothing) == self._asked else {}
        return {**self._kept, **self._said, **nothing}

    def _try(self, look: Callable[[], List[Line]]) -> List[Line]:
        self._asked += 1
        try:
            return look()
        except Absent as error:
            self._absent.append(str(error))
        except Unclear as error:
            self._unclear.append(str(error))
        return []

    def _files(self, paths: Sequence[str]) -> List[Line]:
        own = {name: value for name, value in self._host.remembered.items() if name not in _OWN}
        try:
            tail = Tail(own, self._patterns, self._host.now(), self._room)
            lines = tail.new(paths, self._begin)
        except Unclear:
            self._kept.update({name: own[name] for name in own if name not in (*_SUMS, "trouble", "nothing")})
            raise
        self._kept.update(self._said_by(tail.keep()))
        return lines

    def _docker(self, containers: Sequence[str]) -> List[Line]:
        from runbook.modules.logs.containers import listing

        tail = Tail(self._kept.get("docker", {}), self._patterns, self._host.now(), self._room)
        asking = listing(self._host)
        lines = [
            Line(name, None, line.hit, line.time)
            for name in dict.fromkeys(containers)
            for line in tail.new([name], self._begin, asking)
        ]
        self._kept["docker"] = self._said_by(tail.keep())
        return lines

    def _journal(self, wanted: Mapping[str, Any]) -> List[Line]:
        from runbook.modules.logs.journal import Journal

        kept = self._kept.get("journal", {})
        return self._entries("journal", Journal(kept, self._host, wanted, self._begin))

    def _kernel(self) -> List[Line]:
        from runbook.modules.logs.kernel import Kernel

        return self._entries("kernel", Kernel(self._kept.get("kernel", {}), self._host, self._begin))

    def _entries(self, name: str, source: Any) -> List[Line]:
        from runbook.modules.logs.entries import Entries

        recent = self._kept.get(name, {}).get("recent")
        entries = source.new()
        known = Entries(name, self._patterns, recent, self._room, self._host.now())
        taken = known.take(entries, source.new)
        kept = source.keep(taken.entries)
        self._kept[name] = {**kept, **({"recent": taken.recent} if taken.recent else {})}
        if taken.passed_over:
            self._said["passed_over"] = self._said.get("passed_over", 0) + len(taken.passed_over)
            slow = ", ".join(f"`{pattern}`" for pattern in sorted(set(taken.passed_over))[:3])
            self._tell([f"{name}: {len(taken.passed_over)} messages were passed over that took {slow} too long"])
        self._tell([source.trouble] if source.trouble else [])
        self._said["behind"] += source.behind + (len(entries) - taken.entries if not self._room.holds else 0)
        return list(taken.lines)

    def _said_by(self, kept: Dict[str, Any]) -> Dict[str, Any]:
        """Take what is said of the look as a whole out of what one source keeps."""
        for name in _SUMS:
            if name in kept:
                self._said[name] = self._said.get(name, 0) + kept.pop(name)
        if "nothing" in kept:
            self._nothing.append(kept.pop("nothing"))
        self._tell([kept.pop("trouble")] if "trouble" in kept else [])
        return kept

    def _tell(self, troubles: Sequence[str]) -> None:
        if troubles:
            self._said["trouble"] = "; ".join([*filter(None, [self._said.get("trouble")]), *troubles])
