"""`runbook watch` in a process of its own, and what the journal has of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from runbook.engine.journal.store import open_journal

PATIENCE = 40.0  # seconds for what takes a fraction of one, on a machine that many share


class Watching:
    """A watch that runs.

    Args:
        cli: of the test, for its journal and its directory.
        words: of the command line, without `watch`.
    """

    def __init__(self, cli, *words, env=None, journal=None, name="watch", before=()):
        self.journal = Path(journal or cli.home / "journal.db")
        self.out, self.err = cli.home / f"{name}.out", cli.home / f"{name}.err"
        argv = [*before, sys.executable, "-m", "runbook", "watch", *map(str, words), "--format", "jsonl", "-v"]
        environment = {**cli.env, "RUNBOOK_JOURNAL": str(self.journal), **(env or {})}
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                argv, cwd=cli.home, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )

    @property
    def pid(self):
        return self.process.pid

    def facts(self, kind="*", **about):
        """What the journal has: kind, time, host, detector, subject, data."""
        if not self.journal.exists():
            return []
        with open_journal(str(self.journal), read_only=True) as journal:
            rows = journal.ask("SELECT kind, at, host, detector, subject, data, run, incident FROM events ORDER BY seq")
        found = []
        for row in rows:
            fact = dict(zip(("kind", "at", "host", "detector", "subject", "data", "run", "incident"), row, strict=True))
            fact["data"] = json.loads(fact["data"])
            if kind in ("*", fact["kind"]) and all(fact.get(name) == value for name, value in about.items()):
                found.append(fact)
        return found

    def until(self, kind, count=1, seconds=PATIENCE, **about):
        """Wait until so many facts of a kind are there; return the last of them."""
        return until(lambda: (found := self.facts(kind, **about))[count - 1 :] and found[-1], seconds, self.told)

    def ready(self):
        """Wait until it has looked everywhere, and listens: the first beat that says so."""
        return until(lambda: self.standing().get("detectors"), PATIENCE, self.told)

    def standing(self):
        """What it says of itself."""
        if not self.journal.exists():
            return {}
        with contextlib.suppress(Exception), open_journal(str(self.journal), read_only=True) as journal:
            rows = journal.ask("SELECT told, epoch, run FROM watches WHERE ended IS NULL AND epoch > 0")
            return {**json.loads(rows[0][0]), "epoch": rows[0][1], "run": rows[0][2]} if rows else {}
        return {}

    def said(self, what):
        """What it printed of a kind."""
        lines = [json.loads(line) for line in self.out.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if what in json.dumps(line)]

    def told(self):
        return f"{self.out.read_text()[-3000:]}\n{self.err.read_text()[-2000:]}\nexit {self.process.poll()}"

    def send(self, number):
        self.process.send_signal(number)

    def end(self, number=signal.SIGTERM, seconds=PATIENCE):
        """Tell it to stop; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"it did not stop: {self.told()}") from None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            sys.stderr.write(self.told())
        if self.process.poll() is None:
            self.end()
        assert "Traceback" not in self.err.read_text(), self.told()


def until(asked, seconds=PATIENCE, told=lambda: ""):
    """Ask again and again until the answer is true; return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = asked()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"it did not come to that: {told()}")


def lines(path):
    return path.read_text().split() if path.exists() else []


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
