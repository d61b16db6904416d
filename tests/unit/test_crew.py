"""Very many entries are worked on by several processes: nobody sees a difference, whatever becomes of one of them."""

import os
import signal

import psutil
import pytest

from runbook.modules.acting import crew, survey
from runbook.modules.acting.hands import Hands
from runbook.modules.acting.perform import Performance, undo_all
from runbook.modules.acting.problems import Problems
from runbook.modules.declare import Failed, Refused
from runbook.modules.host import Host
from runbook.modules.steps.chown import Chown
from runbook.modules.steps.clear_cache import ClearCache


def children():
    """Our own processes: other tests of this worker may have some."""
    return {child.pid for child in psutil.Process().children()}


@pytest.fixture
def several(monkeypatch):
    """Three processes, for as few as two entries."""
    monkeypatch.setattr(crew, "hands", lambda: 3)
    monkeypatch.setattr(crew, "LEAST", 1)
    monkeypatch.setattr(survey, "LARGE", 1)


@pytest.fixture
def root(tmp_path):
    root = tmp_path.resolve() / "w"
    for folder in ("", "a", "b/c", "d", "e"):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(4):
            (root / folder / f"f{number}").write_text("x" * number)
            (root / folder / f"f{number}").chmod(0o600)
    return root


def modes(root):
    return {str(path.relative_to(root)): path.stat().st_mode & 0o777 for path in root.rglob("*")}


def performed(root, step):
    undos = []
    actions = step.plan(Host(writable=(str(root.parent),)))
    hands = Hands([str(root.parent)], undos.append, lambda _: None)
    try:
        Performance(hands, actions).carry_out()
    finally:
        hands.close()
    return undos, [action["what"] for action in hands.actions]


def test_owning_in_several_processes_reaches_every_entry_and_is_undone(several, root):
    before = modes(root)
    undos, told = performed(root, Chown(str(root), mode="0640", recursive=True))
    assert told == [
        f"20 entries of {root}: mode 0640",
        f"6 entries of {root}: mode of directories 0750",
    ]
    assert set(modes(root).values()) == {0o640, 0o750}
    assert Chown(str(root), mode="0640", recursive=True).plan(Host(writable=(str(root),))) == []
    hands = Hands([str(root.parent)], lambda _: None, lambda _: None)
    undo_all(hands, undos[::-1])
    hands.close()
    assert modes(root) == before


def test_clearing_in_several_processes_counts_all_that_went(several, root):
    _, told = performed(root, ClearCache(str(root)))
    assert told == [f"20 files, 30 B and 5 directories below {root}"]
    assert list(root.iterdir()) == []


def test_what_one_process_may_not_look_at_refuses_the_whole_step(several, root):
    os.link(root / "e/f1", root / "other")
    with pytest.raises(Refused, match="2 hard links: its other names may lie outside"):
        Chown(str(root), mode="0640", recursive=True).plan(Host(writable=(str(root),)))


def test_problems_of_all_processes_are_told_together(several):
    problems = Problems("/w")

    def share(things, found, lively):
        for thing in things:
            found.add(thing, "no")
        lively(len(things))
        return [len(things), 1]

    assert crew.carry_out("abcdefg", share, problems, lambda _: None) == [7, 3]
    assert problems.count == 7
    assert problems.told == [f"/w/{name}: no" for name in "abcde"]


def test_a_process_that_is_killed_fails_the_step_and_leaves_none_behind(several):
    def share(things, found, lively):
        if "g" in things:
            os.kill(os.getpid(), signal.SIGKILL)
        return [len(things)]

    before = children()
    with pytest.raises(Failed, match="was ended; what it did stays done"):
        crew.carry_out("abcdefg", share, Problems("/w"), lambda _: None)
    assert children() == before


def test_an_interrupted_step_takes_its_processes_with_it():
    pids, write = os.pipe()

    def endless():
        os.write(write, b"%d\n" % os.getpid())
        signal.pause()

    def interrupted():
        os.read(pids, 100)
        raise KeyboardInterrupt

    before = children()
    with pytest.raises(KeyboardInterrupt):
        crew.side_by_side([interrupted, endless, endless])
    assert children() == before
    os.close(pids)
    os.close(write)
