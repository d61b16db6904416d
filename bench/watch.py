"""How soon `runbook watch` begins to recover after a fault, and how soon the step runs; and what idling costs.

Each fault is another subject, so that no incident waits for the one before it. When its recovery began stands in the
journal; the step writes down when it runs on the host. By event `every` is an hour, so that no look that is due can
help.

    .venv/bin/python bench/watch.py                        # all of it
    .venv/bin/python bench/watch.py --rounds 20 died lines # some kinds of faults, this often
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import measure

from runbook.engine.journal.store import open_journal

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "system"))

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

NEEDS_ANSIBLE = False
LEAST: Final = 12  # faults of a kind
PATIENCE: Final = 60.0  # seconds
DETECTORS: Final = 100
EVERY: Final = 30.0
SPAN: Final = 30.0  # seconds of idling that are measured: one tick, and what comes of it
SHARE: Final = 0.5  # percent of a core
MEMORY: Final = 60.0  # MB
_TICK: Final = os.sysconf("SC_CLK_TCK")
_PAUSE: Final = 0.5  # seconds between two faults, at least: the step before has ended, and was verified once
KINDS: Final = ("died", "pidfile", "file", "lines", "kernel", "signature", "polled")
OTHERS: Final = ("ssh", "idle")
_SERIAL = itertools.count(os.getpid() % 30000 * 1000)

BOOK = """
name: {name}
every: {every}
limit: 100000 per 1h
detectors:
"""
DIED = """
  - name: died {fault}
    process: {{match: "^sleep 86{fault}$"}}
    when: count == 0
    mode: auto
    recover:
      - shell:
          script: |
            date +%s.%N > {acts}/{fault}
            setsid sleep 86{fault} >/dev/null 2>&1 &
            echo $! > {pids}/{fault}
"""
PIDFILE = """
  - name: daemon {fault}
    daemon: {pids}/{fault}.pid
    when: not alive
    mode: auto
    verify: {{within: 20s}}
    recover: [{{shell: {{script: "date +%s.%N > {acts}/{fault}; rm -f {pids}/{fault}.pid"}}}}]
"""
FILE = """
  - name: file {fault}
    file: {folder}/ill-{fault}
    when: exists
    mode: auto
    recover: [{{shell: {{script: "date +%s.%N > {acts}/{fault}; rm -f {folder}/ill-{fault}"}}}}]
"""
POLLED = """
  - name: polled {fault}
    command: "test -e {folder}/ill-{fault}"
    when: exit_code == 0
    every: {every}
    mode: auto
    recover: [{{shell: {{script: "date +%s.%N > {acts}/{fault}; rm -f {folder}/ill-{fault}"}}}}]
"""
LINES = """
  - name: lines {kind}
    log: {log}
    subject: "{{{{ {subject} }}}}"
    mode: auto
    verify: {{for: 100ms}}
    recover:
      - shell:
          script: date +%s.%N > "{acts}/$WHAT"
          env: {{WHAT: "{{{{ incident.{subject} | slug }}}}"}}
"""


def results(rounds: int) -> list[measure.Result]:
    """Measure; at least twelve faults of each kind, whatever `rounds` says."""
    count = max(LEAST, rounds)
    return [*_local(count), *_remote(count), *_idle()]


class Bed:
    """What breaks, and where steps write down when they ran.

    Args:
        folder: an empty directory.
        hosts: words of the command line that say where.
    """

    def __init__(self, folder: Path, *hosts: str) -> None:
        self.folder, self.acts, self.pids = folder, folder / "acts", folder / "pids"
        self.hosts = hosts
        self.journal = folder / "watch" / "journal.db"  # no detector looks at the directory in which it is written
        for each in (self.acts, self.pids, self.journal.parent):
            each.mkdir(parents=True)
        self.log = folder / "app.log"
        self.log.write_text("started\n")
        self._begun: list[subprocess.Popen[bytes]] = []

    def names(self, count: int) -> list[str]:
        """Return names of faults, one more than are counted."""
        return [str(next(_SERIAL)) for _ in range(count + 1)]

    def written(self, text: str, faults: Sequence[str], **more: str) -> str:
        """Return detectors for faults."""
        about = {"folder": str(self.folder), "acts": str(self.acts), "pids": str(self.pids), **more}
        return "".join(text.format(fault=fault, **about) for fault in faults)

    def start(self, fault: str) -> None:
        """Begin the process that is to die."""
        self._begun.append(subprocess.Popen(["sleep", f"86{fault}"]))
        (self.pids / fault).write_text(str(self._begun[-1].pid))
        (self.pids / f"{fault}.pid").write_text(str(self._begun[-1].pid))

    def kill(self, fault: str) -> None:
        """End it."""
        os.kill(int((self.pids / fault).read_text()), signal.SIGKILL)

    def append(self, fault: str) -> None:
        """Write a line to the log."""
        with self.log.open("a") as file:
            file.write(f"ERROR fault {fault}\n")

    def spoil(self, fault: str) -> None:
        """Make the file that should not be there."""
        (self.folder / f"ill-{fault}").touch()

    def took(self, do: Callable[[str], None], faults: Sequence[str], name: str, limit: float) -> measure.Result:
        """Break one after the other, the first uncounted; return after how long their recoveries began."""
        times = []
        for number, fault in enumerate(faults):
            time.sleep(_PAUSE + number / len(faults))  # so that polling is met at any moment
            began = time.time()
            do(fault)
            times.append((began, _until(partial(_stamp, self.acts / fault), f"{do.__name__} {fault}")))
        with open_journal(str(self.journal), read_only=True) as opened:
            asked = "SELECT min(at) FROM events WHERE kind = 'recovery.begun' AND at BETWEEN ? AND ?"
            decided = [opened.ask(asked, both)[0][0] for both in times]
        begun = [(at - began) * 1000 for at, (began, _) in zip(decided, times, strict=True)][1:]
        ran = [(at - began) * 1000 for began, at in times][1:]
        load = f"{len(ran)} faults; load {os.getloadavg()[0]:.0f}"
        runs = f"the step runs after {statistics.median(ran):.0f} ms ({min(ran):.0f} to {max(ran):.0f})"
        detail = f"{min(begun):.0f} to {max(begun):.0f} ms; {runs}, {load}"
        return measure.Result(f"fault to recovery begun, {name}", statistics.median(begun), limit, "ms", (detail,))

    @contextlib.contextmanager
    def watched(self, *books: str) -> Iterator[subprocess.Popen[bytes]]:
        """Watch runbooks; yields when everything was looked at twice."""
        paths = []
        for number, text in enumerate(books):
            paths.append(self.folder / f"book-{number}.yaml")
            paths[-1].write_text(text)
        env = {**os.environ, "RUNBOOK_JOURNAL": str(self.journal), "RUNBOOK_AGENT_DIR": str(self.folder / "agent")}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        with self.journal.with_name("watch.log").open("wb") as log:
            argv = [measure.RUNBOOK, "watch", *map(str, paths), *self.hosts]
            process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _until(lambda: _standing(self.journal) == len(books) or process.poll(), "the watch")
            if process.poll() is not None:
                sys.exit(f"the watch ended:\n{self.journal.with_name('watch.log').read_text()}")
            time.sleep(
                2.0
            )  # what is newly listened to is looked at once more; the agent imports what its workers had to
            yield process
        finally:
            process.terminate()
            process.wait(PATIENCE)
            for each in self._begun:
                each.kill()
                each.wait()
            for file in self.pids.iterdir():
                with contextlib.suppress(OSError, ValueError):
                    pid = int(file.read_text())
                    if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep\x0086"):
                        os.kill(pid, signal.SIGKILL)


def _local(count: int, kinds: Sequence[str] = KINDS) -> Iterator[measure.Result]:
    with tempfile.TemporaryDirectory(prefix="runbook-bench-") as folder:
        bed = Bed(Path(folder, "bed"))
        died, daemons, polled, spoiled, logged = (bed.names(count) for _ in range(5))
        for fault in (*died, *daemons):
            bed.start(fault)
        kernel = os.access("/dev/kmsg", os.W_OK)
        log = f'{{paths: "{bed.log}", patterns: ["ERROR fault (?P<what>[0-9]+)"]}}'
        text = BOOK.format(name="events", every="1h") + bed.written(DIED, died) + bed.written(PIDFILE, daemons)
        text += bed.written(FILE, spoiled) + bed.written(LINES, [""], kind="log", log=log, subject="what")
        if kernel:
            pattern = '{kernel: true, patterns: ["runbook bench (?P<what>[0-9]+)"]}'
            text += bed.written(LINES, [""], kind="kernel", log=pattern, subject="what")
            text += bed.written(
                LINES, [""], kind="signature", log="{kernel: true, signatures: [kmsg.xid]}", subject="gpu"
            )
        second = BOOK.format(name="polled", every="1s") + bed.written(POLLED, polled, every="1s")
        cards = [f"0000-{int(fault) % 0x100:02x}-{int(fault) // 256 % 0x20:02x}" for fault in bed.names(count)]
        faults = {
            "died": (bed.kill, died, "a process dies", 50),
            "pidfile": (bed.kill, daemons, "a process of a pidfile dies", 50),
            "file": (bed.spoil, spoiled, "a file appears", 100),
            "lines": (bed.append, logged, "a line in a log", 100),
            "kernel": (_kernel, bed.names(count), "a line of the kernel, by pattern", 100),
            "signature": (_xid, cards, "a line of the kernel, by signature", 100),
            "polled": (bed.spoil, polled, "polling each second alone", 1200),
        }
        chosen = [kind for kind in faults if kind in kinds and (kernel or kind not in {"kernel", "signature"})]
        if not chosen:
            return
        with bed.watched(text, *([second] if "polled" in chosen else [])):
            for kind in chosen:
                yield bed.took(*faults[kind])


def _remote(count: int) -> Iterator[measure.Result]:
    import sshds

    if sshds.lacking():
        return
    with (
        tempfile.TemporaryDirectory(prefix="runbook-bench-") as folder,
        sshds.running(Path(folder, "s"), 1) as hosts,
    ):
        bed = Bed(Path(folder, "bed"), "-i", str(hosts.inventory))
        died, logged = bed.names(count), bed.names(count)
        for fault in died:
            bed.start(fault)
        log = f'{{paths: "{bed.log}", patterns: ["ERROR fault (?P<what>[0-9]+)"]}}'
        text = BOOK.format(name="events", every="1h").replace("every:", "hosts: all\nevery:")
        text += bed.written(DIED, died) + bed.written(LINES, [""], kind="log", log=log, subject="what")
        with bed.watched(text):
            yield bed.took(bed.kill, died, "over SSH, a process dies", 300)
            yield bed.took(bed.append, logged, "over SSH, a line in a log", 300)


def _idle() -> list[measure.Result]:
    """What a hundred detectors cost while nothing happens."""
    with tempfile.TemporaryDirectory(prefix="runbook-bench-") as folder:
        bed = Bed(Path(folder, "bed"))
        with bed.watched(_mixed(bed.folder)) as watch:
            time.sleep(EVERY + 6.0)  # a tick, and what comes of it
            agents = _children(watch.pid)
            before = [_spent(watch.pid, below=False), *map(_spent, agents)]
            time.sleep(SPAN)
            after = [_spent(watch.pid, below=False), *map(_spent, agents)]
            shares = [(end - begin) / SPAN * 100 for begin, end in zip(before, after, strict=True)]
            memory = [_peak(watch.pid), *map(_peak, agents)]
            detail = f"engine {shares[0]:.3f} %, agent and its workers {sum(shares[1:]):.3f} %, in {SPAN:.0f} s"
    return [
        measure.Result(f"idle, {DETECTORS} detectors at {EVERY:.0f} s, of a core", sum(shares), SHARE, "%", (detail,)),
        measure.Result("resident memory of the engine that watches", memory[0], MEMORY, "MB"),
        measure.Result("resident memory of its agent", max(memory[1:]), MEMORY, "MB"),
    ]


def _mixed(folder: Path) -> str:
    """Return a runbook of detectors of all kinds that never fire, and make what they look at."""
    for number in range(25):
        (folder / f"train-{number:02}.log").write_text("step 1 loss 0.5\n" * 1000)
        (folder / f"status-{number:02}.json").write_text(json.dumps({"step": number, "loss": 0.5}))
    status = f"{folder}/status-#.json"
    kinds = [
        (25, f"log: {{paths: {folder}/train-#.log, patterns: [CUDA out of memory, NCCL WARN]}}", ""),
        (25, f"file: {status}", "not exists"),
        (12, "process: {match: 'no such program #'}", "count > 100"),
        (10, "port: 127.0.0.1:400#", "open and not open"),
        (8, "health:", "disk_free < 1B"),
        (10, f"progress: {{json: '{status}', field: step}}", "value > 1e9"),
        (10, f"metric: {{json: '{status}', field: loss}}", "value > 1e9"),
    ]
    text = BOOK.format(name="idle", every="30s")
    number = 0
    for count, probe, when in kinds:
        for each in range(count):
            number += 1
            condition = f"    when: {when}\n" if when else ""
            text += f"  - name: d{number}\n    {probe.replace('#', f'{each:02}')}\n{condition}"
    assert number == DETECTORS
    return text


def _kernel(fault: str) -> None:
    Path("/dev/kmsg").write_text(f"<4>runbook bench {fault}\n")


def _xid(card: str) -> None:
    domain, bus, device = card.split("-")
    Path("/dev/kmsg").write_text(
        f"<3>NVRM: Xid (PCI:{domain}:{bus}:{device}): 79, pid=4711, GPU has fallen off the bus.\n"
    )


def _stamp(file: Path) -> float:
    try:
        return float(file.read_text() or 0)
    except OSError:
        return 0.0


def _until(asked: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := asked():
            return found
        time.sleep(0.002)
    sys.exit(f"it did not come to that within {PATIENCE:.0f} s: {what}")


def _standing(journal: Path) -> int:
    """Return how many runbooks are watched by now, and were looked at."""
    with contextlib.suppress(Exception), open_journal(str(journal), read_only=True) as opened:
        rows = opened.ask("SELECT told FROM watches WHERE ended IS NULL AND epoch > 0")
        return sum(bool(json.loads(told).get("detectors")) for (told,) in rows)
    return 0


def _children(pid: int) -> list[int]:
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


def _spent(pid: int, *, below: bool = True) -> float:
    """Return the processor time of a process and of what it has reaped, and of what lives below it, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICK + sum(map(_spent, _children(pid) if below else ()))


def _peak(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6


def main() -> None:
    """Measure what is asked for, and print it as it comes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join((*KINDS, *OTHERS))}; default all")
    parser.add_argument("--rounds", type=int, default=LEAST, help="faults of each kind")
    given = parser.parse_args()
    kinds = given.kinds or (*KINDS, *OTHERS)
    if unknown := set(kinds).difference(KINDS, OTHERS):
        parser.error(f"there is no kind {', '.join(sorted(unknown))}")
    for result in _local(given.rounds, kinds):
        print(result, flush=True)
    for result in _remote(given.rounds) if "ssh" in kinds else ():
        print(result, flush=True)
    for result in _idle() if "idle" in kinds else ():
        print(result, flush=True)


if __name__ == "__main__":
    main()
