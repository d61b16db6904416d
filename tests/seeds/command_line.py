"""The command line in a process of its own, and what is left of a place's processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import agent_code
import warm_start

BUNDLED = Path(__file__).parents[2] / "runbooks"


@dataclass(frozen=True)
class Ran:
    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.out, self.err
        return json.loads(self.out)

    @property
    def host(self) -> dict[str, Any]:
        return self.json["runs"][0]["hosts"]["localhost"]

    @property
    def incidents(self) -> dict[str, dict[str, Any]]:
        return {incident["detector"]: incident for incident in self.host["incidents"]}

    @property
    def states(self) -> dict[str, str]:
        return {name: incident["state"] for name, incident in self.incidents.items()}

    @property
    def operations(self) -> dict[str, dict[str, Any]]:
        return {each["name"]: each for each in self.host["operations"]}

    def steps(self, detector: str) -> list[str]:
        return [step["module"] for step in self.incidents[detector]["steps"]]


class CommandLine:
    def __init__(self, home: Path) -> None:
        self.home = home
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNBOOK_")}
        own = {"RUNBOOK_JOURNAL": str(home / "journal.db"), "RUNBOOK_AGENT_DIR": agent_code.furnish(home / "agent")}
        self.env = kept | own | {"NO_COLOR": "1", "COLUMNS": "100"}

    def __call__(self, *words: object, timeout: float = 120) -> Ran:
        done = warm_start.run([*map(str, words)], cwd=self.home, env=self.env, timeout=timeout)
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def told(self, *words: object, **more: Any) -> Ran:
        """Run it with `--format json`."""
        return self(*words, "--format", "json", **more)

    def write(self, name: str, text: str) -> Path:
        file = self.home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file


def living(words: str) -> Iterator[int]:
    """Yield the processes whose command lines hold some words; dead ones, and this one, left out."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                continue
            if words.encode() in (entry / "cmdline").read_bytes() and int(entry.name) != os.getpid():
                yield int(entry.name)


def end(words: str) -> None:
    """Kill what holds these words in its command line."""
    for pid in living(words):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not list(living(words)))


def until(holds: Callable[[], object], within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)
