"""Clearing a cache of 200,000 files and owning them, against `find -delete` and `chown -R`.

The runs take turns on the same file system. What is compared is the time on the clock: a plan of so many entries is
carried out by several processes. Each of ours is a whole `runbook run`, with its start, its journal and its undo. These
lie on a file system of their own, as they do on most hosts: a sync of theirs would else wait until the disk has taken
in 200,000 changes, which nobody asks of the others.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import measure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NEEDS_ANSIBLE = False
FOLDERS, FILES = 200, 1000  # and files in each
LIMIT = 2.0  # times what the program of the system takes
ROUNDS = 5  # at most: each makes the files anew


def results(rounds: int) -> Iterator[measure.Result]:
    """Yield both ratios; only root may give files away."""
    if os.geteuid() != 0:
        print("SKIP steps: only root may give files away, and `chown -R` is what is measured", file=sys.stderr)
        return
    rounds = max(1, min(rounds, ROUNDS))
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryDirectory(dir="/dev/shm") as records:
        top = Path(place).resolve()
        os.environ.update(RUNBOOK_JOURNAL=f"{records}/journal.db", RUNBOOK_AGENT_DIR=f"{records}/agent")
        yield from _owning(top, rounds)
        yield _clearing(top, rounds)


def _owning(top: Path, rounds: int) -> Iterator[measure.Result]:
    """Give to a service what root filled, and then what its user may change while we do: there each file is held."""
    tree = _made(top / "tree")
    given: dict[str, list[float]] = {"ours": [], "theirs": []}
    taken: dict[str, list[float]] = {"ours": [], "theirs": []}
    for number in range(rounds + 1):
        _owned(tree, 0)
        theirs = _timed(["chown", "-R", "1:1", str(tree)])
        _owned(tree, 0)
        ours = _timed(_run(top, "chown", tree, "owner=1", "group=1", "recursive=true"))
        assert _owner(tree) == 1, "our step did nothing"
        races = _timed(_run(top, "chown", tree, "owner=2", "group=2", "recursive=true"))
        assert _owner(tree) == 2, "our step did nothing"
        if number > 0:  # the first round fills caches
            given["theirs"].append(theirs)
            given["ours"].append(ours)
            taken["theirs"].append(theirs)
            taken["ours"].append(races)
    shutil.rmtree(tree)
    yield _ratio("chown over 200,000 files of root's, as a multiple of chown -R", given)
    yield _ratio("chown over 200,000 files of another user's, as a multiple of chown -R", taken)


def _owned(tree: Path, owner: int) -> None:
    """Have it belong to somebody, whatever that takes."""
    subprocess.run(["chown", "-R", f"{owner}:{owner}", str(tree)], check=True)


def _clearing(top: Path, rounds: int) -> measure.Result:
    taken: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(rounds):
        tree = _made(top / "tree")
        taken["theirs"].append(_timed(["find", str(tree), "-mindepth", "1", "-delete"]))
        tree = _made(top / "tree")
        taken["ours"].append(_timed(_run(top, "clear_cache", tree)))
        assert not list(tree.iterdir()), "our step did nothing"
    return _ratio("clear_cache over 200,000 files, as a multiple of find -delete", taken)


def _made(tree: Path) -> Path:
    """Make the files, and wait until they are on the disk: nobody is to pay for what another one left."""
    for folder in range(FOLDERS):
        (tree / f"{folder:03}").mkdir(parents=True)
        held = os.open(tree / f"{folder:03}", os.O_RDONLY | os.O_DIRECTORY)
        for number in range(FILES):
            os.close(os.open(f"{number:04}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=held))
        os.close(held)
    return tree


def _owner(tree: Path) -> int:
    found = {path.lstat().st_uid for path in (tree, tree / "000", tree / f"{FOLDERS - 1:03}" / f"{FILES - 1:04}")}
    return found.pop() if len(found) == 1 else -1


def _run(top: Path, step: str, tree: Path, *words: str) -> list[str]:
    return [measure.RUNBOOK, "run", step, f"path={tree}", *words, "--writable", str(top), "-q"]


def _timed(argv: Sequence[str]) -> float:
    os.sync()
    begun = time.perf_counter()
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    taken = time.perf_counter() - begun
    if done.returncode:
        sys.exit(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return taken


def _ratio(name: str, taken: dict[str, list[float]], limit: float = LIMIT) -> measure.Result:
    times = {label: measure.Times(tuple(runs)) for label, runs in taken.items()}
    return measure.ratio(name, "ours", "theirs", times, limit)
