"""A log that is written and rotated all the time, and a scanner that is killed and restarted all the time.

As a program it does so at full size: `python tests/system/log_torture.py [METHOD] [--lines 200000] [--seconds 40]`.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import json
import lzma
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from runbook.modules.host import Host
from runbook.modules.probes.log import Log

EVERY = 0.05  # seconds between two rotations
KEPT = 25  # rotated files
OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
PACKERS = {"gzip": ".gz", "bzip2": ".bz2", "xz": ".xz"}


class Writer:
    """Writes numbered lines for some seconds while another thread rotates."""

    def __init__(self, log: Path, method: str, lines: int, seconds: float, seed: int) -> None:
        self.log = log
        self.written = 0
        self.rotations = 0
        self._method = method
        self._lines = lines
        self._seconds = seconds
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._file = log.open("ab", buffering=0)
        self._threads = [threading.Thread(target=self._write), threading.Thread(target=self._rotate)]
        for thread in self._threads:
            thread.start()

    @property
    def busy(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def last(self, lines: int) -> None:
        """Write what is never rotated."""
        self._file.write(
            b"".join(b"line %d is one of the last\n" % n for n in range(self.written, self.written + lines))
        )
        self.written += lines
        self._file.close()

    def _write(self) -> None:
        begun = time.monotonic()
        while self.written < self._lines:
            due = min(self._lines, int(self._lines * (time.monotonic() - begun) / self._seconds) + 1)
            if due > self.written:
                text = b"".join(b"line %d of what a trainer says\n" % n for n in range(self.written, due))
                with self._lock:
                    cut = self._chance.randrange(len(text))
                    self._file.write(text[:cut])
                    self._file.write(text[cut:])
                    self.written = due
            time.sleep(0.002)

    def _rotate(self) -> None:
        methods = {"rename": self._rename, "copytruncate": self._copytruncate, "recreate": self._recreate}
        methods |= {packer: lambda packer=packer: self._pack(packer) for packer in PACKERS}
        while self._threads[0].is_alive():
            time.sleep(EVERY)
            method = self._method if self._method != "any" else self._chance.choice(sorted(methods))
            methods[method]()
            self.rotations += 1

    def _shift(self) -> None:
        for age in range(KEPT, 0, -1):
            for suffix in ("", *PACKERS.values()):
                older = Path(f"{self.log}.{age}{suffix}")
                if older.exists():
                    older.unlink() if age == KEPT else older.rename(f"{self.log}.{age + 1}{suffix}")

    def _rename(self) -> None:
        self._shift()
        with self._lock:
            self.log.rename(f"{self.log}.1")
            self._file.close()
            self._file = self.log.open("ab", buffering=0)

    def _copytruncate(self) -> None:
        self._shift()
        with self._lock:  # what is written between the two is lost by copytruncate itself
            shutil.copyfile(self.log, f"{self.log}.1")
            os.truncate(self.log, 0)

    def _recreate(self) -> None:
        with self._lock:
            self.log.unlink()
            self._file.close()
            self._file = self.log.open("ab", buffering=0)

    def _pack(self, packer: str) -> None:
        self._rename()
        subprocess.run([packer, "-1", f"{self.log}.1"], check=True)


def left(log: Path) -> list[int]:
    """The numbers of the lines that still stand in the rotation set."""
    numbers = []
    for path in sorted(log.parent.glob(f"{log.name}*")):
        with OPENERS.get(path.suffix, open)(path, "rb") as file:
            numbers += [int(line.split()[1]) for line in file if line.endswith(b"\n")]
    return numbers


def scan(pattern: str, database: Path, looks: int | None = None) -> None:
    """Look again and again, keeping lines and cursor in one transaction, as the engine does."""
    base = sqlite3.connect(database, isolation_level=None)
    probe = Log((pattern,), (r"line (?P<n>\d+)",), from_="start")
    while looks is None or looks > 0:
        [(state,)] = base.execute("SELECT state FROM cursors")
        host = Host(remembered=json.loads(state))
        found = [(record.n, record.line_no) for record in probe.look(host)]
        base.execute("BEGIN IMMEDIATE")
        base.executemany("INSERT INTO lines VALUES (?, ?)", found)
        base.execute("UPDATE cursors SET state = ?", (json.dumps(host.kept),))
        base.execute("COMMIT")
        if looks is not None:
            looks = looks - 1 if not found and not host.kept.get("behind") else looks


def torture(
    folder: Path, method: str, lines: int, seconds: float, seed: int, *, glob: bool = False
) -> dict[str, object]:
    """Write, rotate, look and kill; say what became of the lines."""
    log, database, chance = folder / "x.log", folder / "journal.db", random.Random(seed)
    log.touch()
    base = sqlite3.connect(database, isolation_level=None)
    base.execute("PRAGMA journal_mode=WAL")
    base.execute("CREATE TABLE lines (n INTEGER, line_no INTEGER)")
    base.execute("CREATE TABLE cursors (state TEXT)")
    base.execute("INSERT INTO cursors VALUES ('{}')")
    base.close()
    pattern = str(folder / "x.log*") if glob else str(log)
    children = [_forked(pattern, database)]
    writer = Writer(log, method, lines, seconds, seed)
    while writer.busy:
        time.sleep(chance.uniform(0.02, 0.4))
        _kill(children[-1])
        children.append(_forked(pattern, database))
    writer.last(100)
    _kill(children[-1])
    scan(pattern, database, looks=4)
    seen = Counter(n for (n,) in sqlite3.connect(database).execute("SELECT n FROM lines"))
    standing = left(log)
    return {
        "method": method,
        "lines": writer.written,
        "rotations": writer.rotations,
        "kills": len(children),
        "seen": len(seen),
        "standing": len(standing),
        "lost": sorted(set(standing) - set(seen)),
        "twice": sorted(n for n, count in seen.items() if count > 1),
    }


def _forked(pattern: str, database: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        scan(pattern, database)
    except BaseException:  # noqa: BLE001
        import traceback

        traceback.print_exc()
    finally:
        os._exit(1)


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        sys.exit("the scanner ended by itself")


def main() -> int:
    """Do it at full size with each method and print what became of the lines."""
    parser = argparse.ArgumentParser()
    parser.add_argument("methods", nargs="*", default=["rename", "copytruncate", "recreate", *PACKERS, "any"])
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--glob", action="store_true", help="the pattern matches the rotated files too")
    given = parser.parse_args()
    failed = False
    for method in given.methods:
        with tempfile.TemporaryDirectory() as folder:
            told = torture(Path(folder), method, given.lines, given.seconds, given.seed, glob=given.glob)
        failed = failed or bool(told["lost"] or told["twice"])
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
