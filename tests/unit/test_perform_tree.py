# ruff: noqa: PTH208
# os and not pathlib: names are compared as the kernel tells them
import contextlib
import os
import stat

import pytest

from runbook.modules.acting import owners, walking
from runbook.modules.acting.hands import Hands
from runbook.modules.acting.perform import Performance, undo_all
from runbook.modules.actions import Delete, Entry, Own
from runbook.modules.declare import Failed, Refused
from runbook.modules.host import Host
from runbook.modules.steps.chown import Chown


class Bench:
    """A writable tree, and what a performance kept and reported."""

    def __init__(self, root):
        self.root = root
        self.undos = []
        self.hands = None

    def entries(self, below=""):
        return tuple(found.entry for found in walking.walk(Host(), f"{self.root}/{below}".rstrip("/")))

    def do(self, *actions, check=False):
        self.hands = Hands([str(self.root)], self.undos.append, lambda _: None)
        performance = Performance(self.hands, actions)
        try:
            performance.check() if check else performance.carry_out()
        finally:
            self.hands.close()
        return self.hands.actions

    def undo(self):
        hands = Hands([str(self.root)], lambda _: None, lambda _: None)
        try:
            undo_all(hands, self.undos[::-1])
        finally:
            hands.close()
        return hands.actions


@pytest.fixture
def bench(tmp_path):
    (tmp_path / "w").mkdir()
    return Bench(tmp_path / "w")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_tree_is_deleted_with_its_root_and_the_report_weighs_it(bench):
    (bench.root / "c/d/e").mkdir(parents=True)
    (bench.root / "c/d/f").write_bytes(b"x" * 1500)
    (bench.root / "c/g").write_bytes(b"")
    (said,) = bench.do(Delete(f"{bench.root}/c", bench.entries("c")))
    assert said == {
        "action": "delete",
        "what": f"2 files, 1.5 kB and 3 directories below {bench.root}/c",
        "changed": True,
    }
    assert os.listdir(bench.root) == []


def test_entries_are_deleted_in_an_order_that_works_however_they_are_given(bench):
    (bench.root / "c/d").mkdir(parents=True)
    (bench.root / "c/d/f").write_text("")
    bench.do(Delete(f"{bench.root}/c", bench.entries("c")[::-1]))
    assert os.listdir(bench.root) == []


def test_a_link_is_deleted_and_not_what_it_points_to(bench, tmp_path):
    (tmp_path / "kept").write_text("x")
    (bench.root / "c").mkdir()
    (bench.root / "c/link").symlink_to(tmp_path / "kept")
    bench.do(Delete(f"{bench.root}/c", bench.entries("c")))
    assert (tmp_path / "kept").read_text() == "x"
    assert not (bench.root / "c").exists()


def test_one_name_of_a_file_with_several_is_deleted(bench, tmp_path):
    (tmp_path / "kept").write_text("x")
    os.link(tmp_path / "kept", bench.root / "other")
    bench.do(Delete(str(bench.root), bench.entries()[:1]))
    assert (tmp_path / "kept").read_text() == "x"
    assert os.listdir(bench.root) == []


def test_what_vanished_meanwhile_is_no_fault(bench):
    (bench.root / "a").write_text("")
    (bench.root / "b").write_text("")
    entries = bench.entries()[:2]
    (bench.root / "a").unlink()
    (said,) = bench.do(Delete(str(bench.root), entries))
    assert said["what"] == f"1 file, 0 B below {bench.root}"


def test_what_was_replaced_meanwhile_stays_and_the_rest_is_deleted(bench):
    for name in "ab":
        (bench.root / name).write_text("seen")
    entries = bench.entries()[:2]
    (bench.root / "new").write_text("new")
    (bench.root / "new").replace(bench.root / "a")
    with pytest.raises(Failed, match=f"1 of 2 entries not deleted: {bench.root}/a: became something else"):
        bench.do(Delete(str(bench.root), entries))
    assert os.listdir(bench.root) == ["a"]
    assert bench.hands.actions[0]["changed"]


def test_a_directory_that_filled_again_stays_without_a_fault(bench):
    (bench.root / "c").mkdir()
    entries = bench.entries("c")
    (bench.root / "c/new").write_text("x")
    (said,) = bench.do(Delete(f"{bench.root}/c", entries))
    assert "1 directory filled again and stays" in said["what"]
    assert (bench.root / "c/new").read_text() == "x"


def test_a_directory_swapped_for_a_link_before_the_delete_is_refused(bench, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/f").write_text("x")
    (bench.root / "c").mkdir()
    (bench.root / "c/f").write_text("x")
    entries = bench.entries("c")[:1]
    (bench.root / "c").rename(bench.root / "was")
    (bench.root / "c").symlink_to(tmp_path / "outside")
    with pytest.raises(Refused, match="links are not followed"):
        bench.do(Delete(f"{bench.root}/c", entries))
    assert (tmp_path / "outside/f").exists()
    assert not bench.hands.touched


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../outside"])
def test_an_entry_that_climbs_out_of_its_tree_is_refused(bench, tmp_path, path):
    (tmp_path / "outside").write_text("x")
    seen = (tmp_path / "outside").stat()
    with pytest.raises(Refused, match="an entry must lie below its tree"):
        bench.do(Delete(str(bench.root), (Entry(path, seen.st_dev, seen.st_ino),)))
    assert (tmp_path / "outside").exists()


def test_the_writable_entry_itself_is_not_deleted(bench):
    with pytest.raises(Refused, match="only what lies below it is deleted"):
        bench.do(Delete(str(bench.root), bench.entries()))
    assert bench.root.is_dir()


def test_check_deletes_nothing_and_says_what_would_go(bench):
    (bench.root / "a").write_text("xyz")
    (said,) = bench.do(Delete(str(bench.root), bench.entries()[:1]), check=True)
    assert said == {"action": "delete", "what": f"1 file, 3 B below {bench.root}", "changed": True}
    assert (bench.root / "a").exists()


def test_modes_are_set_where_they_differ_and_given_back_by_the_undo(bench):
    (bench.root / "d").mkdir(mode=0o755)
    (bench.root / "d/wrong").write_text("")
    (bench.root / "d/wrong").chmod(0o606)
    (bench.root / "d/right").write_text("")
    (bench.root / "d/right").chmod(0o640)
    (said,) = bench.do(Own(f"{bench.root}/d", bench.entries("d"), file_mode=0o640, directory_mode=0o750))
    assert said["what"] == f"2 entries of {bench.root}/d: mode 0640, mode of directories 0750"
    assert (mode(bench.root / "d"), mode(bench.root / "d/wrong")) == (0o750, 0o640)
    bench.undo()
    assert (mode(bench.root / "d"), mode(bench.root / "d/wrong")) == (0o755, 0o606)


def test_a_tree_as_it_should_be_changes_nothing(bench):
    (bench.root / "f").write_text("")
    (bench.root / "f").chmod(0o640)
    (said,) = bench.do(Own(str(bench.root), bench.entries()[:1], file_mode=0o640))
    assert (said["changed"], bench.undos) == (False, [])


def test_a_file_with_several_hard_links_refuses_the_whole_own_before_anything_is_changed(bench, tmp_path):
    (tmp_path / "shadow").write_text("secret")
    (tmp_path / "shadow").chmod(0o600)
    os.link(tmp_path / "shadow", bench.root / "z")
    (bench.root / "a").write_text("")
    (bench.root / "a").chmod(0o600)
    with pytest.raises(Refused, match=f"{bench.root}/z: has 2 hard links"):
        bench.do(Own(str(bench.root), bench.entries(), file_mode=0o666))
    assert (mode(tmp_path / "shadow"), mode(bench.root / "a")) == (0o600, 0o600)
    assert not bench.hands.touched


def test_the_mode_of_what_a_link_points_to_is_left_alone(bench, tmp_path):
    (tmp_path / "outside").write_text("")
    (tmp_path / "outside").chmod(0o600)
    (bench.root / "link").symlink_to(tmp_path / "outside")
    bench.do(Own(str(bench.root), bench.entries(), file_mode=0o666))
    assert mode(tmp_path / "outside") == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_owner_and_group_of_a_link_are_its_own_and_are_given_back(bench, tmp_path):
    (tmp_path / "outside").write_text("")
    (bench.root / "link").symlink_to(tmp_path / "outside")
    bench.do(Own(str(bench.root), bench.entries(), uid=12345, gid=23456))
    assert ((bench.root / "link").lstat().st_uid, (bench.root / "link").lstat().st_gid) == (12345, 23456)
    assert (tmp_path / "outside").stat().st_uid == 0
    assert bench.root.stat().st_uid == 12345
    bench.undo()
    assert ((bench.root / "link").lstat().st_uid, bench.root.stat().st_uid) == (0, 0)


def test_an_undo_leaves_an_entry_that_became_another_file(bench):
    (bench.root / "f").write_text("")
    (bench.root / "f").chmod(0o600)
    bench.do(Own(str(bench.root), bench.entries()[:1], file_mode=0o640))
    (bench.root / "g").write_text("")
    (bench.root / "g").chmod(0o604)
    (bench.root / "g").replace(bench.root / "f")
    with pytest.raises(Failed, match="became something else"):
        bench.undo()
    assert mode(bench.root / "f") == 0o604


def test_a_single_file_can_be_the_root(bench):
    (bench.root / "f").write_text("")
    bench.do(Own(f"{bench.root}/f", bench.entries("f"), file_mode=0o600))
    assert mode(bench.root / "f") == 0o600
    bench.do(Delete(f"{bench.root}/f", bench.entries("f")))
    assert os.listdir(bench.root) == []


def test_no_descriptor_stays_open_after_a_refusal(bench):
    (bench.root / "a/b").mkdir(parents=True)
    entry = Entry("a/b", 1, 1, directory=True)
    before = len(os.listdir("/proc/self/fd"))
    for action in (Delete(str(bench.root), (entry,)), Own(str(bench.root), (entry,), file_mode=0o600)):
        with pytest.raises(Refused):
            bench.do(action)
    assert len(os.listdir("/proc/self/fd")) == before


def chown(bench, path):
    """A plan of the step, as root makes it for what it owns."""
    return Chown(path, group=str(OTHER), recursive=True).plan(Host(writable=(str(bench.root),)))


OTHER = 12345
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may choose a group")


@pytest.fixture
def held(monkeypatch):
    """What is opened by its name, to be changed by its descriptor."""
    opened, open_ = [], os.open

    def told(path, flags, *args, **options):
        opened.append(path)
        return open_(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", told)
    return opened


@ROOT
@pytest.mark.parametrize(
    ("owner", "rights", "held_open"), [(0, 0o755, False), (0, 0o775, True), (0, 0o757, True), (12345, 0o755, True)]
)
def test_only_where_nobody_else_can_swap_files_are_they_changed_by_their_names(bench, held, owner, rights, held_open):
    (bench.root / "d").mkdir()
    (bench.root / "d/file").write_text("")
    (bench.root / "d").chmod(rights)
    os.chown(bench.root / "d", owner, 0)
    bench.do(*chown(bench, f"{bench.root}/d"))
    assert ("file" in held) is held_open
    assert (bench.root / "d/file").stat().st_gid == OTHER
    bench.undo()
    assert (bench.root / "d/file").stat().st_gid == 0


@ROOT
@pytest.mark.parametrize("how", ["the file", "the directory"])
def test_what_took_a_files_place_after_the_plan_is_not_owned_though_only_root_could_put_it_there(bench, tmp_path, how):
    (bench.root / "p/d").mkdir(parents=True)
    (bench.root / "p/d/file").write_text("")
    (tmp_path / "outside").write_text("")
    actions = chown(bench, f"{bench.root}/p/d")
    if how == "the directory":
        (bench.root / "p/d").rename(bench.root / "p/was")
        (bench.root / "p/d").mkdir()
    else:
        (bench.root / "p/d/file").unlink()
    os.link(tmp_path / "outside", bench.root / "p/d/file")
    with pytest.raises((Failed, Refused), match="became something else since it was looked at"):
        bench.do(*actions)
    assert (tmp_path / "outside").stat().st_gid == 0


@pytest.fixture
def full(bench):
    """A full directory that belongs to a user, as all that lies in it."""
    (bench.root / "d").mkdir()
    for number in range(owners.LEAST):
        (bench.root / f"d/f{number}").write_text("")
    for path in (bench.root / "d", *(bench.root / "d").iterdir()):
        os.chown(path, OTHER, OTHER)
    return bench.root / "d"


def give(bench, path, owner):
    """A plan of giving a tree to another user."""
    return Chown(str(path), owner=str(owner), recursive=True).plan(Host(writable=(str(bench.root),)))


def uids(path):
    return {seen.stat().st_uid for seen in (path, *path.iterdir())}


@ROOT
def test_a_full_directory_is_taken_from_the_owner_who_loses_it_and_its_files_are_changed_by_name(bench, full, held):
    bench.do(*give(bench, full, OTHER + 1))
    assert "f7" not in held
    assert uids(full) == {OTHER + 1}
    bench.undo()
    assert uids(full) == {OTHER}


@ROOT
def test_a_directory_whose_owner_keeps_it_is_not_taken_for_a_service_may_be_writing_there(bench, full, held):
    for number in range(owners.LEAST):
        os.chown(full / f"f{number}", 0, 0)
    bench.do(*give(bench, full, OTHER))
    assert "f7" in held
    assert uids(full) == {OTHER}


@ROOT
def test_what_took_a_files_place_in_a_directory_of_its_own_user_is_not_owned_and_the_rest_is(bench, full, tmp_path):
    (tmp_path / "outside").write_text("")
    actions = give(bench, full, OTHER + 1)
    (full / "f7").unlink()
    os.link(tmp_path / "outside", full / "f7")
    with pytest.raises(Failed, match="f7: became something else since it was looked at"):
        bench.do(*actions)
    assert (tmp_path / "outside").stat().st_uid == 0
    assert {path.stat().st_uid for path in full.iterdir() if path.name != "f7"} == {OTHER + 1}
    assert full.stat().st_uid == OTHER  # what comes after the failure was not begun


@ROOT
def test_a_link_that_took_a_files_place_leads_nobody_out_of_a_directory_that_is_taken(bench, full, tmp_path):
    (tmp_path / "outside").write_text("")
    actions = give(bench, full, OTHER + 1)
    (full / "f7").unlink()
    (full / "f7").symlink_to(tmp_path / "outside")  # it may get the very inode of the file
    with contextlib.suppress(Failed):
        bench.do(*actions)
    assert (tmp_path / "outside").stat().st_uid == 0


@ROOT
def test_a_directory_that_was_taken_is_its_owners_again_when_the_work_ends_in_the_middle(bench, full, monkeypatch):
    change, done = os.chown, []

    def interrupted(*args, **options):
        if len(done) == owners.LEAST // 2:
            raise KeyboardInterrupt
        change(*args, **options)
        done.append(full.stat().st_uid)

    actions = give(bench, full, OTHER + 1)
    monkeypatch.setattr(os, "chown", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench.do(*actions)
    monkeypatch.undo()
    assert set(done) == {0}
    assert full.stat().st_uid == OTHER
    assert uids(full) == {OTHER, OTHER + 1}
    bench.undo()
    assert uids(full) == {OTHER}
