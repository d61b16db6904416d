"""What the past suggests, and that it keeps quiet where there is too little of it."""

import pytest

from runbook.engine.journal.ask import advice
from runbook.engine.journal.ask.advice import Answered, Ended, Try

RESTART, ORPHANS, FAILOVER = (0, "restart_daemon"), (1, "kill_orphans"), (2, "failover")


def ended(state, *rungs, strategy="progressive", opened=0.0, lasted=60.0, subject="vllm", by_itself=False):
    return Ended("serving", "server down", "gpu01", subject, opened, opened + lasted, state, by_itself, strategy, rungs)


def kinds(found):
    return [(one.kind, one.count, one.of) for one in found]


def test_a_rung_that_never_cured_is_named_with_how_often_it_was_tried():
    past = [ended("cured", RESTART, ORPHANS, FAILOVER)] * 7 + [ended("cured", RESTART)] * 3
    found = list(advice.rungs(past))
    assert kinds(found) == [("rung-never-cured", 0, 7)]
    assert found[0].text.startswith("rung 2 (kill_orphans) never cured it (0 of 7)")


def test_the_only_recovery_that_never_cured_needs_another():
    (found,) = advice.rungs([ended("unhealed", RESTART)] * 4)
    assert (found.kind, found.of) == ("rung-never-cured", 4)
    assert found.text == "the recovery (restart_daemon) never cured it (0 of 4): it needs another one"


def test_a_sequence_is_one_cure():
    assert list(advice.rungs([ended("cured", RESTART, ORPHANS, strategy="sequence")] * 5)) == []
    (found,) = advice.rungs([ended("unhealed", RESTART, ORPHANS, strategy="sequence")] * 5)
    assert (found.count, found.of) == (0, 5)


def test_a_later_rung_that_cures_mostly_should_stand_first():
    past = [ended("cured", RESTART, ORPHANS)] * 5 + [ended("cured", RESTART)]
    assert kinds(advice.rungs(past)) == [("rung-cures-mostly", 5, 5)]


@pytest.mark.parametrize("past", [
    [ended("unhealed", RESTART)] * 2,
    [ended("unhealed", RESTART)] * 6 + [ended("cured", RESTART)],
    [ended("interrupted", RESTART)] * 6,
    [ended("unhealed")] * 6,
])  # fmt: skip
def test_few_cases_one_cure_or_no_recovery_suggest_nothing(past):
    assert list(advice.rungs(past)) == []


def test_cures_that_do_not_last_are_seen():
    past = [ended("cured", RESTART, opened=at * 300.0) for at in range(6)]
    assert ("cure-does-not-last", 5, 5) in kinds(advice.lasting(past))
    far = [ended("cured", RESTART, opened=at * 86400.0) for at in range(6)]
    assert list(advice.lasting(far)) == []
    others = [ended("cured", RESTART, opened=at * 300.0, subject=str(at)) for at in range(6)]
    assert list(advice.lasting(others)) == []


def test_what_is_over_by_itself_mostly_wants_a_longer_hold():
    past = [ended("cured", by_itself=True, opened=at * 86400.0, lasted=40.0) for at in range(8)] + [ended("cured")]
    (found,) = advice.lasting(past)
    assert (found.kind, found.count, found.of) == ("over-by-itself", 8, 9)
    assert "after 40s" in found.text


def tries(*chains):
    return [
        Try("llm", "download", number, place + 1, ok, delay)
        for number, one in enumerate(chains)
        for place, (ok, delay) in enumerate(one)
    ]


def test_a_retry_that_never_helped_is_seen():
    chain = [(False, None), (False, 5.0), (False, 10.0)]
    assert kinds(advice.retries(tries(*[chain] * 5))) == [("retry-never-helped", 0, 5)]


def test_a_first_wait_that_is_always_too_short_is_seen_with_what_would_do():
    chain = [(False, None), (False, 5.0), (False, 10.0), (True, 20.0)]
    (found,) = advice.retries(tries(*[chain] * 4))
    assert (found.kind, found.count, found.of) == ("delay-too-short", 0, 4)
    assert "first wait (5s)" in found.text
    assert "after 35s in all" in found.text


@pytest.mark.parametrize("chains", [
    [[(False, None), (True, 5.0)]] * 9,
    [[(True, None)]] * 9,
    [[(False, None)]] * 9,
    [[(False, None), (False, 5.0), (True, 9.0)]] * 3 + [[(False, None), (True, 5.0)]],
])  # fmt: skip
def test_retries_that_help_at_once_suggest_nothing(chains):
    assert list(advice.retries(tries(*chains))) == []


def test_a_limit_that_is_reached_every_day():
    days = [("serving", "server down", f"2026-11-{day:02}") for day in range(1, 6)]
    (found,) = advice.limits(days * 3, days)
    assert (found.kind, found.count, found.of) == ("limit-reached", 5, 5)
    assert "every day" in found.text
    assert list(advice.limits(days[:2], days[:2])) == []
    many = [("serving", "server down", f"2026-10-{day:02}") for day in range(1, 29)]
    assert list(advice.limits(days, many)) == []


def test_a_person_who_always_says_the_same():
    yes = [Answered("serving", "cache", granted=True, waited=600.0)] * 4
    no = [Answered("serving", "cache", granted=False, waited=60.0)]
    assert kinds(advice.words(yes)) == [("always-approved", 4, 4)]
    assert "after 10m" in next(advice.words(yes)).text
    assert kinds(advice.words(no * 3)) == [("always-rejected", 3, 3)]
    assert list(advice.words(yes + no)) == []
    assert list(advice.words(yes[:2])) == []
