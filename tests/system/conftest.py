"""The command line as a person uses it: a process of its own, its journal and agent in the test's directory."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import agent_code
import pytest
import slurm_accounting
import slurm_cluster
import warm_start
from fake_gpus import gpus, nvml, old_gpus, old_nvml  # noqa: F401 -- fixtures


def pytest_collection_modifyitems(items):
    """Put the tests of Slurm first: they are the first worker's share then, so that one cluster serves them all."""
    items.sort(key=lambda item: "slurm" not in getattr(item, "fixturenames", ()))


@dataclass(frozen=True)
class Ran:
    exit_code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def host(self):
        return self.json["runs"][0]["hosts"]["localhost"]

    @property
    def incidents(self):
        return {incident["detector"]: incident for incident in self.host["incidents"]}


class Cli:
    def __init__(self, home: Path) -> None:
        self.home = home
        own = {"RUNBOOK_JOURNAL": str(home / "journal.db"), "RUNBOOK_AGENT_DIR": agent_code.furnish(home)}
        self.env = {**os.environ, **own, "NO_COLOR": "1", "COLUMNS": "100"}

    def __call__(
        self, *words: object, cwd: Path | None = None, env: dict[str, str] | None = None, timeout: float = 120
    ) -> Ran:
        known = {**self.env, **(env or {})}
        done = warm_start.run([*map(str, words)], cwd=cwd or self.home, env=known, timeout=timeout)
        assert "Traceback" not in done.stderr + done.stdout, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def json(self, *words: object, **more: object) -> Ran:
        return self(*words, "--format", "json", **more)

    def write(self, name: str, text: str) -> Path:
        file = self.home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    home = tmp_path / "home"
    home.mkdir()
    return Cli(home)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A Slurm controller with one node, for the tests of one file."""
    if lacks := slurm_cluster.lacking():
        pytest.skip(lacks)
    running = slurm_cluster.Cluster(tmp_path_factory.mktemp("slurm"))
    yield running
    running.close()


@pytest.fixture(scope="session")
def slurm():
    """A whole Slurm with accounting, for all tests of a worker: name your jobs so that you know them, kill no daemon."""
    if lacks := slurm_accounting.lacking():
        pytest.skip(lacks)
    with tempfile.TemporaryDirectory(prefix="slurm-") as place:  # that other users may look into, as on a cluster
        Path(place).chmod(0o755)
        running = slurm_accounting.Accounted(Path(place))
        yield running
        running.close()


@pytest.fixture
def tree():
    """A picture of a directory: every path with its kind, mode, owner, content and time."""

    def picture(root: Path):
        found = {}
        for path in sorted(root.rglob("*")):
            stat = path.lstat()
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            found[str(path.relative_to(root))] = (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_mtime_ns, content)
        return found

    return picture
