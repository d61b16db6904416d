"""A training run for real: a small trainer with its worker, in a directory of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import Any

from command_line import BUNDLED, CommandLine, Ran, end, living, until

TRAINER = BUNDLED / "training-watchdog" / "trainer.py"


class Training:
    def __init__(self, runbook: CommandLine, **more: Any) -> None:
        self.runbook = runbook
        self.root = runbook.home / "run"
        for name in ("inbox", "processing", "logs", "status", "checkpoints", "run"):
            (self.root / name).mkdir(parents=True)
        (self.root / "train.py").touch()
        self.configure(batch_size=32, max_length=2048)
        self.vars = runbook.write(
            "vars.json",
            json.dumps(
                {
                    "root": str(self.root),
                    "unit": str(self.root / "run" / "trainer.pid"),
                    "program": f"trainer[.]py {self.root}",
                    "start": [sys.executable, str(TRAINER), str(self.root)],
                    "settled": "500ms",
                    **more,
                }
            ),
        )

    def configure(self, **settings: Any) -> None:
        (self.root / "config.json").write_text(json.dumps(settings), encoding="utf-8")

    @property
    def config(self) -> dict[str, Any]:
        return json.loads((self.root / "config.json").read_text(encoding="utf-8"))

    @property
    def pid(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            return int((self.root / "run" / "trainer.pid").read_text())
        return 0

    @property
    def step(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            return json.loads((self.root / "status" / "training_status.json").read_text())["current_step"]
        return 0

    @property
    def checkpoints(self) -> list[int]:
        return sorted(int(path.name.split("-")[1]) for path in (self.root / "checkpoints").glob("checkpoint-*"))

    @property
    def log(self) -> str:
        return (self.root / "logs" / "train.log").read_text(encoding="utf-8")

    @property
    def alive(self) -> bool:
        return self.pid in living(str(self.root))

    def watch(self, *words: str) -> Ran:
        """Make one pass."""
        return self.runbook.told("apply", "training-watchdog", "-e", f"@{self.vars}", *words)

    def begin(self, steps: int = 11) -> None:
        """Start it as a person would, wait until it has taken some steps, and have a first look at it."""
        argv = [sys.executable, str(TRAINER), str(self.root)]
        with subprocess.Popen(["setsid", "-f", *argv], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as started:
            started.wait()
        until(lambda: self.step >= steps)
        self.watch()  # reads the log to its end, and keeps the configuration

    def kill(self) -> None:
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        until(lambda: pid not in living(str(self.root)))

    def stop(self) -> None:
        end(str(self.root))
