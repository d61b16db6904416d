"""Claims of watches: compare-and-set in the journal, with the clock told by the test."""

from __future__ import annotations

import sqlite3

import pytest

from runbook.engine.errors import Fenced
from runbook.engine.journal import watches
from runbook.engine.journal.facts import RunStart
from runbook.engine.journal.locks import Locks
from runbook.engine.journal.store import open_journal
from runbook.engine.journal.watches import Claim

NOW = 1_767_225_600.0
LASTS, EVERY = 30.0, 10.0


class Process:
    """One watch: a connection and locks of its own."""

    def __init__(self, path, run, shard=""):
        self.journal, self.locks = open_journal(path), Locks(path)
        self.run = run
        self.wanted = Claim("llm", shard, run, f"ann@desk, {run}")
        self.locks.take(f"run {run}")
        self.claim = None

    def take(self, now):
        self.claim = watches.take(self.journal, self.wanted, self.locks, now, lasts=LASTS, every=EVERY)
        return self.claim.epoch if self.claim else None

    def beat(self, now, **told):
        return watches.beat(self.journal, self.claim, now, LASTS, told)

    def die(self):
        self.locks.close()
        self.journal.close()
        self.locks = None


@pytest.fixture
def begin(tmp_path):
    begun = []

    def start(run, shard=""):
        begun.append(Process(str(tmp_path / "journal.db"), run, shard))
        return begun[-1]

    yield start
    for each in begun:
        if each.locks is not None:
            each.die()


def stands(process):
    return [(one.run, one.epoch) for one in watches.known(process.journal)]


def test_the_first_has_it_and_the_second_stands_by(begin):
    first, second = begin("r1"), begin("r2")
    assert (first.take(NOW), second.take(NOW)) == (1, None)
    assert first.beat(NOW + 10, lag=0.5)
    assert second.take(NOW + 35) is None  # by the beat it lasts until 40
    had, waits = watches.known(first.journal)
    assert (had.run, had.since, had.beat, had.until, had.every, had.told) == (
        *("r1", NOW, NOW + 10, NOW + 40, EVERY),
        {"lag": 0.5},
    )
    assert (waits.run, waits.stands_by, waits.since, waits.beat) == ("r2", True, NOW, NOW + 35)


def test_a_claim_that_lapsed_passes_on_and_its_epoch_rises(begin):
    first, second = begin("r1"), begin("r2")
    first.take(NOW)
    first.journal.begin_run(RunStart("r1", "llm", "", "", "watch", NOW, "ann@desk"))
    for at in (10, 20, 29.9):
        assert second.take(NOW + at) is None
    assert second.take(NOW + 30) == 2
    assert "ann@desk, r1 hangs, without a sign of life since" in second.claim.why
    assert not first.beat(NOW + 31)
    assert not watches.holds(first.journal, first.claim)
    assert watches.fenced(second.journal, "r1")
    assert not watches.fenced(second.journal, "r2")
    assert stands(second) == [("r2", 2)]
    first.journal.end_run("r1", NOW + 99, 0)  # as its process does when it ends at last
    assert second.journal.ask("SELECT ended, exit_code FROM runs WHERE id = 'r1'") == [(NOW + 30, None)]


def test_who_lost_it_can_t_take_it_again(begin):
    first, second = begin("r1"), begin("r2")
    first.take(NOW)
    second.take(NOW + 30)
    with pytest.raises(Fenced, match="`llm` is watched by ann@desk, r2, since"):
        first.take(NOW + 99)
    assert stands(second) == [("r2", 2)]


def test_who_beats_late_goes_on_where_nobody_took_over(begin):
    first = begin("r1")
    first.take(NOW)
    assert first.beat(NOW + 500)
    assert first.take(NOW + 501) == 1


def test_a_machine_that_slept_does_not_change_its_watch(begin):
    first, second = begin("r1"), begin("r2")
    first.take(NOW)
    second.take(NOW + 1)
    woke = NOW + 36_000
    assert second.take(woke) is None  # it slept as well: the other has its chance
    assert first.beat(woke + 1)
    assert second.take(woke + 10) is None
    assert second.take(woke + 20) is None
    assert second.take(woke + 31) == 2  # and once only


def test_a_clock_that_was_put_back_does_not_keep_a_claim_for_as_long(begin):
    first, second = begin("r1"), begin("r2")
    first.take(NOW)
    back = NOW - 36_000
    assert second.take(back) is None
    assert second.take(back + 10) is None
    assert second.take(back + 20) is None
    assert second.take(back + 30) == 2


def test_what_died_is_taken_at_once_and_forgotten_at_the_next_change(begin):
    first, second, third = begin("r1"), begin("r2"), begin("r3")
    first.take(NOW)
    second.take(NOW)
    first.die()
    assert second.take(NOW + 1) == 2
    assert "ann@desk, r1 died; its last sign of life was at" in second.claim.why
    watches.release(second.journal, "r2", NOW + 2)
    assert stands(second) == []
    assert third.take(NOW + 3) == 3
    assert third.claim.why == ""
    assert third.journal.ask("SELECT run FROM watches ORDER BY run") == [("r2",), ("r3",)]


def test_each_shard_has_a_watch_of_its_own(begin):
    first, second, third = begin("r1", "1/2"), begin("r2", "2/2"), begin("r3", "2/2")
    assert [each.take(NOW) for each in (first, second, third)] == [1, 1, None]
    with Locks(first.journal.path) as locks:
        alive = watches.lives(third.journal, locks)
        assert watches.holder(third.journal, "llm", alive).run == "r1"
        first.die()
        assert watches.holder(third.journal, "llm", alive).run == "r2"
        assert watches.holder(third.journal, "web", alive) is None


def test_no_two_can_have_it_whatever_a_program_believes(begin):
    first, second = begin("r1"), begin("r2")
    first.take(NOW)
    second.take(NOW)
    with pytest.raises(ValueError, match="the journal holds that already"), second.journal.transaction() as batch:
        batch.write("UPDATE watches SET epoch = 5 WHERE run = 'r2'", ())


def test_a_beat_is_not_waited_for_and_the_next_turn_is(begin):
    first = begin("r1")
    first.take(NOW)
    first.beat(NOW + 1)
    assert first.journal.ask("PRAGMA synchronous") == [(1,)]
    first.journal.begin_run(RunStart("r1", "llm", "", "", "watch", NOW, "ann@desk"))
    assert first.journal.ask("PRAGMA synchronous") == [(2,)]
    with sqlite3.connect(first.journal.path) as other:
        assert other.execute("SELECT beat FROM watches").fetchall() == [(NOW + 1,)]
    other.close()
