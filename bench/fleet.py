"""Fifty hosts behind real sshds: what one pass costs beside ansible-playbook's and pyinfra's, and what a kept pool costs.

All of them look at the disk, the memory, a log of 10 MB and a marker, and take a step on the ten hosts that are marked.
The hosts share this machine's cores with their controller, so that the processor time of the controller alone is the
fairer figure; that of sshd and of what runs on the hosts is not in it.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import measure

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "system"))

if TYPE_CHECKING:
    from sshds import Sshds

NEEDS_ANSIBLE = True
HOSTS = 50
MARKED = 10
PYINFRA = str(Path(measure.ANSIBLE).with_name("pyinfra"))
COLD, WARM, LOOK = "runbook apply, nothing there before", "runbook apply, again", "pyinfra"
ANSIBLE_COLD, ANSIBLE_WARM = "ansible-playbook, no connection", "ansible-playbook, connections kept"
_LINE = "2026-01-31T12:00:00Z step 1234 loss 0.1234 lr 3e-5 tokens/s 51234 memory 71.2 GB\n"
_LIMIT = 300  # seconds for one run


@dataclass(frozen=True)
class Cost:
    """What one run took, in seconds: on the clock, and of processor time by the controller and its children."""

    wall: float
    busy: float


@dataclass
class Costs:
    """The runs of each program."""

    of: dict[str, list[Cost]] = field(default_factory=dict)

    def wall(self, name: str) -> float:
        """Return the median."""
        return statistics.median(cost.wall for cost in self.of[name])

    def lines(self) -> tuple[str, ...]:
        """Say it for people."""
        return tuple(
            f"{name}: {self.wall(name):.2f} s ({min(each.wall for each in costs):.2f} to"
            f" {max(each.wall for each in costs):.2f}), controller's processor time"
            f" {statistics.median(each.busy for each in costs):.2f} s, {len(costs)} runs"
            for name, costs in self.of.items()
        )


def results(rounds: int) -> list[measure.Result]:
    """Measure; Ansible runs twice, whatever `rounds` says."""
    import sshds

    if lacks := sshds.lacking():
        sys.exit(f"fleet: {lacks}")
    with (
        tempfile.TemporaryDirectory(prefix="runbook-bench-") as folder,
        sshds.running(Path(folder, "s"), HOSTS) as hosts,
    ):
        fleet = Fleet(Path(folder), hosts)
        costs = fleet.measured(max(3, rounds // 3))
        kept = fleet.kept(rounds)
    warm_limit = costs.wall(ANSIBLE_WARM)
    lines = costs.lines()
    return [
        measure.Result(
            "cold apply against ansible-playbook", costs.wall(COLD) / costs.wall(ANSIBLE_COLD), 1 / 12, "x", lines
        ),
        measure.Result("cold apply against pyinfra", costs.wall(COLD) / costs.wall(LOOK), 1.0, "x"),
        measure.Result(
            "warm tick against ansible-playbook's second run", kept["tick_wall"] / warm_limit * 1000, 1.0, "‰"
        ),
        measure.Result(
            "processor time of the controller for a warm tick, a host", kept["tick_busy"] / HOSTS * 1000, 0.2, "ms"
        ),
        measure.Result("processor time of an idle connection, a second", kept["idle_busy"] * 1e6 / HOSTS, 20.0, "µs"),
        measure.Result("memory of a kept connection", kept["memory"] / HOSTS / 1e6, 0.5, "MB"),
    ]


class Fleet:
    """The hosts, and what each program needs to know of them."""

    def __init__(self, folder: Path, hosts: Sshds) -> None:
        self.folder = folder
        self.hosts = hosts
        log = folder / "train.log"
        log.write_text(_LINE * (10_000_000 // len(_LINE)))
        for host in hosts.values():
            self.root(host.name).mkdir()
            os.link(log, self.root(host.name) / "train.log")  # the same pages: a host's disk is not what is measured
        self.inventory = folder / "inventory.yaml"
        options = f"-o UserKnownHostsFile={hosts.known_hosts} -o IdentitiesOnly=yes -o IdentityAgent=none"
        # JSON is YAML
        self.inventory.write_text(json.dumps({"all": {
            "vars": {"ansible_user": "root", "ansible_ssh_private_key_file": str(hosts.key), "ansible_ssh_common_args": options,
                     "ansible_python_interpreter": "/usr/bin/python3"},
            "hosts": {host.name: {"ansible_host": host.address, "ansible_port": host.port, "agent_dir": str(host.agent_dir),
                                  "root": str(self.root(host.name))} for host in hosts.values()},
        }}))  # fmt: skip
        self.pyinfra = folder / "inventory.py"
        self.pyinfra.write_text(f"hosts = {[(host.name, self._data(host)) for host in hosts.values()]!r}\n")

    def root(self, name: str) -> Path:
        """Return where a host's things lie."""
        return self.hosts.directory / name / "root"

    def measured(self, rounds: int) -> Costs:
        """Run them all in turn."""
        costs = Costs()
        for number in range(rounds):
            self._run(costs, COLD, self._ours(), fresh=True)
            self._run(costs, WARM, self._ours())
            self._run(costs, LOOK, [PYINFRA, "-y", str(self.pyinfra), str(measure.DATA / "fleet_pyinfra.py")])
            if number < 1:
                theirs = [measure.ANSIBLE, "-f", str(HOSTS), "-i", str(self.inventory), str(measure.DATA / "fleet.yml")]
                self._run(costs, ANSIBLE_COLD, theirs)
                self._run(costs, ANSIBLE_WARM, theirs)
        return costs

    def kept(self, rounds: int) -> dict[str, float]:
        """Return what connections that stay cost, measured in a process of their own."""
        program = [sys.executable, str(measure.HERE / "fleet_kept.py"), str(self.inventory), str(rounds)]
        done = subprocess.run(program, capture_output=True, text=True, timeout=_LIMIT, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(program)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        found: dict[str, float] = json.loads(done.stdout)
        return found

    def _ours(self) -> list[str]:
        return [measure.RUNBOOK, "apply", str(measure.DATA / "fleet.yaml"), "-i", str(self.inventory)]

    def _data(self, host: object) -> dict[str, object]:
        about = {"ssh_hostname": host.address, "ssh_port": host.port, "ssh_user": "root", "ssh_key": str(self.hosts.key),
                 "ssh_known_hosts_file": str(self.hosts.known_hosts), "ssh_allow_agent": False, "root": str(self.root(host.name))}  # fmt: skip
        return about

    def _run(self, costs: Costs, name: str, argv: list[str], *, fresh: bool = False) -> None:
        for number, host in enumerate(self.hosts):
            (self.root(host) / "done").unlink(missing_ok=True)
            if number < MARKED:
                (self.root(host) / "marker").touch()
        if fresh:
            for host in self.hosts.values():
                shutil.rmtree(host.agent_dir, ignore_errors=True)
            for file in self.folder.glob("journal*"):
                file.unlink()
        environment = {
            "RUNBOOK_JOURNAL": str(self.folder / "journal.db"),
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_HOST_KEY_CHECKING": "true",
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=60s",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"),
        }
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(argv, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=_LIMIT, check=False, cwd=self.folder)  # fmt: skip
        wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        taken = [host for host in self.hosts if (self.root(host) / "done").exists()]
        if done.returncode or taken != list(self.hosts)[:MARKED]:
            sys.exit(
                f"{' '.join(argv)} ended with {done.returncode}, steps taken on {taken}:\n{done.stdout}{done.stderr}"
            )
        costs.of.setdefault(name, []).append(Cost(wall, busy))


if __name__ == "__main__":
    for result in results(int(sys.argv[1]) if len(sys.argv) > 1 else 10):
        print(result)
