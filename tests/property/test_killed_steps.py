"""Steps killed before any of their calls of the kernel: run again, they end as if nothing had happened."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from runbook.modules.acting import owners
from runbook.modules.acting.hands import Hands
from runbook.modules.acting.perform import Performance
from runbook.modules.host import Host
from runbook.modules.steps.chown import Chown
from runbook.modules.steps.clear_cache import ClearCache
from runbook.modules.steps.edit_config import EditConfig
from runbook.modules.steps.prune_checkpoints import PruneCheckpoints

CALLS = ("unlink", "rmdir", "rename", "write", "fsync", "chmod", "utime")
MOST = 100


def carry_out(step, root):
    hands = Hands([str(root)], lambda _: None, lambda _: None)
    actions = step.plan(Host(writable=(str(root),)))
    try:
        Performance(hands, actions).carry_out()
    finally:
        hands.close()
    return actions


def killed(step, root, number):
    """Carry a step out in a process that ends before its call of that number; tell whether it was ended."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1] == signal.SIGKILL
    try:
        left = [number]

        def counted(call):
            def before(*args, **options):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*args, **options)

            return before

        for name in CALLS:
            setattr(os, name, counted(getattr(os, name)))
        own = counted(owners.chown())
        owners.chown = lambda: own
        carry_out(step, root)
    finally:
        os._exit(0)


def seen(root):
    """Return all that lies below, but for what became empty: whether a directory was so before, nobody knows."""
    found = {}
    for path in sorted(Path(root).rglob("*")):
        kept = path.name.startswith("checkpoint")
        if not kept and path.is_dir() and not any(below.is_file() for below in path.rglob("*")):
            continue
        about = path.lstat()
        content = path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(root))] = (content, about.st_uid, about.st_gid, about.st_mode)
    return found


def checkpoints(root):
    for number in (100, 200, 300, 400):
        folder = root / f"checkpoint-{number}"
        folder.mkdir()
        for name in ("a.json", "b.json", "trainer_state.json"):
            (folder / name).write_text("{}")
            os.utime(folder / name, (number * 1e6, number * 1e6))


def cache(root):
    for number in range(6):
        path = root / f"d{number % 2}/e" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * number)
        os.utime(path, (number * 1e6, number * 1e6))


def config(root):
    (root / "c.json").write_text('{"port": 8000}')
    (root / "c.json").chmod(0o640)


STEPS = {
    "clear_cache": (cache, lambda root: ClearCache(str(root), keep=1)),
    "chown": (cache, lambda root: Chown(str(root), mode="0640", group=str(os.getegid()), recursive=True)),
    "edit_config": (config, lambda root: EditConfig(f"{root}/c.json", set={"port": 8001})),
    "prune_checkpoints": (checkpoints, lambda root: PruneCheckpoints(str(root), keep=2)),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_killed_before_any_call_is_run_again_and_ends_the_same(tmp_path, name):
    make, step = STEPS[name]
    root = tmp_path / "whole"
    root.mkdir()
    make(root)
    assert carry_out(step(root), root)
    expected = seen(root)
    number, ended = 0, True
    while ended:
        root = tmp_path / f"killed-{number}"
        root.mkdir()
        make(root)
        ended = killed(step(root), root, number)
        carry_out(step(root), root)
        assert seen(root) == expected, f"killed before call {number}"
        assert step(root).plan(Host(writable=(str(root),))) == []
        shutil.rmtree(root)
        number += 1
        assert number < MOST
    assert number > 5
