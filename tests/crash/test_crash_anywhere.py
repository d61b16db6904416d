"""A few of the faults that `harness.py` lets happen everywhere; run that by itself for all of them."""

import os

import harness
import pytest

POINTS = {
    "kill-engine": (21, 103),
    "kill-agent": (30, 118),
    "kill-both": (27, 88, 171),
    "cut": (94,),
    "fill": (19,),  # what the interpreter itself keeps is written then
}


@pytest.mark.parametrize(("kind", "point"), [(kind, point) for kind, some in POINTS.items() for point in some])
def test_nothing_is_done_twice_and_nothing_is_lost_whatever_dies(kind, point, tmp_path):
    if kind == "fill" and os.geteuid() != 0:
        pytest.skip("filling a disk needs root, to mount a small one")
    found = harness.run(kind, point, tmp_path)
    assert found.label != harness.UNREACHED, "a recovery has fewer points now: choose others"
    assert not found.wrong, str(found)


def test_the_harness_finds_a_step_that_is_done_twice(tmp_path, monkeypatch):
    """All its steps may run again, and it is told that they may not."""
    book = harness.book

    def careless(home):
        command = "command: {unless: [test, -e, /never], argv: [sh, -c, "
        return book(home).replace("shell: {script: ", command).replace("'}\n", "']}\n")

    monkeypatch.setattr(harness, "AGAIN", frozenset())
    monkeypatch.setattr(harness, "book", careless)
    there = list(harness.points(tmp_path).values())
    seen = []
    for number in range(1, there.count("agent: before append") + 1):  # one of these is the result of a step
        seen.append(harness.run("kill-both", f"agent: before append #{number}", tmp_path))
        if any("ran 2 times" in wrong for wrong in seen[-1].wrong):
            return
    pytest.fail("\n".join(map(str, seen)))
