"""Connections that stay, in a process of their own, which `fleet.py` starts with an inventory and a number of ticks.

A tick is what a healthy host costs: one question with four looks, and the answer taken apart.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook.engine.cli import COLLECTIONS
from runbook.engine.fleet import Spec, messages
from runbook.engine.fleet.asker import Asker
from runbook.engine.fleet.connection import Gone
from runbook.engine.fleet.dial import dial
from runbook.engine.fleet.hosts import Hosts
from runbook.engine.fleet.target import Options, target
from runbook.engine.inventory.inventory import load
from runbook.engine.language import params as parameters
from runbook.engine.model import Seen
from runbook.modules import catalogue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.model import Look

IDLE = 10.0  # seconds
_PAUSE = 0.2  # seconds between two ticks, in which the hosts come to rest


class Kept:
    """The connections, and what each host is asked."""

    def __init__(self, hosts: Hosts, roots: Mapping[str, str]) -> None:
        self._hosts = hosts
        self._specs = {name: _specs(root) for name, root in roots.items()}

    def tick(self, names: list[str]) -> None:
        """Look at these hosts once; end the program where one is not seen."""
        asked = {self._hosts.send(name, messages.probe(self._specs[name])): name for name in names}
        while asked:
            for ticket, answer in self._hosts.receive(60.0):
                name = asked.pop(ticket)
                if isinstance(answer, Gone):
                    sys.exit(f"{name}: {answer.reason}")
                self._specs[name] = _next(name, self._specs[name], self._hosts.looks(answer))


def _specs(root: str) -> list[Spec]:
    log = {"paths": (f"{root}/train.log",), "patterns": {"oom": "CUDA out of memory", "nccl": "NCCL WARN"}}
    asked: dict[str, tuple[str, dict[str, Any]]] = {
        "disk": ("health", {"path": "/"}),
        "memory": ("health", {}),
        "log": ("log", {**log, "from": "start"}),
        "marked": ("file", {"path": f"{root}/marker"}),
    }
    return [
        Spec(name, probe, parameters.coerce(catalogue.probe(probe), params)) for name, (probe, params) in asked.items()
    ]


def _next(name: str, specs: list[Spec], looks: Mapping[str, Look]) -> list[Spec]:
    """Return what to ask next time, which goes on where these looks ended."""
    found = []
    for spec in specs:
        look = looks[spec.id]
        if not isinstance(look, Seen):
            sys.exit(f"{name}: {spec.id}: {look}")
        known = spec.deadline, spec.python, spec.listen
        found.append(spec if look.state == spec.state else Spec(spec.id, spec.probe, spec.params, look.state, *known))
    return found


def main(inventory: str, rounds: int) -> dict[str, float]:
    """Measure; times are in seconds and for all hosts together."""
    gc.set_threshold(*COLLECTIONS)
    known = load([inventory]).hosts
    targets = {name: target(host, Options()) for name, host in known.items()}
    names = list(known)
    asker = Asker()
    with Hosts(lambda name: dial(targets[name], asker)) as hosts:
        kept = Kept(hosts, {name: str(host.vars["root"]) for name, host in known.items()})
        kept.tick(names[:1])  # what the first connection imports is not the others' memory
        first = _resident()
        kept.tick(names)
        memory = (_resident() - first) / (len(names) - 1)
        walls, busy = [], []
        for number in range(rounds + 2):
            time.sleep(_PAUSE)
            before, begun = time.process_time(), time.perf_counter()
            kept.tick(names)
            if number > 1:  # agents that have looked but once or twice still import
                walls.append(time.perf_counter() - begun)
                busy.append(time.process_time() - before)
        before = time.process_time()
        time.sleep(IDLE)
        idle = (time.process_time() - before) / IDLE
        threads = threading.active_count()
    return {
        "tick_wall": statistics.median(walls),
        "tick_best": min(walls),
        "tick_busy": statistics.median(busy),
        "idle_busy": idle,
        "memory": memory * len(names),
        "threads": threads,
    }


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
