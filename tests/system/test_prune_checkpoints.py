"""Checkpoints of a run that is going on: what a real process holds stays, through the command as a user gives it."""

import json
import mmap
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import agent_code
import pytest

from runbook.modules import open_files

RUNBOOK = str(Path(sys.executable).with_name("runbook"))
DAY = 86400.0


@pytest.fixture
def run(tmp_path):
    """A training run with checkpoints from 100 to 600, the last of which is cut off."""
    root = tmp_path.resolve() / "out"
    for number in range(1, 7):
        folder = root / f"checkpoint-{number}00"
        folder.mkdir(parents=True)
        with zipfile.ZipFile(folder / "optimizer.pt", "w") as archive:
            archive.writestr("archive/data.pkl", "x" * 1000)
        history = [{"step": number * 100, "eval_loss": abs(number - 2) / 10}]
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": number * 100, "log_history": history}))
    os.truncate(root / "checkpoint-600/optimizer.pt", 300)
    for number in range(1, 7):
        at = (root / f"checkpoint-{number}00").stat().st_mtime - (7 - number) * DAY
        for path in (root / f"checkpoint-{number}00").iterdir():
            os.utime(path, (at, at))
    return root


def prune(run, *words, environment=None):
    place = run.parent
    command = [RUNBOOK, "run", "prune_checkpoints", f"path={run}", *words, "--writable", str(place), "--format", "json"]
    env = {
        **os.environ,
        "RUNBOOK_JOURNAL": str(place / "j.db"),
        "RUNBOOK_AGENT_DIR": agent_code.furnish(place / "agent"),
    }
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    return done.returncode, done.stdout


def names(run):
    return sorted(path.name for path in run.iterdir())


def test_the_newest_and_the_best_stay_and_a_second_run_finds_nothing(run):
    code, said = prune(run, "keep=2", "best=eval_loss", "corrupt=true")
    assert code == 0, said
    assert names(run) == ["checkpoint-200", "checkpoint-400", "checkpoint-500"]
    code, said = prune(run, "keep=2", "best=eval_loss", "corrupt=true")
    assert (code, names(run)) == (0, ["checkpoint-200", "checkpoint-400", "checkpoint-500"])


def test_check_says_what_would_go_and_leaves_it(run):
    code, said = prune(run, "keep=2", "--check")
    assert code == 0
    assert f"2 files, {size(run / 'checkpoint-100')} and 1 directory below {run}/checkpoint-100" in said
    assert len(names(run)) == 6


def size(folder):
    total = sum(path.stat().st_size for path in folder.iterdir())
    return f"{total / 1000:.3g} kB"


def test_what_a_process_has_open_or_mapped_stays(run):
    held = (run / "checkpoint-100/optimizer.pt").open("rb")
    with (run / "checkpoint-200/optimizer.pt").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        code, said = prune(run, "keep=1")
    finally:
        held.close()
        mapped.close()
    assert code == 0, said
    assert names(run) == ["checkpoint-100", "checkpoint-200", "checkpoint-500", "checkpoint-600"]


def test_files_are_known_by_their_inodes_to_whoever_holds_them(tmp_path):
    path = tmp_path / "held"
    path.write_text("x")
    inode = path.stat().st_dev, path.stat().st_ino
    with path.open() as file:
        holder = subprocess.Popen(["sleep", "60"], stdin=file)
    try:
        assert open_files.holders({inode}) == {inode: holder.pid}
    finally:
        holder.kill()
        holder.wait()
    assert open_files.holders({inode}) == {}
