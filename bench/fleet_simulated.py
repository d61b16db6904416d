"""Hosts that are made up in this process: what the controller itself costs, from fifty of them to five thousand.

Each has a link that takes what SSH would carry, and answers as an agent does: ready, then a look for each spec.
"""

from __future__ import annotations

import gc
import io
import json
import os
import resource
import select
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import measure

from runbook.engine import intake, start
from runbook.engine.cli import COLLECTIONS
from runbook.engine.fleet import Spec, messages, pack
from runbook.engine.fleet.agent import Agent
from runbook.engine.fleet.hosts import Hosts
from runbook.engine.recover.state import Settings
from runbook.engine.report.reporter import reporter
from runbook.modules import states, wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SIZES = (50, 500, 5000)
_SEEN = {
    "health": {"cpu_percent": 3.0, "memory_available": 2e10, "disk_free": 2e11, "load1": 0.3},
    "file": {"exists": False, "path": "/srv/model/marker"},
}


@dataclass(frozen=True)
class _Host:
    """A host as the inventory tells of it."""

    name: str
    groups: frozenset[str]
    vars: Mapping[str, Any]


class Simulated:
    """A host: its line, its link, and the agent at the other end."""

    stalled = False

    def __init__(self, name: str) -> None:
        self.name = name
        self._event = os.eventfd(0, os.EFD_NONBLOCK)
        self._skip = len(pack.bootstrap())
        self._asked = wire.Reader()
        self._forms = states.Forms()
        self._answers = bytearray(wire.MARK)
        self._hello = False

    def agent(self, user: str | None = None) -> Agent:
        """Start the agent, whoever it is to run as."""
        del user
        return Agent(self.name, self, base=None)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Take requests, and answer them."""
        size = len(data)
        rest = bytes(data[self._skip :])
        self._skip = max(0, self._skip - size)
        for message in self._asked.feed(rest):
            self._say(self._answer(message))
        return size

    def read(self) -> bytes | None:
        """Give the answers."""
        if not self._answers:
            return None
        data = bytes(self._answers)
        self._answers.clear()
        os.eventfd_read(self._event)
        return data

    def words(self) -> bytes | None:
        """Say nothing beside them."""
        return None

    def polled(self) -> dict[int, int]:
        """Wait for the answers."""
        return {self._event: select.POLLIN}

    def ended(self) -> str | None:
        """Go on for ever."""
        return None

    def close(self) -> None:
        """Hang up."""
        if self._event >= 0:
            os.close(self._event)
        self._event = -1

    def _say(self, message: dict[str, Any]) -> None:
        self._answers += wire.encode(message)
        os.eventfd_write(self._event, 1)

    def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        if "hello" in message:
            return {"ready": {"python": "3.11.2", "pid": 1}}
        if message["op"] == "probe":
            return {"seq": message["seq"], "looks": [_look(spec) for spec in self._forms.whole(message)["specs"]]}
        if message["op"] == "run":
            return {"seq": message["seq"], "result": wire.result("done", changed=True)}
        return {"seq": message["seq"], "pong": True, "ours": True}


def _look(spec: dict[str, Any]) -> dict[str, Any]:
    fields = _SEEN.get(spec["probe"])
    records = [] if fields is None else [{"subject": "host", "fields": fields}]
    return {"id": spec["id"], "status": "seen", "records": records, "state": {}, "duration": 0.001}


def ticks(count: int, specs: Sequence[Spec], rounds: int) -> dict[str, float]:
    """Return the processor time of one host, in seconds: to reach it, and of a tick when it is reached."""
    names = [f"s{number}" for number in range(count)]
    with Hosts(Simulated) as hosts:
        taken = []
        for _ in range(rounds + 1):
            begun = time.process_time()
            _tick(hosts, names, specs)
            taken.append((time.process_time() - begun) / count)
    return {"reach": taken[0], "tick": min(taken[1:])}


def _tick(hosts: Hosts, names: Sequence[str], specs: Sequence[Spec]) -> None:
    asked = {hosts.send(name, messages.probe(specs)) for name in names}
    while asked:
        for ticket, answer in hosts.receive(10.0):
            asked.discard(ticket)
            hosts.looks(answer)  # type: ignore[arg-type] -- nobody is ever gone


def passes(count: int) -> float:
    """Return the processor time of one host in a pass over so many healthy ones, in seconds."""
    names = [f"s{number:04d}" for number in range(count)]
    known = [_Host(name, frozenset({"all"}), {"root": "/srv/model"}) for name in names]
    runbook = intake.load(measure.DATA / "fleet.yaml", {}, {"root"})
    with tempfile.TemporaryDirectory(prefix="runbook-bench-") as folder:
        request = start.Request(runbook, "apply", Settings(), journal=f"{folder}/journal.db", hosts=known, size=count)
        session = start.Session(request, connect=lambda: Hosts(Simulated))
        told = reporter("json", io.StringIO())
        begun = time.process_time()
        session.run(told)
        taken = time.process_time() - begun
        report = told.finish()
        session.close(report.exit_code)
    if report.exit_code:
        sys.exit(f"a pass over {count} simulated hosts ended with {report.exit_code}")
    return taken / count


def main() -> int:
    """Print what each size costs."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.set_threshold(*COLLECTIONS)
    specs = [Spec("disk", "health", {"path": "/"}), Spec("memory", "health"), Spec("marked", "file", {"path": "/x"})]
    found = {}
    for size in SIZES:
        gc.collect()
        found[size] = {**ticks(size, specs, 5), "pass": min(passes(size) for _ in range(3 if size < 1000 else 2))}
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
