# ruff: noqa: PTH104, PTH108, PTH208
# os and not pathlib: names are compared as the kernel tells them
"""Somebody swaps directories for links while a step works below them: nothing outside may be touched.

The suite tries a few hundred times; `RACES=10000` in the environment is what a release is held to.
"""

import contextlib
import ctypes
import os
import signal
import stat

import pytest

from runbook.modules.acting import owners, walking
from runbook.modules.acting.hands import Hands
from runbook.modules.acting.perform import Performance, undo_all
from runbook.modules.actions import Delete, Move, Own, Write
from runbook.modules.declare import Failed, Refused
from runbook.modules.host import Host
from runbook.modules.steps.chown import Chown

TRIES = int(os.environ.get("RACES", "400"))  # of each kind
OTHER = os.getegid() if os.geteuid() else 12345  # a group; only root may choose
EXCHANGE = 2  # RENAME_EXCHANGE: there is no moment in which the name is missing


def attack(inside):
    """Swap `inside/d` and a link to the outside for ever, as fast as it goes."""
    swap = ctypes.CDLL(None).renameat2
    directory, link = os.fsencode(inside / "d"), os.fsencode(inside / "link")
    while True:
        swap(-100, directory, -100, link, EXCHANGE)


@pytest.fixture
def place(tmp_path):
    """A writable tree, a twin of it outside, and an attacker between them."""
    inside, outside = tmp_path / "w", tmp_path / "outside"
    for root in (inside / "d", outside):
        root.mkdir(parents=True)
    for number in range(20):
        (outside / f"f{number}").write_text("precious")
        (outside / f"f{number}").chmod(0o600)
    (inside / "link").symlink_to(outside)
    attacker = os.fork()
    if not attacker:
        os.setsid()
        attack(inside)
    yield inside, outside
    os.kill(attacker, signal.SIGKILL)
    os.waitpid(attacker, 0)


def fill(inside):
    """Put files where the directory is at the moment."""
    for name in ("d", "link"):
        try:
            held = os.open(inside / name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        for number in range(20):
            os.close(os.open(f"f{number}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=held))
        os.close(held)


def entries(inside):
    try:
        return tuple(found.entry for found in walking.walk(Host(), str(inside / "d")) if found.path)
    except (Refused, Failed):
        return ()


def acts(inside, outside, kind):
    """A plan made by what is seen below `d`, and one made by an attacker's wish: the outside's own inodes."""
    wished = tuple(found.entry for found in walking.walk(Host(), str(outside)) if found.path)
    for seen in (entries(inside), wished):
        if kind == "delete":
            yield Delete(f"{inside}/d", seen)
        elif kind == "own":
            yield Own(f"{inside}/d", seen, gid=OTHER, file_mode=0o666)
        elif kind == "chown":
            step = Chown(f"{inside}/d", group=str(OTHER), recursive=True)
            yield from step.plan(Host(writable=(str(inside),)))  # as root plans it, and by names where only root may
        elif kind == "undo own":
            yield {"undo": "own", "path": f"{inside}/d", "groups": [was(entry) for entry in seen]}
        elif kind == "write":
            yield Write(f"{inside}/d/f1", b"overwritten")
        else:
            yield Move(f"{inside}/d/f1", f"{inside}/d/moved")


def planned(actions):
    """Yield actions as long as they can be planned, and None when no more can."""
    try:
        yield from actions
    except (Refused, Failed):
        yield None


def was(entry):
    return {
        "was": [entry.uid, OTHER, 0o666, entry.device],
        "folder": "",
        "names": [entry.path],
        "inodes": [entry.inode],
    }


def perform(hands, action):
    if action is None:
        raise Refused("nothing could be planned")
    if isinstance(action, dict):
        undo_all(hands, [action])
    else:
        Performance(hands, [action]).carry_out()


@pytest.mark.parametrize("kind", ["delete", "own", "chown", "undo own", "write", "move"])
def test_nothing_outside_is_touched_while_directories_are_swapped_for_links(place, kind):
    inside, outside = place
    refused = done = 0
    while refused + done < TRIES or not (refused and done):
        fill(inside)
        for action in planned(acts(inside, outside, kind)):
            hands = Hands([str(inside)], lambda _: None, lambda _: None)
            try:
                perform(hands, action)
                done += 1
            except (Refused, Failed, OSError):
                refused += 1
            finally:
                hands.close()
    assert sorted(os.listdir(outside)) == sorted(f"f{number}" for number in range(20))
    for number in range(20):
        assert (outside / f"f{number}").read_text() == "precious"
        seen = (outside / f"f{number}").stat()
        assert (stat.S_IMODE(seen.st_mode), seen.st_gid) == (0o600, os.getegid())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_user_who_swaps_files_of_a_tree_that_is_taken_from_him_has_nothing_outside_owned(tmp_path):
    inside, outside = tmp_path / "w/d", tmp_path / "outside"
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.geteuid() and path != path.parent:
            path.chmod(path.stat().st_mode | 0o011)  # the user has to come to what is his
    for root in (inside, outside):
        root.mkdir(parents=True)
    for number in range(owners.LEAST + 10):
        (inside / f"f{number}").write_text("")
        (outside / f"f{number}").write_text("precious")
    for path in (inside, outside, *inside.iterdir(), *outside.iterdir()):
        os.chown(path, USER, USER)
    attacker = os.fork()
    if not attacker:
        os.setsid()
        os.setgroups([])
        os.setgid(USER)
        os.setuid(USER)
        swap_files(inside, outside)
    try:
        refused = done = 0
        while refused + done < TRIES // 10 or not refused:
            os.chown(inside, USER, USER)
            for number in range(owners.LEAST + 10):
                with contextlib.suppress(FileNotFoundError):  # it is being swapped
                    os.chown(inside / f"f{number}", USER, USER, follow_symlinks=False)
            hands = Hands([str(tmp_path / "w")], lambda _: None, lambda _: None)
            try:
                step = Chown(str(inside), owner=str(USER + 1), recursive=True)
                for action in step.plan(Host(writable=(str(tmp_path / "w"),))):
                    Performance(hands, [action]).carry_out()
                done += 1
            except (Refused, Failed, OSError):
                refused += 1
            finally:
                hands.close()
            assert {(outside / f"f{number}").stat().st_uid for number in range(owners.LEAST + 10)} == {USER}
    finally:
        os.kill(attacker, signal.SIGKILL)
        os.waitpid(attacker, 0)


USER = 12345


def swap_files(inside, outside):
    """Put names of the outside's files in the place of some of the tree's, and take them away, for ever."""
    number = 0
    while True:
        number = (number + 1) % 50
        name = f"{inside}/f{number}"
        try:
            os.rename(name, f"{name}.was")
            os.link(f"{outside}/f{number}", name)
            os.unlink(name)
            os.rename(f"{name}.was", name)
        except OSError:
            continue
