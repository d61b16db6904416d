# ruff: noqa: PTH208
# os and not pathlib: names are compared as the kernel tells them
"""Snapshots in runbooks, under kill -9 and a full disk at every write, and beside an attacker who swaps directories."""

import contextlib
import ctypes
import errno
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from runbook.modules.acting.hands import Hands
from runbook.modules.acting.perform import Performance, undo_all
from runbook.modules.declare import Failed, Refused
from runbook.modules.host import Host
from runbook.modules.steps.restore import Restore
from runbook.modules.steps.snapshot import Snapshot

BOOK = """
name: upgrade
writable: ["{home}/etc"]
operations:
  - name: keep the config
    snapshot: {{path: "{home}/etc/app", name: before upgrade}}
    timeout: 1m
  - name: migrate the config
    command: [sh, -c, 'echo broken > {home}/etc/app/a.json; chmod 666 {home}/etc/app/a.json; rm {home}/etc/app/d/b']
    timeout: 1m
  - name: serve
    command: [grep, -q, port, "{home}/etc/app/a.json"]
    timeout: 1m
    {rollback}
"""
HEALED = """
name: healed
writable: ["{home}/etc"]
detectors:
  - name: no port
    command: [cat, "{home}/etc/app/a.json"]
    when: '"port" in stdout'
    limit: 9 per 1h
    rollback: true
    verify: {{within: 1s}}
    recover:
      - snapshot: {{path: ["{home}/etc/app"]}}
      - command: [sh, -c, 'echo broken > {home}/etc/app/a.json; rm {home}/etc/app/d/b']
      - command: ["false"]
"""


@pytest.fixture
def etc(cli):
    cli.write("etc/app/a.json", '{"port": 1}\n').chmod(0o640)
    cli.write("etc/app/d/b", "b\n")
    (cli.home / "etc/app/current").symlink_to("d")
    return cli.home / "etc"


def test_a_lost_operation_with_rollback_puts_back_what_the_snapshot_before_it_holds(cli, etc, tree):
    before = tree(etc)
    book = cli.write("upgrade.yaml", BOOK.format(home=cli.home, rollback="rollback: true"))
    for _ in range(2):  # the second snapshot is the first one: nothing changed
        ran = cli.json("apply", book)
        assert ran.exit_code == 2, ran.out
        assert tree(etc) == before
        *_, lost = ran.host["operations"]
        assert [(undone["state"], undone["actions"][0]["action"]) for undone in lost["undone"]] == [
            ("done", "undo keep")
        ]
    kinds = [
        json.loads(path.read_text().splitlines()[0])["kind"] for path in (cli.home / "agent").rglob("manifest.jsonl")
    ]
    assert sorted(kinds) == ["snapshot", "undo", "undo"]
    told = " ".join(cli("apply", book).out.split())
    assert re.search(r"undid put back \d entries of", told)
    identity = re.search(r"what stood there is (\S+)", told)
    assert identity
    broken = ("run", "restore", f"path={etc}/app/a.json", f"from={identity[1]}", "--writable", etc)
    assert cli(*broken).exit_code == 0
    assert (etc / "app/a.json").read_text() == "broken\n"


def test_without_rollback_a_restore_brings_it_back_by_hand_and_changes_nothing_twice(cli, etc, tree):
    before = tree(etc)
    book = cli.write("upgrade.yaml", BOOK.format(home=cli.home, rollback=""))
    assert cli.json("apply", book).exit_code == 2
    corrupted = tree(etc)
    assert corrupted != before
    words = ("run", "restore", f"path={etc}/app", "name=before upgrade", "--writable", etc)
    shown = cli(*words, "--check", "--diff")
    assert (shown.exit_code, tree(etc)) == (0, corrupted), shown.err
    assert '+{"port": 1}' in shown.out
    assert cli(*words).exit_code == 0
    assert tree(etc) == before
    (again,) = cli.json(*words).host["operations"]
    assert (again["state"], again["steps"][0]["changed"]) == ("succeeded", False)
    assert tree(etc) == before


@pytest.mark.parametrize("unchanged", [False, True], ids=["new", "unchanged"])
def test_a_recovery_in_vain_with_rollback_puts_back_what_its_snapshot_holds(cli, etc, tree, unchanged):
    if unchanged:
        assert cli("run", "snapshot", f"path={etc}/app", "--writable", etc).exit_code == 0
    before = tree(etc)
    book = cli.write("healed.yaml", HEALED.format(home=cli.home))
    ran = cli.json("apply", book)
    assert ran.incidents["no port"]["state"] == "unhealed", ran.out
    assert tree(etc) == before


@pytest.fixture
def quick(tmp_path):
    """A place in memory, where there is one: it is made durable a few thousand times."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        yield Path(place)


class Bench:
    """A tree of a few things, its snapshot and what an undo needs."""

    def __init__(self, tmp):
        self.root, self.base = tmp / "w", tmp / "agent"
        (self.root / "t/d").mkdir(parents=True)
        self.base.mkdir(mode=0o700)
        self.kept = tmp / "undo.jsonl"
        for name in ("a", "d/b", "d/c"):
            (self.root / "t" / name).write_text(f"good {name}\n")
        (self.root / "t/link").symlink_to("a")
        os.link(self.root / "t/d/c", self.root / "t/twin")
        self.step = Snapshot((f"{self.root}/t",))
        self.back = Restore(f"{self.root}/t", exact=True)

    def do(self, step):
        hands = Hands([str(self.root)], self._keep, lambda _: None)
        try:
            Performance(hands, step.plan(Host(writable=(str(self.root),), base=str(self.base)))).carry_out()
        finally:
            hands.close()

    def _keep(self, undo):
        with self.kept.open("a") as file:
            file.write(json.dumps(undo) + "\n")
            file.flush()

    def undo(self):
        undos = [json.loads(line) for line in self.kept.read_text().splitlines()] if self.kept.exists() else []
        hands = Hands([str(self.root)], lambda _: None, lambda _: None)
        try:
            undo_all(hands, undos[::-1])
        finally:
            hands.close()
            self.kept.unlink(missing_ok=True)

    def corrupt(self):
        self.put("a", "bad a\n")
        self.put("d/b", None)
        self.put("d/c", "bad c\n")
        self.put("link", "no link")
        (self.root / "t/new").mkdir(exist_ok=True)
        self.put("new/x", "new")

    def put(self, name, text):
        path = self.root / "t" / name
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)


CALLS = ("fsync", "rename", "pwrite", "mkdir", "link", "symlink", "unlink", "rmdir", "chmod", "utime")


def interrupted(monkeypatch, at, strike):
    """Have the call number `at` of those that change a file system strike before it is made; return the counter."""
    count = [0]

    def wrapped(call):
        def struck(*given, **more):
            count[0] += 1
            if count[0] == at:
                strike()
            return call(*given, **more)

        return struck

    for name in CALLS:
        monkeypatch.setattr(os, name, wrapped(getattr(os, name)))
    return count


def killed(bench, step, at):
    """Do a step in a process that kills itself at its call number `at`; tell whether it came that far."""
    child = os.fork()
    if not child:
        code = 1
        try:
            with pytest.MonkeyPatch.context() as patched:
                interrupted(patched, at, lambda: os.kill(os.getpid(), signal.SIGKILL))
                bench.do(step)
                code = 0
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


def left_over(bench):
    return [name for _, _, names in os.walk(bench.root) for name in names if name.endswith(".runbook")]


def test_a_snapshot_killed_at_any_call_is_whole_or_not_there_and_the_next_one_sweeps_up(quick):
    bench = Bench(quick)
    at, came = 0, True
    while came:
        at += 1
        bench.put("a", f"good {at}\n")
        came = killed(bench, bench.step, at)
        bench.put("a", "bad")
        try:
            bench.do(Restore(f"{bench.root}/t/a"))
        except Failed as error:
            assert "no snapshot" in str(error)  # noqa: PT017 -- before the first one, there is none
        else:
            assert (bench.root / "t/a").read_text() in {f"good {at}\n", f"good {at} again\n", f"good {at - 1} again\n"}
        bench.put("a", f"good {at} again\n")
        bench.do(bench.step)
        store = bench.base / "snapshots"
        assert [name for name in os.listdir(store) if "manifest.jsonl" not in os.listdir(store / name)] == []
    assert at > 10


def test_a_restore_killed_at_any_call_leaves_whole_files_and_is_run_again_or_undone(quick, tree):
    bench = Bench(quick)
    bench.do(bench.step)
    bench.kept.unlink()
    good = tree(bench.root)
    at, came = 0, True
    while came:
        at += 1
        bench.corrupt()
        bad = tree(bench.root)
        came = killed(bench, bench.back, at)
        now = tree(bench.root)
        for name, seen in now.items():
            if not name.endswith(".runbook") and seen[4]:
                assert seen[4] in {each[name][4] for each in (good, bad) if name in each}, (at, name)
        if at % 2:
            bench.undo()
            assert contents(tree(bench.root)) == contents(bad), at
        bench.kept.unlink(missing_ok=True)
        bench.do(bench.back)
        bench.kept.unlink(missing_ok=True)
        assert tree(bench.root) == good, at
        assert left_over(bench) == []
    assert at > 20


def contents(picture):
    """What there is, without the times of directories, in which temporary files came and went."""
    return {name: (mode, uid, content) for name, (mode, uid, _, _, content) in picture.items()}


def test_a_disk_that_is_full_at_any_call_of_a_snapshot_refuses_it_and_leaves_nothing(quick, monkeypatch, tree):
    bench = Bench(quick)
    good = tree(bench.root)
    at, came = 0, True
    while came:
        at += 1
        with monkeypatch.context() as patched:
            count = interrupted(patched, at, full)
            try:
                bench.do(bench.step)
            except (Refused, OSError) as error:
                assert "No space left" in str(error)  # noqa: PT017 -- whatever the call
            came = count[0] >= at
        if came:
            store = bench.base / "snapshots"
            whole = (
                [name for name in os.listdir(store) if "manifest.jsonl" in os.listdir(store / name)]
                if store.exists()
                else []
            )
            bench.do(bench.step)
            assert len(os.listdir(store)) == max(1, len(whole))
            for name in os.listdir(store):
                subprocess.run(["rm", "-r", str(store / name)], check=True)
        assert tree(bench.root) == good
    assert at > 10


def full():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_is_full_at_any_call_of_a_restore_leaves_whole_files_and_an_undo(quick, monkeypatch, tree):
    bench = Bench(quick)
    bench.do(bench.step)
    good = tree(bench.root)
    at, came = 0, True
    while came:
        at += 1
        bench.kept.unlink(missing_ok=True)
        bench.corrupt()
        bad = tree(bench.root)
        with monkeypatch.context() as patched:
            count = interrupted(patched, at, full)
            try:
                bench.do(bench.back)
            except (Failed, Refused, OSError) as error:
                assert "No space left" in str(error)  # noqa: PT017 -- whatever the call
            came = count[0] >= at
        for name, seen in tree(bench.root).items():
            if not name.endswith(".runbook") and seen[4]:
                assert seen[4] in {each[name][4] for each in (good, bad) if name in each}, (at, name)
        bench.undo()
        assert contents(tree(bench.root)) == contents(bad), at
        bench.do(bench.back)
        assert tree(bench.root) == good, at
    assert at > 20


@pytest.fixture
def attacked(tmp_path):
    """A tree with a directory that somebody swaps for a link to the outside for ever, as fast as it goes."""
    inside, outside = tmp_path / "w", tmp_path / "outside"
    for root in (inside / "t/d", outside):
        root.mkdir(parents=True)
        for number in range(20):
            (root / f"f{number}").write_text("precious" if root == outside else "ours")
            (root / f"f{number}").chmod(0o600)
    bench = Bench.__new__(Bench)
    bench.root, bench.base, bench.kept = inside, tmp_path / "agent", tmp_path / "undo.jsonl"
    bench.base.mkdir(mode=0o700)
    bench.do(Snapshot((f"{inside}/t",)))
    (inside / "t/link").symlink_to(outside)
    attacker = os.fork()
    if not attacker:
        os.setsid()
        swap = ctypes.CDLL(None).renameat2
        while True:
            swap(-100, os.fsencode(inside / "t/d"), -100, os.fsencode(inside / "t/link"), 2)
    yield bench, outside
    os.kill(attacker, signal.SIGKILL)
    os.waitpid(attacker, 0)


def change(root):
    """Write to the directory, under whatever name it has at the moment."""
    for name in ("d", "link"):
        with contextlib.suppress(OSError):
            held = os.open(root / name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            os.close(os.open(f"new{time.monotonic_ns() % 7}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=held))
            for number in range(5):
                changed = os.open(f"f{number}", os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW, dir_fd=held)
                os.write(changed, b"ours, changed")
                os.close(changed)
            os.close(held)


def test_an_attacker_who_swaps_directories_for_links_gets_nothing_written_or_kept_outside(attacked, tree):
    bench, outside = attacked
    before, until, done = tree(outside), time.monotonic() + 3.0, 0
    restore, snapshot = Restore(f"{bench.root}/t", exact=True), Snapshot((f"{bench.root}/t",), name="attacked", keep=3)
    while time.monotonic() < until or not done:
        change(bench.root / "t")
        before = tree(outside)
        for step in (restore, snapshot):
            with contextlib.suppress(Refused, Failed, OSError):
                bench.do(step)
                done += 1
        assert tree(outside) == before
    held = [path.read_bytes() for path in (bench.base / "snapshots").rglob("*") if path.is_file()]
    assert b"ours" in held
    assert b"precious" not in held
