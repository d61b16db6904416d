"""When a key is told: at once, once until the next look, and ever more rarely while it stirs without end."""

import pytest

from runbook.modules.listening.keys import NEVER, Keys


@pytest.fixture
def keys():
    found = Keys()
    found.begin("a")
    return found


def test_a_stir_is_told_at_once_and_once_until_the_next_look(keys):
    assert keys.stir("a")
    assert keys.due(0.0) == ["a"]
    assert not keys.stir("a")
    assert (keys.due(5.0), keys.deadline) == ([], NEVER)
    keys.begin("a")
    assert keys.stir("a")
    assert keys.due(5.0) == ["a"]


def test_nobody_stirs_who_was_never_looked_at(keys):
    assert not keys.stir("b")
    assert keys.due(0.0) == []


def test_what_happened_before_a_look_is_seen_by_it(keys):
    keys.due(0.0)
    keys.stir("a")
    keys.begin("a")
    assert (keys.due(1.0), keys.deadline) == ([], NEVER)


def times(keys, until, cost=0.0):
    """Return when a key is told that stirs all the time and is looked at whenever it is told."""
    now, found = 0.0, []
    while now < until:
        keys.stir("a")
        if keys.due(now):
            found.append(now)
            keys.begin("a")
            keys.looked("a", cost, now)
        now = round(now + 0.001, 3)
    return found


def test_a_key_that_never_rests_is_told_five_times_a_second_at_last(keys):
    found = times(keys, 10.0)
    assert len([at for at in found if at < 0.1]) >= 5
    assert len([at for at in found if 5.0 <= at < 10.0]) == 25


def test_what_is_dear_to_look_at_takes_a_twentieth_of_a_core_at_most(keys):
    found = times(keys, 60.0, cost=0.05)
    assert 55 <= len(found) <= 70


def test_after_a_moment_of_rest_a_stir_is_told_at_once_again(keys):
    last = times(keys, 10.0, cost=0.01)[-1]
    keys.stir("a")
    assert keys.due(last + 2.0) == ["a"]
    keys.begin("a")
    keys.stir("a")
    assert keys.due(last + 2.02) == ["a"]


def test_a_key_that_nobody_looks_at_any_more_is_forgotten(keys):
    keys.stir("a")
    keys.due(0.0)
    assert (keys.forgotten(100.0, 600.0), keys.forgotten(601.0, 600.0)) == ([], ["a"])
    keys.drop(["a"])
    assert not keys.stir("a")
