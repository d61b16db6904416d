# ruff: noqa: PTH208
# os and not pathlib: names are compared as the kernel tells them
import os
import stat

import pytest

from runbook.modules.acting.hands import Hands
from runbook.modules.acting.perform import Performance, undo_all
from runbook.modules.actions import Move, Write
from runbook.modules.declare import Failed, Refused


class Bench:
    """A writable tree, and what a performance kept and reported."""

    def __init__(self, root):
        self.root = root
        self.undos = []
        self.hands = None

    def do(self, *actions, check=False, diff=False):
        self.hands = Hands([str(self.root)], self.undos.append, lambda _: None, diff=diff)
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


def test_a_write_replaces_the_content_and_keeps_mode_and_attributes(bench):
    path = bench.root / "c.json"
    path.write_text("old")
    path.chmod(0o640)
    try:
        os.setxattr(path, "user.note", b"mine")
        noted = True
    except OSError:
        noted = False
    (said,) = bench.do(Write(str(path), b"new", before=b"old"))
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o640)
    assert said == {"action": "write", "what": f"{path} (3 B)", "changed": True}
    assert os.listdir(bench.root) == ["c.json"]
    if noted:
        assert os.getxattr(path, "user.note") == b"mine"


def test_a_new_file_gets_the_mode_that_was_asked_for(bench):
    bench.do(Write(f"{bench.root}/n", b"x", mode=0o600))
    assert stat.S_IMODE((bench.root / "n").stat().st_mode) == 0o600


def test_content_that_is_as_it_should_be_is_not_written(bench):
    path = bench.root / "c"
    path.write_text("same")
    before = path.stat()
    (said,) = bench.do(Write(str(path), b"same", before=b"same"))
    assert (said["changed"], path.stat().st_ino, bench.undos) == (False, before.st_ino, [])


@pytest.mark.parametrize("now", [b"somebody's", None])
def test_a_file_that_changed_since_the_plan_looked_is_not_written(bench, now):
    path = bench.root / "c"
    if now is not None:
        path.write_bytes(now)
    with pytest.raises(Refused, match="was changed by somebody since it was looked at"):
        bench.do(Write(str(path), b"new", before=b"old"))
    assert (path.read_bytes() if path.exists() else None) == now
    assert not bench.hands.touched


def test_a_write_refuses_a_file_with_several_hard_links(bench, tmp_path):
    (tmp_path / "shadow").write_text("secret")
    os.link(tmp_path / "shadow", bench.root / "c")
    with pytest.raises(Refused, match="has 2 hard links"):
        bench.do(Write(f"{bench.root}/c", b"new"))
    assert (tmp_path / "shadow").read_text() == "secret"


def test_a_write_refuses_a_link_a_directory_and_a_pipe(bench, tmp_path):
    (tmp_path / "outside").write_text("secret")
    (bench.root / "link").symlink_to(tmp_path / "outside")
    (bench.root / "dir").mkdir()
    os.mkfifo(bench.root / "pipe")
    for name, reason in (("link", "is a link"), ("dir", "not a regular file"), ("pipe", "not a regular file")):
        with pytest.raises(Refused, match=reason):
            bench.do(Write(f"{bench.root}/{name}", b"new"))
    assert (tmp_path / "outside").read_text() == "secret"


def test_a_write_outside_or_without_a_directory_says_so(bench, tmp_path):
    with pytest.raises(Refused, match="lies outside of what is writable"):
        bench.do(Write(f"{tmp_path}/x", b""))
    with pytest.raises(Failed, match="its directory is not there"):
        bench.do(Write(f"{bench.root}/no/x", b""))
    with pytest.raises(Refused, match="`writable` entry itself"):
        bench.do(Write(str(bench.root), b""))


def test_check_says_what_would_be_written_and_changes_nothing(bench):
    path = bench.root / "c"
    path.write_text("a: 1\nb: 2\n")
    before = path.stat()
    (said,) = bench.do(Write(str(path), b"a: 1\nb: 3\n"), check=True, diff=True)
    assert said["changed"]
    assert bench.hands.diffs == [f"--- {path}\n+++ {path}\n@@ -1,2 +1,2 @@\n a: 1\n-b: 2\n+b: 3\n"]
    assert (path.stat(), bench.undos) == (before, [])


def test_a_diff_of_what_is_no_text_says_so(bench):
    (bench.root / "b").write_bytes(b"\0\1")
    (bench.root / "l").write_bytes(b"\xe9t\xe9")
    bench.do(Write(f"{bench.root}/b", b"x"), Write(f"{bench.root}/l", b"y"), diff=True)
    assert [text.split(": ")[1].split(",")[0] for text in bench.hands.diffs] == ["binary or long", "not text in UTF-8"]


def test_a_diff_shows_a_missing_newline_at_the_end(bench):
    (bench.root / "c").write_bytes(b"a")
    bench.do(Write(f"{bench.root}/c", b"a\n"), diff=True)
    assert "-a\n\\ No newline at end of file\n+a\n" in bench.hands.diffs[0]


def test_an_undo_brings_back_content_mode_and_time(bench):
    path = bench.root / "c"
    path.write_text("old")
    path.chmod(0o604)
    os.utime(path, ns=(1_000_000_007, 2_000_000_009))
    bench.do(Write(str(path), b"new"))
    (said,) = bench.undo()
    seen = path.stat()
    assert (path.read_text(), stat.S_IMODE(seen.st_mode), seen.st_mtime_ns) == ("old", 0o604, 2_000_000_009)
    assert said["changed"]


def test_an_undo_deletes_what_the_step_made(bench):
    bench.do(Write(f"{bench.root}/n", b"x"))
    bench.undo()
    assert os.listdir(bench.root) == []


@pytest.mark.parametrize("existed", [True, False])
def test_an_undo_leaves_what_somebody_wrote_since(bench, existed):
    path = bench.root / "c"
    if existed:
        path.write_text("old")
    bench.do(Write(str(path), b"new"))
    path.write_text("theirs")
    with pytest.raises(Failed, match="was changed by somebody since; it stays"):
        bench.undo()
    assert path.read_text() == "theirs"


def test_undos_go_backwards_so_that_two_writes_end_at_the_first_content(bench):
    path = bench.root / "c"
    path.write_text("1")
    bench.do(Write(str(path), b"2"), Write(str(path), b"3"))
    bench.undo()
    assert path.read_text() == "1"


def test_the_undo_is_kept_before_the_file_is_written(bench):
    path = bench.root / "c"
    path.write_text("old")
    seen = []
    hands = Hands([str(bench.root)], lambda _: seen.append(path.read_text()), lambda _: None)
    Performance(hands, [Write(str(path), b"new")]).carry_out()
    hands.close()
    assert (seen, path.read_text()) == (["old"], "new")


def test_an_undo_that_cannot_be_kept_prevents_the_write(bench):
    path = bench.root / "c"
    path.write_text("old")

    def full(_):
        raise Refused("how to undo it can't be kept")

    hands = Hands([str(bench.root)], full, lambda _: None)
    with pytest.raises(Refused, match="can't be kept"):
        Performance(hands, [Write(str(path), b"new")]).carry_out()
    hands.close()
    assert path.read_text() == "old"


def test_a_move_renames_and_its_undo_moves_back(bench):
    (bench.root / "d/a").mkdir(parents=True)
    (bench.root / "e").mkdir()
    bench.do(Move(f"{bench.root}/d/a", f"{bench.root}/e/b"))
    assert (bench.root / "e/b").is_dir()
    bench.undo()
    assert (bench.root / "d/a").is_dir()
    assert not (bench.root / "e/b").exists()


def test_a_move_never_replaces(bench):
    (bench.root / "a").write_text("a")
    (bench.root / "b").write_text("b")
    with pytest.raises(Refused, match="is there already; nothing is moved over it"):
        bench.do(Move(f"{bench.root}/a", f"{bench.root}/b"))
    assert (bench.root / "b").read_text() == "b"


def test_a_move_of_what_is_not_there_or_out_of_writable_says_so(bench, tmp_path):
    with pytest.raises(Failed, match="a is not there"):
        bench.do(Move(f"{bench.root}/a", f"{bench.root}/b"))
    (bench.root / "a").write_text("a")
    with pytest.raises(Refused, match="lies outside"):
        bench.do(Move(f"{bench.root}/a", f"{tmp_path}/b"))


def test_the_undo_of_a_move_leaves_another_file_that_took_its_place(bench):
    (bench.root / "a").write_text("a")
    bench.do(Move(f"{bench.root}/a", f"{bench.root}/b"))
    (bench.root / "c").write_text("theirs")
    (bench.root / "c").replace(bench.root / "b")
    with pytest.raises(Failed, match="is not what was moved there; it stays"):
        bench.undo()
