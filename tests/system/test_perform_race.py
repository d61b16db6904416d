# ruff: noqa: PTH208
# os and not pathlib: names are compared as the kernel tells them
"""Somebody swaps directories for links while a step works below them: nothing outside may be touched."""

import ctypes
import os
import signal
import stat
import time

import pytest

from runbook.modules.acting import tree
from runbook.modules.acting.hands import Hands
from runbook.modules.acting.perform import Performance
from runbook.modules.actions import Delete, Own, Write
from runbook.modules.declare import Failed, Refused
from runbook.modules.host import Host

SECONDS = 2.0
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
        return tuple(found.entry for found in tree.walk(Host(), str(inside / "d")) if found.path)
    except (Refused, Failed):
        return ()


def acts(inside, outside, kind):
    """A plan made by what is seen below `d`, and one made by an attacker's wish: the outside's own inodes."""
    wished = tuple(found.entry for found in tree.walk(Host(), str(outside)) if found.path)
    for seen in (entries(inside), wished):
        if kind == "delete":
            yield Delete(f"{inside}/d", seen)
        elif kind == "own":
            yield Own(f"{inside}/d", seen, file_mode=0o666)
        else:
            yield Write(f"{inside}/d/f1", b"overwritten")


@pytest.mark.parametrize("kind", ["delete", "own", "write"])
def test_nothing_outside_is_touched_while_directories_are_swapped_for_links(place, kind):
    inside, outside = place
    refused = done = 0
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        fill(inside)
        for action in acts(inside, outside, kind):
            hands = Hands([str(inside)], lambda _: None, lambda _: None)
            try:
                Performance(hands, [action]).carry_out()
                done += 1
            except (Refused, Failed, OSError):
                refused += 1
            finally:
                hands.close()
    assert sorted(os.listdir(outside)) == sorted(f"f{number}" for number in range(20))
    for number in range(20):
        assert (outside / f"f{number}").read_text() == "precious"
        assert stat.S_IMODE((outside / f"f{number}").stat().st_mode) == 0o600
    assert refused, "the attacker never got in the way"
    assert done, "the step never got through"
