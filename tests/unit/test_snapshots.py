# ruff: noqa: PTH104, PTH114, PTH115, PTH116, PTH118, PTH123, PTH208
# os and not pathlib: names are compared as the kernel tells them
"""Snapshots of trees and what they bring back, through the steps' own plans, on real files."""

import contextlib
import errno
import json
import os
import re
import stat
import time

import pytest

from runbook.modules.acting import copies, perform_keep, perform_restore, putting_back
from runbook.modules.acting.hands import Hands
from runbook.modules.acting.perform import Performance, undo_all
from runbook.modules.actions import Write
from runbook.modules.declare import Failed, Refused
from runbook.modules.host import Host
from runbook.modules.steps.restore import Restore
from runbook.modules.steps.snapshot import Snapshot

ROOT = os.geteuid() == 0


class Bench:
    """A tree that may be written, and the agent's own directory."""

    def __init__(self, tmp):
        self.root, self.base = tmp / "w", tmp / "agent"
        self.root.mkdir()
        self.base.mkdir(mode=0o700)
        self.undos, self.hands = [], None

    def do(self, step, *, check=False, diff=False):
        """Carry out a step as an agent does; `undos` holds what it kept."""
        self.undos = []
        self.hands = Hands([str(self.root)], self.undos.append, lambda _: None, diff=diff)
        host = Host(writable=(str(self.root),), base=str(self.base))
        try:
            performance = Performance(self.hands, step.plan(host))
            performance.check() if check else performance.carry_out()
        finally:
            self.hands.close()
        return {**self.hands.data, **step.report(host)}

    def snapshot(self, *names, **more):
        return self.do(Snapshot(tuple(str(self.root / name) for name in names or ("t",)), **more))["id"]

    def restore(self, name="t", **more):
        return self.do(Restore(str(self.root / name), **more))

    def undo(self):
        hands = Hands([str(self.root)], lambda _: None, lambda _: None)
        try:
            undo_all(hands, self.undos[::-1])
        finally:
            hands.close()
        return hands.actions

    @property
    def changed(self):
        return any(action["changed"] for action in self.hands.actions)

    @property
    def what(self):
        return self.hands.actions[0]["what"]

    def copies(self):
        return sorted(os.listdir(self.base / "snapshots")) if (self.base / "snapshots").exists() else []

    def picture(self, name="t"):
        """Everything a person could miss, by path."""
        found, groups = {}, {}
        root = os.fsencode(self.root / name)
        for above, directories, files in os.walk(root):
            for child in [b".", *files, *(each for each in directories if os.path.islink(os.path.join(above, each)))]:
                path = os.path.normpath(os.path.join(above, child))
                seen = os.lstat(path)
                held = None
                if stat.S_ISREG(seen.st_mode):
                    with open(path, "rb") as file:
                        held = file.read()
                elif stat.S_ISLNK(seen.st_mode):
                    held = os.readlink(path)
                twin = groups.setdefault(seen.st_ino, path) if stat.S_ISREG(seen.st_mode) else None
                attributes = {} if stat.S_ISLNK(seen.st_mode) else {n: os.getxattr(path, n) for n in os.listxattr(path)}
                found[path] = (seen.st_mode, seen.st_uid, seen.st_gid, seen.st_mtime_ns, held, twin, attributes)
        return found


@pytest.fixture
def bench(tmp_path):
    one = Bench(tmp_path)
    tree = one.root / "t"
    (tree / "d/deep").mkdir(parents=True)
    (tree / "a.json").write_text('{"port": 8000}\n')
    (tree / "a.json").chmod(0o640)
    (tree / "d/b.txt").write_text("b\n")
    (tree / "d/deep/empty").touch()
    (tree / "link").symlink_to("d/b.txt")
    (tree / "dangling").symlink_to("/nowhere")
    (tree / "to a directory").symlink_to("d")
    (tree / "line\nbreak").write_text("n")
    with open(os.fsencode(tree) + b"/\xff\xfe", "w") as file:
        file.write("no UTF-8")
    os.link(tree / "d/b.txt", tree / "twin")
    with contextlib.suppress(OSError):  # a file system without them
        os.setxattr(tree / "a.json", "user.note", b"mine\0")
    for path in (tree / "a.json", tree / "d/b.txt", tree / "d/deep", tree / "d", tree):
        os.utime(path, ns=(1_600_000_000_123_456_789, 1_600_000_001_987_654_321))
    return one


def corrupt(root):
    (root / "t/a.json").write_text("half")
    (root / "t/a.json").chmod(0o666)
    (root / "t/d/b.txt").unlink()
    (root / "t/d/deep/empty").unlink()
    (root / "t/d/deep").rmdir()
    (root / "t/link").unlink()
    (root / "t/link").write_text("no link")
    (root / "t/dangling").unlink()
    (root / "t/dangling").symlink_to("/elsewhere")


def test_a_restore_brings_everything_back_as_it_was(bench):
    before = bench.picture()
    bench.snapshot()
    corrupt(bench.root)
    assert bench.picture() != before
    told = bench.restore()
    assert bench.picture() == before
    assert bench.changed
    assert f"{bench.root}/t/a.json" in told["restored"]
    assert told["source"] == bench.copies()[0]
    bench.restore()
    assert bench.hands.actions == []


def test_the_undo_of_a_snapshot_brings_everything_back_and_leaves_what_is_new(bench):
    before = bench.picture()
    bench.snapshot()
    corrupt(bench.root)
    (bench.root / "t/new").write_text("new")
    (said,) = bench.undo()
    assert (said["action"], said["changed"]) == ("undo keep", True)
    after = bench.picture()
    assert after.pop(os.fsencode(bench.root / "t/new"))[4] == b"new"
    assert after == before
    assert re.search(r"; what stood there is 000002-\S+$", said["what"])
    (said,) = bench.undo()
    assert (said["changed"], len(bench.copies())) == (False, 2)
    bench.restore(from_=bench.copies()[1])
    assert (bench.root / "t/a.json").read_text() == "half"


def test_without_room_for_what_stood_there_a_rollback_goes_on(bench, monkeypatch):
    before = bench.picture()
    bench.snapshot()
    corrupt(bench.root)
    monkeypatch.setattr(perform_restore, "_EVIDENCE", 1)
    (said,) = bench.undo()
    assert "what stood there" not in said["what"]
    assert (bench.picture(), len(bench.copies())) == (before, 1)


def test_a_snapshot_that_was_pruned_can_not_be_put_back_and_says_so(bench):
    bench.snapshot()
    undos = bench.undos
    (bench.root / "t/a.json").write_text("{}")
    bench.snapshot(keep=1)
    bench.undos = undos
    with pytest.raises(Failed, match=r"there is no snapshot 000001-\S+ in \S+ \(any more\)"):
        bench.undo()


def test_the_undo_of_a_snapshot_in_a_directory_of_ones_own_finds_it_there(bench):
    before = bench.picture()
    bench.snapshot(into=f"{bench.root}/copies")
    corrupt(bench.root)
    bench.undo()
    assert bench.picture() == before


def test_the_undo_of_a_restore_brings_the_corruption_back(bench):
    bench.snapshot()
    corrupt(bench.root)
    (bench.root / "t/new").mkdir()
    (bench.root / "t/new/file").write_text("n")
    corrupted = bench.picture()
    bench.restore(exact=True)
    assert not (bench.root / "t/new").exists()
    bench.undo()
    assert bench.picture() == corrupted


def test_an_undo_of_a_restore_leaves_what_somebody_changed_since(bench):
    bench.snapshot()
    corrupt(bench.root)
    bench.restore()
    (bench.root / "t/a.json").write_text("by a person")
    with pytest.raises(Failed, match=r"a\.json: was changed by somebody since; it stays"):
        bench.undo()
    assert (bench.root / "t/a.json").read_text() == "by a person"
    assert (bench.root / "t/link").read_text() == "no link"


def test_what_is_new_stays_and_is_counted_or_goes_with_exact(bench):
    bench.snapshot()
    before = bench.picture()
    (bench.root / "t/d/new").mkdir()
    (bench.root / "t/d/new/x").write_text("x")
    (bench.root / "t/d/new/out").symlink_to("/etc")
    assert bench.restore()["left"] == 3
    assert (bench.root / "t/d/new/x").exists()
    assert bench.restore(exact=True)["removed"] == 3
    assert bench.picture() == before


def test_a_directory_in_the_place_of_a_file_goes_only_when_it_is_empty_or_with_exact(bench):
    before = bench.picture()
    bench.snapshot()
    (bench.root / "t/a.json").unlink()
    (bench.root / "t/a.json").mkdir()
    (bench.root / "t/a.json/x").write_text("x")
    with pytest.raises(Failed, match=r"1 of 2 entries not put back: .*a\.json: Directory not empty"):
        bench.restore()
    assert (bench.root / "t/a.json/x").read_text() == "x"
    bench.restore(exact=True)
    assert bench.picture() == before


def test_a_file_in_the_place_of_a_directory_makes_way(bench):
    before = bench.picture()
    bench.snapshot()
    os.rename(bench.root / "t/d", bench.root / "gone")
    (bench.root / "t/d").write_text("a file")
    bench.restore()
    after = bench.picture()
    assert {path: seen[:5] for path, seen in after.items()} == {path: seen[:5] for path, seen in before.items()}


def test_a_single_file_of_a_lost_directory_comes_back_with_the_directory_alone(bench):
    bench.snapshot()
    os.rename(bench.root / "t/d", bench.root / "gone")
    bench.restore("t/d/b.txt")
    assert os.listdir(bench.root / "t/d") == ["b.txt"]
    assert (bench.root / "t/d/b.txt").read_text() == "b\n"


@pytest.mark.skipif(not ROOT, reason="only root gives files away")
def test_owners_come_back_and_a_copy_is_nobodys_but_ours(bench):
    os.chown(bench.root / "t/a.json", 65534, 65534)
    os.chown(bench.root / "t/link", 65534, 65534, follow_symlinks=False)
    bench.snapshot()
    os.chown(bench.root / "t/a.json", 0, 0)
    os.chown(bench.root / "t/link", 0, 0, follow_symlinks=False)
    bench.restore()
    assert [os.lstat(bench.root / "t" / name).st_uid for name in ("a.json", "link")] == [65534, 65534]
    store = bench.base / "snapshots"
    for path in [store, *store.rglob("*")]:
        assert (path.stat().st_uid, path.stat().st_mode & 0o077) == (0, 0)


def test_a_snapshot_of_what_did_not_change_is_the_one_before_and_still_has_its_undo(bench):
    first = bench.snapshot()
    assert (bench.snapshot(), bench.changed) == (first, False)
    assert [undo["copy"] for undo in bench.undos] == [first]
    (bench.root / "t/a.json").write_text("{}")
    assert (bench.snapshot(), bench.changed) != (first, False)
    assert len(bench.copies()) == 2


def test_a_change_that_keeps_size_and_time_is_seen(bench):
    bench.snapshot()
    path, seen = bench.root / "t/a.json", os.stat(bench.root / "t/a.json")
    path.write_text('{"port": 9000}\n')
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    bench.snapshot()
    assert len(bench.copies()) == 2
    bench.undo()
    bench.restore(from_=bench.copies()[0])
    assert path.read_text() == '{"port": 8000}\n'


def test_the_newest_are_kept_of_each_name_and_a_file_that_did_not_change_is_kept_once(bench, monkeypatch):
    monkeypatch.setattr(perform_keep.likeness, "SETTLED", 0)
    (bench.root / "t/large").write_bytes(os.urandom(100_000))
    bench.snapshot(name="other")
    for number in range(4):
        (bench.root / "t/a.json").write_text(str(number))
        bench.snapshot(keep=2)
    store = copies.open_own(str(bench.base / "snapshots"))
    with store:
        listed = store.list()
        assert [(about.name, about.id[:6]) for about in listed] == [("", "000005"), ("", "000004"), ("other", "000001")]
        held = [
            {thing.path: thing for thing in store.read(about.id)[1]}[f"{bench.root}/t/large"] for about in listed[:2]
        ]
    one, two = ((bench.base / "snapshots" / listed[n].id / held[n].file).stat() for n in (0, 1))
    assert one.st_ino == two.st_ino
    bench.do(Restore(f"{bench.root}/t", name="other"))
    assert (bench.root / "t/a.json").read_text() == '{"port": 8000}\n'


@pytest.mark.parametrize("lacking", [False, True], ids=["at once", "one by one"])
def test_many_files_are_made_durable(bench, monkeypatch, lacking):
    (bench.root / "t/many").mkdir()
    for number in range(250):
        (bench.root / f"t/many/{number}").write_text(str(number))
    before, asked = bench.picture(), []
    sync_all = copies.content.sync_all
    monkeypatch.setattr(copies.content, "sync_all", lambda held: asked.append(held) or (not lacking and sync_all(held)))
    bench.snapshot()
    assert len(asked) == 1
    corrupt(bench.root)
    bench.restore()
    assert bench.picture() == before


def test_what_is_too_large_is_refused_and_leaves_nothing(bench):
    (bench.root / "t/large").write_bytes(b"x" * 300_000)
    with pytest.raises(Refused, match=r"300 kB to keep, more than `max_size: 200 kB`; raise it, or name less"):
        bench.snapshot(max_size=200_000)
    assert bench.copies() == []


def test_a_file_that_grows_meanwhile_does_not_make_the_copy_larger_than_allowed(bench, monkeypatch):
    monkeypatch.setattr(Snapshot, "_affordable", lambda *_: None)
    (bench.root / "t/large").write_bytes(b"x" * 300_000)
    with pytest.raises(Refused, match=r"larger than `max_size: 200 kB` allows"):
        bench.snapshot(max_size=200_000)
    assert (bench.copies(), bench.undos) == ([], [])


def test_a_huge_file_of_holes_is_copied_in_no_time_and_comes_back_as_one(bench):
    huge = bench.root / "t/huge"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 39)
        file.write(b"in the middle")
    began = time.process_time()
    bench.snapshot(max_size=2_000_000)
    huge.unlink()
    bench.restore()
    assert time.process_time() - began < 2
    with huge.open("rb") as file:
        file.seek((1 << 39) - 1)
        assert file.read(15) == b"\0in the middle\0"
    assert (huge.stat().st_size, huge.stat().st_blocks < 2000) == (1 << 40, True)


def test_pipes_sockets_and_devices_are_left_out_and_left_alone(bench):
    os.mkfifo(bench.root / "t/pipe")
    if ROOT:
        os.mknod(bench.root / "t/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    bench.snapshot()
    assert bench.hands.data["left_out"] == 1 + ROOT
    assert f"{1 + ROOT} not kept" in bench.what
    bench.restore(exact=True)
    assert stat.S_ISFIFO((bench.root / "t/pipe").stat().st_mode)


def test_links_that_lead_out_are_kept_as_links_and_never_followed(bench, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("s")
    (bench.root / "t/out").symlink_to(outside)
    bench.snapshot()
    assert bench.hands.data["files"] == 6
    (bench.root / "t/out").unlink()
    (bench.root / "t/d/b.txt").unlink()
    (bench.root / "t/d/deep/empty").unlink()
    (bench.root / "t/d/deep").rmdir()
    (bench.root / "t/d").rmdir()
    (bench.root / "t/d").symlink_to(outside)
    bench.restore()
    assert os.listdir(outside) == ["secret"]
    assert os.readlink(bench.root / "t/out") == str(outside)
    assert not (bench.root / "t/d").is_symlink()


def test_a_file_with_a_name_outside_is_replaced_and_not_written(bench, tmp_path):
    bench.snapshot()
    (tmp_path / "outside").write_text("theirs")
    (tmp_path / "outside").chmod(0o600)
    (bench.root / "t/a.json").unlink()
    os.link(tmp_path / "outside", bench.root / "t/a.json")
    bench.restore()
    assert (bench.root / "t/a.json").read_text() == '{"port": 8000}\n'
    assert ((tmp_path / "outside").read_text(), (tmp_path / "outside").stat().st_mode & 0o777) == ("theirs", 0o600)


def test_a_file_with_a_name_outside_does_not_get_another_mode_there(bench, tmp_path):
    bench.snapshot()
    os.link(bench.root / "t/a.json", tmp_path / "outside")
    (bench.root / "t/a.json").chmod(0o600)
    bench.restore()
    assert (bench.root / "t/a.json").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "outside").stat().st_mode & 0o777 == 0o600


def test_a_store_that_others_may_write_to_is_refused(bench):
    (bench.base / "snapshots").mkdir()
    (bench.base / "snapshots").chmod(0o777)
    with pytest.raises(Refused, match=r"snapshots: others may write there \(owner \d+, mode 0777\)"):
        bench.snapshot()
    with pytest.raises(Refused, match="others may write there"):
        bench.restore()


def test_into_is_made_for_us_alone_and_serves_restore(bench):
    into = f"{bench.root}/copies"
    bench.snapshot(into=into)
    assert os.stat(into).st_mode & 0o777 == 0o700
    before = bench.picture()
    corrupt(bench.root)
    with pytest.raises(Failed, match=r"agent/snapshots is not there: no snapshot was taken"):
        bench.restore()
    bench.restore(kept_in=into)
    assert bench.picture() == before
    assert len(bench.copies()) == 1  # what it found there


def test_a_damaged_copy_puts_nothing_back(bench):
    identity = bench.snapshot()
    blob = next(
        path for path in (bench.base / "snapshots" / identity).iterdir() if path.read_bytes() == b'{"port": 8000}\n'
    )
    blob.write_text('{"port": 8001}\n')
    (bench.root / "t/a.json").write_text("half")
    with pytest.raises(Failed, match=r"a\.json: its copy in \S+ is damaged; it stays as it is"):
        bench.restore()
    assert (bench.root / "t/a.json").read_text() == "half"
    assert [name for name in os.listdir(bench.root / "t") if name.endswith(".runbook")] == []


def test_what_a_killed_snapshot_left_is_swept_and_was_never_a_snapshot(bench):
    left = bench.base / "snapshots/000001-20261122T084050"
    left.mkdir(parents=True)
    (bench.base / "snapshots").chmod(0o700)
    (left / "0").write_text("half")
    (left / "manifest.jsonl.new").write_text("half")
    with pytest.raises(Failed, match="no snapshot in"):
        bench.restore()
    identity = bench.snapshot()
    assert bench.copies() == [identity]
    assert identity.startswith("000002-")


def test_what_a_killed_restore_left_is_cleared_away(bench):
    bench.snapshot()
    (bench.root / "t/a.json").write_text("half")
    (bench.root / "t" / putting_back.beside("a.json")).write_text("{")
    bench.restore()
    assert [name for name in os.listdir(bench.root / "t") if name.endswith(".runbook")] == []


def test_a_restore_that_stops_at_a_full_disk_is_undone_or_run_again(bench, monkeypatch):
    before = bench.picture()
    bench.snapshot()
    corrupt(bench.root)
    corrupted, dress, seen = bench.picture(), putting_back.likeness.dress, []

    def full(*given):
        seen.append(given)
        if len(seen) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        dress(*given)

    monkeypatch.setattr(putting_back.likeness, "dress", full)
    with pytest.raises(Failed, match=r"entries not put back: .*: No space left on device"):
        bench.restore()
    assert bench.picture() != corrupted
    monkeypatch.setattr(putting_back.likeness, "dress", dress)
    bench.undo()
    assert bench.picture() == corrupted
    bench.restore()
    assert bench.picture() == before


def test_check_says_what_would_be_and_diff_shows_it(bench):
    step = Snapshot((f"{bench.root}/t",))
    bench.do(step, check=True)
    assert (bench.copies(), bench.what) == ([], f"12 entries of {bench.root}/t")
    bench.snapshot()
    corrupt(bench.root)
    corrupted = bench.picture()
    bench.do(Restore(f"{bench.root}/t"), check=True, diff=True)
    assert bench.picture() == corrupted
    assert bench.what.startswith(f"6 files, 3 directories: {bench.root}/t from snapshot ")
    shown = "".join(bench.hands.diffs)
    assert '-half\n\\ No newline at end of file\n+{"port": 8000}\n' in shown
    assert f"{bench.root}/t/link: is something else, becomes a link\n" in shown
    assert f"{bench.root}/t/dangling: leads elsewhere, goes to /nowhere\n" in shown
    assert f"{bench.root}/t/d/b.txt: is missing, becomes a file\n" in shown


def test_without_a_snapshot_what_an_earlier_write_found_comes_back(bench):
    intents = bench.base / "intents"
    intents.mkdir()
    path = bench.root / "t/a.json"
    before = bench.picture()
    undos = []
    hands = Hands([str(bench.root)], undos.append, lambda _: None)
    Performance(hands, [Write(str(path), b"{}")]).carry_out()
    hands.close()
    (intents / "i1.undo.jsonl").write_text("".join(json.dumps(undo) + "\n" for undo in undos))
    path.write_text("and then corrupted")
    assert bench.restore("t/a.json")["source"] == "undo"
    assert bench.picture()[os.fsencode(path)] == before[os.fsencode(path)]
    bench.undo()
    assert path.read_text() == "and then corrupted"


def test_what_no_snapshot_holds_is_told_with_what_there_is(bench):
    (bench.root / "u").write_text("u")
    identity = bench.snapshot("u", name="before upgrade")
    with pytest.raises(Failed) as told:
        bench.restore()
    there = f"there are {identity} (before upgrade) of {bench.root}/u"
    assert str(told.value) == f"no snapshot in {bench.base}/snapshots holds {bench.root}/t; {there}"
