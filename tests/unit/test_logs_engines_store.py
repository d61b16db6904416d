"""The cache of compiled patterns: nothing that others could have put there is loaded, nothing of theirs is deleted."""

import hashlib
import os
import subprocess
import sys
import time

import pytest

from runbook.modules.logs.engines import store

FORM = "{:032x}"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(home))
    return home / ".cache" / "runbook" / "scanner"


def kept(cache):
    return sorted(path.name for path in cache.iterdir())


def poisoned(path, content=b"evil"):
    path.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    return path


def test_what_is_kept_is_read_again_and_lies_where_nobody_else_may_look(cache):
    assert (store.read("a"), store.holds("a"), cache.exists()) == (None, False, False)
    assert store.usable()
    store.write("a", b"one")
    store.write("b", b"two\nthree")
    store.write("a", b"four")
    assert (store.read("a"), store.read("b"), store.read("c")) == (b"four", b"two\nthree", None)
    assert (store.holds("a"), store.holds("c")) == (True, False)
    assert [path.stat().st_mode & 0o777 for path in (cache.parent, cache, *cache.iterdir())] == [0o700] * 2 + [
        0o600
    ] * 2


def test_what_is_damaged_is_not_loaded_but_made_anew(cache):
    store.write("a", b"one")
    [path] = cache.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert store.read("a") is None
    store.write("a", b"one")
    assert store.read("a") == b"one"


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_to_is_neither_loaded_nor_replaced(cache, mode):
    store.write("a", b"one")
    [path] = cache.iterdir()
    poisoned(path).chmod(mode)
    store.write("a", b"two")
    assert (store.read("a"), store.holds("a"), path.read_bytes()[-4:]) == (None, False, b"evil")


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize("mode", [0o720, 0o702])
def test_a_directory_on_the_way_that_others_may_write_to_is_not_used(cache, level, mode):
    store.write("a", b"one")
    [cache, *cache.parents][level].chmod(mode)
    try:
        assert (store.read("a"), store.holds("a"), store.usable()) == (None, False, False)
        store.write("b", b"two")
        assert len(kept(cache)) == 1
    finally:
        [cache, *cache.parents][level].chmod(0o700)


@pytest.mark.parametrize("name", ["scanner", "runbook"])
def test_a_link_on_the_way_leads_nowhere(cache, tmp_path, name):
    victim = tmp_path / "victim"
    (victim / "scanner").mkdir(parents=True, mode=0o700)
    for number in range(40):
        (victim / "scanner" / FORM.format(number)).write_text("precious")
    link = cache if name == "scanner" else cache.parent
    link.parent.mkdir(parents=True, mode=0o700)
    link.symlink_to(victim / "scanner" if name == "scanner" else victim)
    store.write("a", b"one")
    assert (store.usable(), store.read("a"), len(kept(victim / "scanner"))) == (False, None, 40)


def test_a_link_or_a_pipe_in_the_place_of_a_file_is_not_read(cache, tmp_path):
    store.write("a", b"one")
    [path] = cache.iterdir()
    path.unlink()
    path.symlink_to(poisoned(tmp_path / "evil"))
    assert (store.read("a"), store.holds("a")) == (None, False)
    path.unlink()
    os.mkfifo(path, 0o600)
    assert (store.read("a"), store.holds("a")) == (None, False)


def test_the_oldest_make_room_and_nothing_is_deleted_that_has_another_name_or_owner(cache):
    store.write("a", b"one")
    now = time.time()
    foreign = ["notes.txt", "g" * 32, "a" * 31, "a" * 33, FORM.format(1).upper().replace("0", "A"), "a" * 32 + ".bak"]
    for number, name in enumerate([*foreign, *(FORM.format(number) for number in range(2, 30))]):
        (cache / name).write_text("x")
        (cache / name).chmod(0o600)
        os.utime(cache / name, (now - 9999 + number,) * 2)
    (cache / FORM.format(99)).mkdir()
    stale, fresh = cache / f"{FORM.format(5)}.1234", cache / f"{FORM.format(6)}.1235"
    for path, age in ((stale, 7200), (fresh, 5)):
        path.write_text("half")
        path.chmod(0o600)
        os.utime(path, (now - age,) * 2)
    store.write("b", b"two")
    left = kept(cache)
    assert (store.read("a"), store.read("b")) == (b"one", b"two")
    assert {*foreign, FORM.format(99), fresh.name} <= set(left)
    assert stale.name not in left
    assert len(left) == len(foreign) + 2 + store.MOST


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another user")
def test_root_with_the_home_of_a_user_neither_loads_nor_writes_nor_deletes_there(cache):
    store.write("a", b"one")
    for number in range(40):
        poisoned(cache / FORM.format(number)).chmod(0o600)
    [own] = [path for path in cache.iterdir() if path.read_bytes().endswith(b"\none")]
    before = kept(cache)
    for path in (cache.parents[2], cache.parents[1], cache.parent, cache, *cache.iterdir()):
        os.chown(path, 65534, 65534)
    poisoned(own)
    store.write("a", b"two")
    assert (store.read("a"), store.holds("a"), store.usable(), kept(cache)) == (None, False, False, before)
    for path in (cache.parent, cache, own):  # what is root's own is as unsafe below a directory that is not
        os.chown(path, 0, 0)
    assert (store.read("a"), store.holds("a"), store.usable()) == (None, False, False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_foreign_file_in_the_directory_is_neither_loaded_nor_deleted(cache):
    store.write("a", b"one")
    [path] = cache.iterdir()
    os.chown(poisoned(path), 65534, 65534)
    for number in range(2, 40):
        store.write(str(number), b"x")
    store.write("a", b"two")
    assert (store.read("a"), path.exists(), path.stat().st_uid) == (None, True, 65534)


def test_where_there_is_no_home_nothing_is_made(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "none" / "such"))
    store.write("a", b"one")
    assert (store.usable(), list(tmp_path.iterdir())) == (False, [])


def test_no_descriptor_is_left_open(cache):
    program = (
        "import os\nfrom runbook.modules.logs.engines import store\n"
        "before = os.listdir('/proc/self/fd')\n"
        "for n in range(5):\n store.write(str(n), b'x'); store.read(str(n)); store.holds('no'); store.usable()\n"
        f"os.chmod({str(cache.parent)!r}, 0o777)\n"
        "for n in range(5):\n store.write(str(n), b'x'); store.read(str(n)); store.holds('no'); store.usable()\n"
        "assert os.listdir('/proc/self/fd') == before"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
