"""The golden cases of steps that change files, carried out for real and undone."""

import stat
from pathlib import Path

import case as golden
import pytest

from runbook.engine.language import params as parameters
from runbook.modules import catalogue
from runbook.modules.acting.hands import Hands
from runbook.modules.acting.perform import Performance, undo_all
from runbook.modules.actions import Delete

FILES = {"write", "delete", "own"}


def changes_files(case):
    """Its plan is of files alone, and a second one sees what the first did."""
    kinds = {kind for action in case.body.get("actions") or [] for kind in action}
    return kinds and kinds <= FILES and "free_space" not in (case.body.get("host") or {}) and not golden.lacks(case)


CASES = [case for case in golden.load("steps") if changes_files(case)]


def planned(case, tmp):
    cls = catalogue.step(case.module)
    raw, host = golden.prepare(case, tmp)
    step = parameters.build(cls, parameters.spread(cls, raw), rendered=False)
    return step, host, step.plan(host)


def carried_out(host, actions):
    undos = []
    hands = Hands(host.writable, undos.append, lambda _: None)
    try:
        Performance(hands, actions).carry_out()
    finally:
        hands.close()
    assert all(action["changed"] for action in hands.actions)
    return undos


def seen(tmp):
    """Everything below, with its content, owner and mode."""
    found = {}
    for path in sorted(Path(tmp).rglob("*")):
        about = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(about.st_mode) else None
        found[str(path)] = (content, about.st_uid, about.st_gid, stat.S_IMODE(about.st_mode))
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_second_plan_has_nothing_left_to_do(case, tmp):
    step, host, actions = planned(case, tmp)
    carried_out(host, actions)
    if step.again():
        assert step.plan(host) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_plan_is_undone_to_what_was_there_before(case, tmp):
    _, host, actions = planned(case, tmp)
    if any(isinstance(action, Delete) for action in actions):
        return  # what is deleted is gone
    before = seen(tmp)
    undos = carried_out(host, actions)
    assert seen(tmp) != before
    hands = Hands(host.writable, lambda _: None, lambda _: None)
    try:
        undo_all(hands, undos[::-1])
    finally:
        hands.close()
    assert seen(tmp) == before


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_plan_that_is_only_checked_changes_nothing(case, tmp):
    _, host, actions = planned(case, tmp)
    before = seen(tmp)
    hands = Hands(host.writable, lambda _: pytest.fail("an undo of what is not done"), lambda _: None, diff=True)
    try:
        Performance(hands, actions).check()
    finally:
        hands.close()
    assert seen(tmp) == before
    assert [action["what"] for action in hands.actions if not action["what"]] == []
