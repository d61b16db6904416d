"""`runbook watch` through what months bring, in minutes: is a fault missed, is one acted on twice, does anything grow?

At 100 times normal speed: what is written 30 s in a runbook is 300 ms here, an hour 36 s; what no runbook names is
shortened by `soak_watch.py` (the journal forgets each 30 s, and not once a day), down to what hosts and processes
take by themselves (a host that is silent is given up after 15 s as ever, a step runs as long as it runs). The hosts are
directories of this machine with an agent each, over `ansible_connection: local`: two cores carry twenty of them.

    .venv/bin/python bench/soak.py --minutes 15 --seed 7
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soak_world import LOGS, World

from runbook.engine.journal.store import open_journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from soak_world import Fault

HERE: Final = Path(__file__).resolve().parent
FACTOR: Final = 100.0
CALM: Final = 90.0  # seconds in which all is healed at the end, on a machine that many share
SLACK: Final = {
    "memory of the watch, MB": 8,
    "memory of agents, MB": 80,
    "journal, MB": 4,
    "descriptors": 12,
    "threads": 4,
    "processes": 20,
}
GROWTH: Final = 1.25
FORGETS: Final = 180.0  # seconds within which what is too old is forgotten, on a machine that many share
FEW: Final = 50  # events of a kind that are older: runs that go on, and their last words


@dataclass
class Soak:
    """One run.

    Args:
        world: its hosts.
        journal: where the watch writes.
        chance: what is done to the watch, and when.
        rate: faults a second.
        seconds: how long.
    """

    world: World
    journal: Path
    chance: random.Random
    rate: float
    seconds: float
    counts: dict[str, int] = field(default_factory=dict)  # by trouble
    samples: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    watch: subprocess.Popen[bytes] | None = None
    bad: bool = False  # the runbook can't be used just now
    _later: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    _people: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)

    @property
    def kept(self) -> float:
        """For how many seconds the journal keeps what is over; it forgets many times in a run."""
        return max(10.0, self.seconds / 15)

    def start(self) -> None:
        """Begin to watch."""
        root = self.world.root
        words = ["watch", self.world.book, "-i", self.world.inventory, "--journal", self.journal]
        words += ["--retain", f"{self.kept:.0f}s"]
        env = {**os.environ, "RB_SOAK": str(root), "RUNBOOK_AGENT_DIR": str(root / "agent")}
        with (root / "watch.log").open("ab") as log:
            argv = [sys.executable, str(HERE / "soak_watch.py"), *map(str, words)]
            self.watch = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def run(self) -> None:
        """Break things, and trouble the watch, until the time is over; then leave it alone until all is healed."""
        until = self._began + self.seconds
        fault = trouble = sample = person = self._began + 3.0
        while (now := time.monotonic()) < until:
            if now >= fault:
                fault = now + self.chance.expovariate(self.rate)
                self.world.spoil()
            if now >= trouble:
                trouble = now + self.chance.expovariate(1 / 4)
                self.trouble(until - now)
            if now >= sample:
                sample = now + 1.0
                self.sample()
            if now >= person:
                person = now + 2.0
                self.people()
            self.tick(now)
        deadline = time.monotonic() + CALM
        while time.monotonic() < deadline and (self.world.open() or self._later or self.unsettled()):
            self.people()
            for _ in range(10):
                self.tick(time.monotonic())
                time.sleep(0.05)

    def tick(self, now: float) -> None:
        """Do what was put off, and read what steps have written."""
        for each in [one for one in self._later if now >= one[0]]:
            self._later.remove(each)
            each[1]()
        self._people = [one for one in self._people if one.poll() is None]
        self.world.hear()
        assert self.watch is not None
        if self.watch.poll() is not None:
            # what can't be used keeps what is watched, but nothing begins with it
            what = "start refused" if self.bad and self.watch.returncode == 1 else "THE WATCH ENDED BY ITSELF"
            self.counts[what] = self.counts.get(what, 0) + 1
            self.start()
        time.sleep(0.01)

    def trouble(self, rest: float) -> None:
        """Do something to the watch or its agents."""
        quiet = rest > self.seconds / 3  # what lives through the last third is what is compared with the first
        kinds = ["agent killed", "agent stopped", "reload", "bad file", "inventory", "hup", "maintenance"]
        kinds += ["watch killed"] * quiet + ["disk full"] * (quiet and self.journal.parent.is_mount())
        kind = self.chance.choice(kinds)
        self.counts[kind] = self.counts.get(kind, 0) + 1
        assert self.watch is not None
        agents = self.agents()
        world = self.world
        if kind == "watch killed":
            self.watch.kill()
            self.watch.wait()
            self.start()
        elif kind in ("agent killed", "agent stopped") and agents:
            pid = self.chance.choice(agents)
            if kind == "agent killed":
                _signal(pid, signal.SIGKILL)
            else:
                _signal(pid, signal.SIGSTOP)
                self.later(self.chance.choice((0.5, 2.0, 20.0)), lambda: _signal(pid, signal.SIGCONT))
        elif kind == "reload":
            self.bad = False
            world.write_book(f"changed at {time.time()}")
        elif kind == "bad file":
            world.book.write_text(self.chance.choice(("name: [", "name: soak\ndetectors: 7\n", "")))
            self.bad = True
            self.later(1.5, self.mend)
        elif kind == "inventory":
            gone = self.chance.sample(world.names, max(1, len(world.names) // 5))
            world.write_inventory([name for name in world.names if name not in gone])
            self.later(3.0, lambda: world.write_inventory(world.names))
        elif kind == "hup":
            _signal(self.watch.pid, signal.SIGHUP)
        elif kind == "maintenance":
            self.person("maintenance", self.chance.choice(world.names), "--for", "4s", "--reason", "soak")
        elif kind == "disk full":
            fill = self.journal.parent / "fill"
            with fill.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(65536))
            self.later(3.0, lambda: fill.unlink(missing_ok=True))

    def mend(self) -> None:
        """Put a good runbook in the place of the bad one."""
        self.bad = False
        self.world.write_book(f"mended at {time.time()}")

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        """Do something after a while."""
        self._later.append((time.monotonic() + seconds, do))

    def agents(self) -> list[int]:
        """Return the pids of the agents."""
        assert self.watch is not None
        return _children(self.watch.pid)

    def person(self, *words: str) -> None:
        """Say something, as a person does."""
        argv = [sys.executable, "-m", "runbook", *words, "--journal", str(self.journal)]
        quiet = subprocess.DEVNULL
        self._people.append(subprocess.Popen(argv, stdin=quiet, stdout=quiet, stderr=quiet))

    def people(self) -> None:
        """Approve what waits for it, and free what was interrupted."""
        if len(self._people) > 3:
            return
        rows = self.asked("SELECT id, state, host, detector, subject FROM incidents WHERE closed IS NULL")
        waiting = [name for name, state, *_ in rows if state == "waiting"]
        if waiting:
            self.person("approve", *waiting)
        for name, state, *about in rows:
            if state == "interrupted" and len(self._people) < 3:
                self.world.pardon(*about)
                self.counts["released by a person"] = self.counts.get("released by a person", 0) + 1
                self.person("release", name)

    def unsettled(self) -> list[tuple[str, ...]]:
        """Return the incidents that are not over."""
        return self.asked("SELECT host, detector, subject, state FROM incidents WHERE closed IS NULL")

    def asked(self, query: str, *values: float) -> list[tuple[str, ...]]:
        """Ask the journal."""
        with contextlib.suppress(Exception), open_journal(str(self.journal), read_only=True) as journal:
            return [tuple(map(str, row)) for row in journal.ask(query, values)]
        return []

    def sample(self) -> None:
        """Write down what all of it takes."""
        assert self.watch is not None
        agents = self.agents()
        with contextlib.suppress(OSError):
            pid = self.watch.pid
            found = {
                "memory of the watch, MB": _status(pid, "VmRSS") / 1024,
                "threads": _status(pid, "Threads"),
                "descriptors": float(len(os.listdir(f"/proc/{pid}/fd"))),  # noqa: PTH208 -- a name is all that is asked
                "processes": float(len(agents)),
                "journal, MB": self.journal.stat().st_size / 1e6,
            }
            with contextlib.suppress(OSError):
                found["memory of agents, MB"] = sum(_status(pid, "VmRSS") for pid in agents) / 1024
            self.samples.append((time.monotonic() - self._began, found))

    def verdicts(self) -> Iterator[str]:
        """Yield what is wrong."""
        for fault in self.world.open():
            yield f"missed: {_shown(fault)}"
        for fault in self.world.twice():
            yield f"acted on {len(fault.acts)} times: {_shown(fault)}"
        for row in self.unsettled():
            yield f"an incident is left: {' '.join(row)}"
        if ended := self.counts.get("THE WATCH ENDED BY ITSELF"):
            yield f"the watch ended by itself {ended} times"
        old = time.time() - self.kept - FORGETS
        for kind, number in self.asked("SELECT kind, count(*) FROM events WHERE at < ? GROUP BY kind", old):
            if int(number) > FEW:
                yield f"the journal has not forgotten {number} of {kind}"
        for name, (first, last) in self.thirds().items():
            if last > first * GROWTH + SLACK.get(name, 2):
                yield f"it grows: {name}: {first:.1f} in the first third, {last:.1f} in the last"

    def thirds(self) -> dict[str, tuple[float, float]]:
        """Return by what was sampled the medians of the first and the last third; of the journal of the second."""
        found = {}
        for name in self.samples[0][1] if self.samples else ():
            numbers = [(at / self.seconds, each[name]) for at, each in self.samples if name in each]
            low, high = (1 / 3, 2 / 3) if name.startswith("journal") else (0.0, 1 / 3)
            first = [value for at, value in numbers if low <= at < high]
            last = [value for at, value in numbers if at >= 2 / 3]
            if first and last:
                found[name] = statistics.median(first), statistics.median(last)
        return found

    def report(self) -> Iterator[str]:
        """Yield what it came to."""
        faults = list(self.world.faults.values())
        for name, chosen in (
            ("states", [each for each in faults if each.kind not in (*LOGS, "approved", "held", "polled")]),
            ("log lines", [each for each in faults if each.kind in LOGS]),
            ("polled", [each for each in faults if each.kind == "polled"]),
        ):
            took = sorted(each.acts[0] - each.at for each in chosen if each.acts)
            if took:
                high = took[min(len(took) - 1, int(len(took) * 0.95))]
                median = statistics.median(took)
                spread = f"{median:.2f} s (median), {high:.2f} s (95 %), {took[-1]:.1f} s at most"
                yield f"{name}: {len(took)} acted on, after {spread}"
        yield f"troubles: {json.dumps(self.counts, sort_keys=True)}"
        for name, (first, last) in self.thirds().items():
            last_third = [each[name] for at, each in self.samples if at >= self.seconds * 2 / 3 and name in each]
            tenth = max(1, len(last_third) // 10)
            course = [
                f"{statistics.median(last_third[at : at + tenth]):.1f}" for at in range(0, len(last_third), tenth)
            ]
            yield f"{name}: {first:.1f} → {last:.1f}; in the last third {' '.join(course)}"


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def _status(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return float(next((line.split()[1] for line in lines if line.startswith(f"{name}:")), 0))  # a zombie has no memory


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _shown(fault: Fault) -> str:
    acts = ", ".join(f"+{at - fault.at:.2f} s" for at in fault.acts)
    return f"{fault.name} {fault.kind} on {fault.host} at {fault.at:.3f} {acts}"


def _left(root: Path) -> list[int]:
    """Return what still runs of the watch and its agents."""
    marks = f"RB_SOAK={root}".encode()
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            with contextlib.suppress(OSError):
                if marks in (each / "environ").read_bytes().split(b"\0"):
                    found.append(int(each.name))
    return found


@contextlib.contextmanager
def _disk(place: Path) -> Iterator[None]:
    """Give the journal a small disk of its own, where that can be."""
    place.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(place)]
    mounted = os.geteuid() == 0 and subprocess.run(argv, check=False, capture_output=True).returncode == 0
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(place)], check=True)


def soak(seconds: float, seed: int, hosts: int = 20, rate: float = 2.0) -> list[str]:
    """Soak it for so many seconds, print what it came to, and return what is wrong."""
    chance = random.Random(seed)
    with (
        tempfile.TemporaryDirectory(prefix="runbook-soak-", ignore_cleanup_errors=True) as folder,
        _disk(Path(folder, "disk")),
    ):
        world = World(Path(folder), hosts, chance, FACTOR)
        run = Soak(world, Path(folder, "disk", "journal.db"), chance, rate, seconds)
        print(f"seed {seed}: {world.detectors} detectors on {hosts} hosts, {seconds:.0f} s", flush=True)
        try:
            run.start()
            run.run()
            wrong = list(run.verdicts())
            assert run.watch is not None
            run.watch.terminate()
            code = run.watch.wait(60)
            if code not in (0, 2):
                wrong.append(f"exit code {code}")
        finally:
            if run.watch is not None and run.watch.poll() is None:
                run.watch.kill()
                run.watch.wait()
            world.close()
        until = time.monotonic() + 20.0
        while (left := _left(Path(folder))) and time.monotonic() < until:
            time.sleep(0.1)
        wrong += [f"process {pid} is left: {Path(f'/proc/{pid}/cmdline').read_bytes()!r}" for pid in left]
        for pid in left:
            _signal(pid, signal.SIGKILL)
        log = (world.root / "watch.log").read_text()
        if "Traceback" in log or "Error:" in log:
            wrong.append(
                "the log of the watch speaks of a bug:\n"
                + "\n".join(
                    line for line in log.splitlines() if "Error" in line or "Traceback" in line or "File" in line
                )[:3000]
            )
        for line in run.report():
            print(f"  {line}", flush=True)
        if wrong and (keep := os.environ.get("RUNBOOK_SOAK_KEEP")):
            Path(keep).mkdir(parents=True, exist_ok=True)
            for each in (world.root / "watch.log", run.journal):
                (Path(keep) / each.name).write_bytes(each.read_bytes())
    for line in wrong:
        print(f"WRONG {line}", flush=True)
    return wrong


def main() -> int:
    """Soak it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--rate", type=float, default=2.0, help="faults a second")
    given = parser.parse_args()
    return 1 if soak(given.minutes * 60, given.seed, given.hosts, given.rate) else 0


if __name__ == "__main__":
    sys.exit(main())
