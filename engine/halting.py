"""Hosts a batch at a time (`serial`), and no further where too many of them fail (`max_fail_percentage`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbook.engine.journal.facts import Fact
    from runbook.engine.model import Runbook

_FAILED: Final = {"incident.ended": "unhealed", "operation.ended": "failed"}  # kinds of facts, and the state in them


class Halting:
    """Says when nothing new may be begun.

    Args:
        runbook: whose.
        deadline: seconds since the epoch, after which the run ends; None = whenever it is done.
    """

    def __init__(self, runbook: Runbook, deadline: float | None = None) -> None:
        self._deadline = deadline
        self._serial = runbook.serial
        self._most = runbook.max_fail_percentage
        self._batch: Sequence[str] = ()
        self._failed: dict[str, str] = {}  # by host: why it counts as failed

    def batches(self, hosts: Sequence[str]) -> Iterator[Sequence[str]]:
        """Yield the hosts as `serial` parts them: all at once where it says nothing.

        Example:
            >>> from runbook.engine.model import Runbook
            >>> [len(batch) for batch in Halting(Runbook("a", "", serial=(1, "50%"))).batches(list("abcdefg"))]
            [1, 3, 3]
        """
        sizes, place = [_size(each, len(hosts)) for each in self._serial] or [len(hosts)], 0
        while place < len(hosts):
            size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
            yield hosts[place : place + size]
            place += size

    def begin(self, batch: Sequence[str]) -> None:
        """Count anew."""
        self._batch, self._failed = batch, {}

    def spent(self) -> str:
        """Return that every host of a batch has failed, so that no further one is begun; as Ansible has it."""
        whole = bool(self._serial and self._batch) and all(host in self._failed for host in self._batch)
        return "every host of a batch of `serial` failed" if whole else ""

    def late(self, now: float) -> str:
        """Return that the time for the run is over, if it is; once."""
        if self._deadline is None or now < self._deadline:
            return ""
        self._deadline = None
        return "its --deadline is over"

    def hear(self, fact: Fact) -> str:
        """Take in what happened; return why nothing new may be begun, or nothing."""
        if fact.kind == "host.unreachable":
            self._failed[fact.host] = "unreachable"
        elif fact.kind == "host.reached" and self._failed.get(fact.host) == "unreachable":
            del self._failed[fact.host]
        elif fact.data.get("to" if fact.kind == "incident.ended" else "state") == _FAILED.get(fact.kind, ""):
            self._failed[fact.host] = _FAILED[fact.kind]
        else:
            return ""
        failed = [host for host in self._batch if host in self._failed]
        if self._most is None or not self._batch or len(failed) * 100 <= self._most * len(self._batch):
            return ""
        share = f"{len(failed)} of {len(self._batch)} hosts failed"
        return f"{share}, more than the {self._most:g} % of max_fail_percentage"


def _size(given: str | int, hosts: int) -> int:
    """Return how many hosts a batch has; a share is rounded down, and at least 1."""
    if isinstance(given, str) and given.endswith("%"):
        return max(1, int(float(given.removesuffix("%")) * hosts / 100))
    return max(1, int(given))
