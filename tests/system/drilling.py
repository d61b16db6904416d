"""Drills as a person runs them: a runbook and its drill in a directory of the test, and what the command says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import warm_start
import yaml

from runbook.engine.drill import linux


def possible() -> bool:
    """Whether this machine lets us make namespaces."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            linux.unshare(linux.NEW_PID | linux.NEW_MOUNTS | linux.NEW_NETWORK | linux.NEW_IPC)
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


needed = pytest.mark.skipif(
    not possible() and os.environ.get("CI") != "true", reason="no namespaces here: run the tests as root"
)


class Drills:
    """Writes drills and runs them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = {**os.environ, "NO_COLOR": "1", "RUNBOOK_JOURNAL": str(home / "journal.db"), "HOME": str(home),
                    "RUNBOOK_AGENT_DIR": str(home / "agent")}  # fmt: skip

    def write(self, detectors, faults, *, name="drilled", top=None, **drill) -> Path:
        """Write a runbook with `vars: {root}` and its drill; return the runbook."""
        runbook = {"name": name, "vars": {"root": "/srv/drilled"}, "writable": ["{{ root }}"], **(top or {})}
        if detectors:
            runbook["detectors"] = detectors
        whole = {"vars": {"root": "{{ scratch }}"}, "within": "10s", **drill, "faults": faults}
        (self.home / f"{name}.drill.yaml").write_text(yaml.safe_dump(whole, sort_keys=False), encoding="utf-8")
        file = self.home / f"{name}.yaml"
        file.write_text(yaml.safe_dump(runbook, sort_keys=False), encoding="utf-8")
        return file

    def argv(self, *words) -> list[str]:
        return [sys.executable, "-m", "runbook", *map(str, words)]

    def run(self, *words) -> subprocess.CompletedProcess[str]:
        done = warm_start.run([*map(str, words)], cwd=self.home, env=self.env, timeout=150)
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        return done

    def drill(self, detectors, faults, *words, **more):
        """Write and run a drill; return its exit code and its faults by name."""
        done = self.run("drill", self.write(detectors, faults, **more), "--format", "json", *words)
        assert done.stdout, done.stderr
        document = json.loads(done.stdout)
        return done.returncode, {each["name"]: each for each in document["faults"]}


@pytest.fixture
def drills(tmp_path: Path) -> Drills:
    home = tmp_path / "home"
    home.mkdir()
    return Drills(home)
