"""The hosts of the soak: directories of this machine, each with an agent of its own, and what breaks there.

Each fault has an id. The step that heals it writes down for which id it ran, and when.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

STATES: Final = ("process", "daemon", "ill", "held", "polled", "approved")
LOGS: Final = ("renamed", "truncated", "dated", "packed")  # by how they are rotated
REST: Final = 3.0  # seconds for which what was healed is left alone: it is verified meanwhile

BOOK = """
name: soak
hosts: all
every: {every}
limit: 1000000 per 30s
vars: {{home: "{root}/{{{{ inventory_hostname }}}}"}}
detectors:
  - name: process
    process: {{match: "^sleep {{{{ mark }}}}$"}}
    when: count == 0
    mode: auto
    verify: {{every: 100ms, within: 10s}}
    recover:
      - shell:
          script: |
            {act}
            setsid sleep $MARK </dev/null >/dev/null 2>&1 &
            echo $! > $AT/process.pid
          env: {env}
  - name: daemon
    daemon: "{{{{ home }}}}/daemon.pid"
    when: not alive
    mode: auto
    verify: {{every: 100ms, within: 10s}}
    recover:
      - shell:
          script: |
            {act}
            setsid sleep $MARK.5 </dev/null >/dev/null 2>&1 &
            echo $! > $AT/daemon.new
            mv $AT/daemon.new $AT/daemon.pid
          env: {env}
  - name: ill
    file: "{{{{ home }}}}/ill"
    when: exists
    mode: auto
    verify: {{every: 100ms, within: 10s}}
    recover: [{{shell: {{script: '{act} rm -f $AT/$KIND', env: {env}}}}}]
  - name: held
    file: "{{{{ home }}}}/held"
    when: exists
    for: 600ms
    mode: auto
    verify: {{every: 100ms, within: 10s}}
    recover: [{{shell: {{script: '{act} rm -f $AT/$KIND', env: {env}}}}}]
  - name: polled
    command: [test, -e, "{{{{ home }}}}/polled"]
    every: {rarely}
    when: exit_code == 0
    mode: auto
    verify: {{every: 100ms, within: 10s}}
    recover: [{{shell: {{script: '{act} rm -f $AT/$KIND', env: {env}}}}}]
  - name: approved
    file: "{{{{ home }}}}/approved"
    when: exists
    mode: approve
    verify: {{every: 100ms, within: 10s}}
    recover: [{{shell: {{script: '{act} rm -f $AT/$KIND', env: {env}}}}}]
"""
LINES = """
  - name: {kind}
    log: {{paths: "{{{{ home }}}}/logs/{kind}.log", patterns: ["ERROR (?P<fault>f[0-9]+)"], from: start}}
    subject: "{{{{ fault }}}}"
    every: {seldom}
    mode: auto
    verify: {{every: 100ms, for: 100ms, within: 10s}}
    recover:
      - shell:
          script: echo "$FAULT $(date +%s.%N)" >> $AT/acts
          env: {{AT: "{{{{ home }}}}", FAULT: "{{{{ incident.fault }}}}"}}
"""
_ACT = 'echo "$(cat $AT/$KIND.id) $(date +%s.%N)" >> $AT/acts;'
_ENV = '{AT: "{{ home }}", MARK: "{{ mark }}", KIND: "{{ incident.detector }}"}'


@dataclass
class Fault:
    """Something that was broken."""

    name: str
    host: str
    kind: str
    at: float
    acts: list[float] = field(default_factory=list)  # when the step that heals it ran
    pardoned: bool = False  # a person released a step whose end nobody knew: it may run twice


class World:
    """All of them.

    Args:
        root: an empty directory.
        hosts: how many.
        chance: what is broken where.
        factor: how many times faster than usual all goes.
    """

    def __init__(self, root: Path, hosts: int, chance: Random, factor: float) -> None:
        self.root, self.factor = root, factor
        self.names = [f"h{number:02}" for number in range(1, hosts + 1)]
        self.faults: dict[str, Fault] = {}
        self.book, self.inventory = root / "soak.yaml", root / "inventory.yaml"
        self._chance = chance
        self._read: dict[str, int] = {}
        self._slots: dict[tuple[str, str], Fault] = {}
        self._rotations = 0
        self._mark = 9_000_000 + os.getpid() % 10_000 * 100
        for number, name in enumerate(self.names):
            (root / name / "logs").mkdir(parents=True)
            for kind in STATES[:2]:
                mark = f"{self._mark + number}" + (".5" if kind == "daemon" else "")
                process = subprocess.Popen(["setsid", "sleep", mark], stdin=subprocess.DEVNULL)
                (root / name / f"{kind}.pid").write_text(str(process.pid))
            for kind in LOGS:
                (root / name / "logs" / f"{kind}.log").write_text("begun\n")
        self.write_book()
        self.write_inventory(self.names)

    @property
    def detectors(self) -> int:
        """How many, on all hosts together."""
        return len(self.names) * (len(STATES) + len(LOGS))

    def write_book(self, comment: str = "") -> None:
        """Write the runbook; another comment makes it another one."""
        text = BOOK.format(
            every=_written(30.0 / self.factor), rarely=_written(120.0 / self.factor), root=self.root, act=_ACT, env=_ENV
        )
        text += "".join(LINES.format(kind=kind, seldom=_written(3600.0 / self.factor)) for kind in LOGS)
        _replace(self.book, text + f"# {comment}\n")

    def write_inventory(self, names: list[str]) -> None:
        """Write the inventory with these of the hosts."""
        about = "".join(
            f"    {name}: {{agent_dir: {self.root / name}/agent, mark: '{self._mark + self.names.index(name)}'}}\n"
            for name in names
        )
        _replace(self.inventory, f"all:\n  vars: {{ansible_connection: local}}\n  hosts:\n{about}")

    def spoil(self) -> None:
        """Break something somewhere."""
        host = self._chance.choice(self.names)
        kind = self._chance.choice((*STATES, *LOGS))
        before = self._slots.get((host, kind))
        if kind in STATES and before is not None and (not before.acts or time.time() - before.acts[-1] < REST):
            return
        fault = Fault(f"f{len(self.faults) + 1}", host, kind, time.time())
        self.faults[fault.name] = self._slots[host, kind] = fault
        home = self.root / host
        if kind in LOGS:
            if self._chance.random() < 0.3:
                self._rotate(home / "logs", kind)
            with (home / "logs" / f"{kind}.log").open("a") as file:
                file.write(f"all is well\nERROR {fault.name}\n")
            return
        (home / f"{kind}.id").write_text(fault.name)
        if kind in STATES[:2]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int((home / f"{kind}.pid").read_text()), signal.SIGKILL)
        else:
            (home / kind).touch()

    def hear(self) -> None:
        """Read what steps have written down."""
        for name in self.names:
            path = self.root / name / "acts"
            if not path.exists() or path.stat().st_size == self._read.get(name, 0):
                continue
            with path.open() as file:
                file.seek(self._read.get(name, 0))
                for line in file:
                    if not line.endswith("\n"):
                        break
                    self._read[name] = self._read.get(name, 0) + len(line)
                    fault, _, at = line.partition(" ")
                    self.faults[fault].acts.append(float(at))

    def pardon(self, host: str, kind: str, subject: str) -> None:
        """Take in that a person released a step there."""
        fault = self.faults.get(subject) if kind in LOGS else self._slots.get((host, kind))
        if fault is not None:
            fault.pardoned = True

    def open(self) -> list[Fault]:
        """Return the faults that nobody has acted on yet."""
        return [fault for fault in self.faults.values() if not fault.acts]

    def twice(self) -> list[Fault]:
        """Return those that were acted on more than once, for no good reason."""
        return [fault for fault in self.faults.values() if len(fault.acts) > 1 and not fault.pardoned]

    def close(self) -> None:
        """End what was started."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def processes(self) -> Iterator[int]:
        """Yield the processes that are to run."""
        marks = {f"{self._mark + number}{more}" for number in range(len(self.names)) for more in ("", ".5")}
        for each in Path("/proc").iterdir():
            if each.name.isdigit():
                with contextlib.suppress(OSError):
                    words = (each / "cmdline").read_text().split("\0")
                    if words[:1] == ["sleep"] and words[1] in marks:
                        yield int(each.name)

    def _rotate(self, folder: Path, kind: str) -> None:
        """Rotate a log as logrotate does; lines that were not read yet stay where rotation puts them."""
        self._rotations += 1
        log, first = folder / f"{kind}.log", folder / f"{kind}.log.1"
        if kind == "renamed":
            if first.exists():
                first.rename(folder / f"{kind}.log.2")
            log.rename(first)
        elif kind == "truncated":
            shutil.copyfile(log, first)
            os.truncate(log, 0)
            return
        elif kind == "dated":
            log.rename(folder / f"{kind}.log-{20260101 + self._rotations}")
            for old in sorted(folder.glob(f"{kind}.log-*"))[:-3]:
                old.unlink()
        else:
            if first.exists():
                with first.open("rb") as plain, gzip.open(folder / f"{kind}.log.2.gz", "wb") as packed:
                    shutil.copyfileobj(plain, packed)
            log.rename(first)
        log.touch()


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.rename(path)


def _written(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"
