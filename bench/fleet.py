"""Fifty hosts behind real sshds: one pass beside ansible-playbook's and pyinfra's, and what connections cost that stay.

All of them look at the disk, the memory, a log of 10 MB and a marker, and take a step on the ten hosts that are marked.
The hosts share this machine's cores with their controller, so that the processor time of the controller alone is the
fairer figure; that of sshd and of what runs on the hosts is not in it.
"""

from __future__ import annotations

import contextlib
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
from typing import TYPE_CHECKING, Any

import measure

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "system"))

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sshds import Sshd, Sshds

NEEDS_ANSIBLE = True
HOSTS = 50
MARKED = 10
FLAT = 1.25
PYINFRA = str(Path(measure.ANSIBLE).with_name("pyinfra"))
COLD, WARM, LOOK = "runbook apply, nothing there before", "runbook apply, again", "pyinfra"
ANSIBLE_COLD, ANSIBLE_WARM = "ansible-playbook, no connection", "ansible-playbook, connections kept"
_LINE = "2026-01-31T12:00:00Z step 1234 loss 0.1234 lr 3e-5 tokens/s 51234 memory 71.2 GB\n"
_LIMIT = 300  # seconds for one run
_REST = 1.0  # seconds for what runs on the hosts to end
_GROUP = Path("/sys/fs/cgroup/cpuacct/runbook-bench")


@dataclass(frozen=True)
class Cost:
    """What one run took, in seconds: on the clock, of processor time by the controller and its children, and of all."""

    wall: float
    busy: float
    all: float  # with what ran on the hosts; 0 where the kernel can't be asked


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
            f" {statistics.median(each.busy for each in costs):.2f} s, with the hosts'"
            f" {statistics.median(each.all for each in costs):.2f} s, {len(costs)} runs"
            for name, costs in self.of.items()
        )


def results(rounds: int) -> list[measure.Result]:
    """Measure; Ansible runs twice, and each number of made-up hosts once, whatever `rounds` says."""
    import sshds

    if lacks := sshds.lacking():
        sys.exit(f"fleet: {lacks}")
    with (
        _accounted() as account,
        tempfile.TemporaryDirectory(prefix="runbook-bench-") as folder,
        sshds.running(Path(folder, "s"), HOSTS) as hosts,
    ):
        fleet = Fleet(Path(folder), hosts, account)
        costs = fleet.measured(max(3, rounds // 3))
        kept = _other("fleet_kept.py", str(fleet.inventory), str(rounds))
    made_up = _other("fleet_simulated.py")
    few, most = min(made_up, key=int), max(made_up, key=int)
    ansible, again = costs.wall(ANSIBLE_COLD), costs.wall(ANSIBLE_WARM)
    cold, kinds = costs.wall(COLD), costs.lines()
    ticks = (f"a tick of {HOSTS} hosts: {kept['tick_wall'] * 1000:.1f} ms (fastest {kept['tick_best'] * 1000:.1f})",)
    sizes = tuple(
        f"{size} hosts, each: pass {each['pass'] * 1000:.2f} ms, tick {each['tick'] * 1e6:.0f} µs"
        for size, each in made_up.items()
    )
    flat = made_up[most]["pass"] / made_up[few]["pass"]
    return [
        measure.Result("cold apply against ansible-playbook", cold / ansible, 1 / 12, "x", kinds),
        measure.Result("cold apply against pyinfra", cold / costs.wall(LOOK), 1.0, "x"),
        measure.Result("warm tick against ansible-playbook again", kept["tick_wall"] / again * 1000, 1.0, "‰", ticks),
        measure.Result("controller, processor time of a warm tick a host", kept["tick_busy"] / HOSTS * 1000, 0.2, "ms"),
        measure.Result("an idle connection, processor time a second", kept["idle_busy"] / HOSTS * 1e6, 20.0, "µs"),
        measure.Result("a kept connection, memory", kept["memory"] / HOSTS / 1e6, 0.5, "MB"),
        measure.Result(f"a host's share of a pass, {most} hosts against {few}", flat, FLAT, "x", sizes),
    ]


class Fleet:
    """The hosts, and what each program needs to know of them."""

    def __init__(self, folder: Path, hosts: Sshds, account: Account) -> None:
        self._account = account
        self.folder = folder
        self.hosts = hosts
        log = folder / "train.log"
        log.write_text(_LINE * (10_000_000 // len(_LINE)))
        for host in hosts.values():
            self.root(host.name).mkdir()
            os.link(log, self.root(host.name) / "train.log")  # the same pages: a host's disk is not what is measured
        self.inventory = folder / "inventory.yaml"
        common = {
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(hosts.key),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={hosts.known_hosts} -o IdentitiesOnly=yes"
            " -o IdentityAgent=none",
            "ansible_python_interpreter": "/usr/bin/python3",  # spares it the search
        }
        known = {name: self._known(host) for name, host in hosts.items()}
        self.inventory.write_text(json.dumps({"all": {"vars": common, "hosts": known}}))  # JSON is YAML
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

    def _ours(self) -> list[str]:
        return [measure.RUNBOOK, "apply", str(measure.DATA / "fleet.yaml"), "-i", str(self.inventory)]

    def _known(self, host: Sshd) -> dict[str, object]:
        """Return what Ansible's inventory says of a host."""
        return {
            "ansible_host": host.address,
            "ansible_port": host.port,
            "runbook_agent_dir": str(host.agent_dir),  # as under its own name no setting of Ansible is meant
            "root": str(self.root(host.name)),
        }

    def _data(self, host: Sshd) -> dict[str, object]:
        """Return what pyinfra's inventory says of a host."""
        return {
            "ssh_hostname": host.address,
            "ssh_port": host.port,
            "ssh_user": "root",
            "ssh_key": str(self.hosts.key),
            "ssh_known_hosts_file": str(self.hosts.known_hosts),
            "ssh_allow_agent": False,
            "root": str(self.root(host.name)),
        }

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
        known = {**os.environ, **environment}
        known.pop("PYTHONDONTWRITEBYTECODE", None)  # all of them have their bytecode, as what is installed has
        before, begun, spent = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), self._account.spent()
        done = subprocess.run(
            argv,
            env=known,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
            cwd=self.folder,
        )
        wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        taken = [host for host in self.hosts if (self.root(host) / "done").exists()]
        if done.returncode or taken != list(self.hosts)[:MARKED]:
            sys.exit(
                f"{' '.join(argv)} ended with {done.returncode}, steps taken on {taken}:\n{done.stdout}{done.stderr}"
            )
        time.sleep(_REST)
        costs.of.setdefault(name, []).append(Cost(wall, busy, self._account.spent() - spent))


class Account:
    """The processor time of this process and all that it starts, hosts included: on a busy machine it says more."""

    def __init__(self, group: Path | None) -> None:
        self._group = group

    def spent(self) -> float:
        """Return it, in seconds; 0 where the kernel can't be asked."""
        return 0.0 if self._group is None else int((self._group / "cpuacct.usage").read_text()) / 1e9


@contextlib.contextmanager
def _accounted() -> Iterator[Account]:
    """Run what is within in a control group of its own, where there are such."""
    try:
        _GROUP.mkdir(exist_ok=True)
        (_GROUP / "cgroup.procs").write_text(str(os.getpid()))
    except OSError:
        yield Account(None)
        return
    try:
        yield Account(_GROUP)
    finally:
        (_GROUP.parent / "cgroup.procs").write_text(str(os.getpid()))
        with contextlib.suppress(OSError):
            _GROUP.rmdir()


def _other(program: str, *words: str) -> dict[str, Any]:
    """Return what is measured in a process of its own."""
    argv = [sys.executable, str(measure.HERE / program), *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_LIMIT, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    for result in results(int(sys.argv[1]) if len(sys.argv) > 1 else 10):
        print(result)
