# ruff: noqa: PTH123, PTH208
# os and not pathlib: names are compared as the kernel tells them
import os
import pwd

import pytest

from runbook.modules.acting import tree, walking, writable
from runbook.modules.acting.tree import DEEPEST, Tree
from runbook.modules.declare import Refused
from runbook.modules.host import Host


def paths(root):
    return [found.path for found in walking.walk(Host(), str(root))]


def test_a_walk_yields_children_before_their_directory_and_the_root_last(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/c").write_text("x")
    assert paths(tmp_path) == ["a/b/c", "a/b", "a", ""]


def test_a_walk_shows_a_link_and_does_not_follow_it(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there/secret").write_text("x")
    (tmp_path / "here").mkdir()
    (tmp_path / "here/link").symlink_to(tmp_path / "there")
    found = list(walking.walk(Host(), str(tmp_path / "here")))
    assert [(one.path, one.link) for one in found] == [("link", True), ("", False)]


def test_a_walk_of_a_link_is_refused_with_the_real_path(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(Refused, match=rf"is a link; name the real path \({tmp_path}/real\)"):
        paths(tmp_path / "link")


def test_a_walk_through_a_link_is_refused(tmp_path):
    (tmp_path / "real/below").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(Refused, match="is a link"):
        paths(tmp_path / "link/below")


def test_a_walk_of_a_file_yields_only_it(tmp_path):
    (tmp_path / "f").write_text("123")
    (only,) = walking.walk(Host(), str(tmp_path / "f"))
    assert (only.path, only.file, only.entry.size) == ("", True, 3)


def test_a_walk_of_what_is_not_there_yields_nothing(tmp_path):
    assert paths(tmp_path / "gone/too") == []


def test_names_that_are_not_utf8_are_found_and_can_be_opened_again(tmp_path):
    raw = os.fsencode(tmp_path) + b"/\xff\xfe"
    with open(raw, "wb"):
        pass
    name = paths(tmp_path)[0]
    assert os.fsencode(name) == b"\xff\xfe"


def test_a_tree_deeper_than_the_limit_is_refused_and_leaves_no_descriptor_open(tmp_path):
    directory = os.open(tmp_path, os.O_RDONLY)
    for _ in range(DEEPEST + 2):
        os.mkdir("d", dir_fd=directory)
        below = os.open("d", os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = below
    os.close(directory)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(Refused, match="more than 200 deep"):
        paths(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "entry", ["/", "//", "/etc", "/usr/", "/var", "/home", "/root", "/tmp", "/proc/1", "/boot/grub"]
)
def test_what_belongs_to_the_system_is_no_writable_entry(entry):
    with pytest.raises(Refused, match="can't be used"):
        tree.inside(f"{entry}/x", [entry])


def test_an_accounts_home_is_no_writable_entry(tmp_path, monkeypatch):
    account = pwd.struct_passwd(("alice", "x", 1, 1, "", str(tmp_path), "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwall", lambda: [account])
    writable.homes.cache_clear()
    try:
        with pytest.raises(Refused, match=f"{tmp_path} is an account's home; name a directory below it"):
            tree.inside(f"{tmp_path}/x", [str(tmp_path)])
        assert tree.inside(f"{tmp_path}/x/y", [f"{tmp_path}/x"]) == f"{tmp_path}/x"
    finally:
        writable.homes.cache_clear()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("{tmp}/../etc/passwd", "`..` may leave what is writable"),
        ("relative/x", "not an absolute path"),
        ("/etc/passwd", r"lies outside of what is writable \({tmp}\)"),
        ("{tmp}x", "lies outside of what is writable"),
        ("{tmp}/link/passwd", "links are not followed"),
        ("{tmp}/link", "links are not followed"),
        ("{tmp}/a\0b", "NUL"),
    ],
)
def test_what_leaves_writable_is_refused(tmp_path, path, reason):
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(Refused, match=reason.format(tmp=tmp_path)):
        tree.inside(path.format(tmp=tmp_path), [str(tmp_path)])


def test_without_writable_everything_is_refused_and_the_message_says_what_to_write(tmp_path):
    with pytest.raises(Refused, match=r"nothing is writable; name its tree in the runbook: `writable: \[/x/y\]`"):
        tree.inside("/x/y", [])


def test_a_writable_entry_with_a_link_in_its_own_path_is_refused_with_the_real_one(tmp_path):
    (tmp_path / "real/cache").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(Refused, match=rf"is a link; name the real path in `writable` \({tmp_path}/real\)"):
        tree.inside(f"{tmp_path}/link/cache/x", [f"{tmp_path}/link/cache"])


def test_the_deepest_entry_covers_a_path_and_what_is_not_there_yet_is_fine(tmp_path):
    assert tree.inside(f"{tmp_path}//a/./b/c", [str(tmp_path), f"{tmp_path}/a"]) == f"{tmp_path}/a"


def test_a_directory_swapped_for_a_link_after_the_tree_was_opened_is_refused(tmp_path):
    (tmp_path / "w/d").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    with Tree(str(tmp_path / "w")) as opened:
        (tmp_path / "w/d").rename(tmp_path / "w/was")
        (tmp_path / "w/d").symlink_to(tmp_path / "outside")
        with pytest.raises(Refused, match="links are not followed"):
            opened.directory("d")
