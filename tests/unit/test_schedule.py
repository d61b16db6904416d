"""When what is due: cron's fields mean what cron's manual says, whatever APScheduler calls its days."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.engine.language import cron
from runbook.engine.watching import schedule

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def fires(text, day, monkeypatch):
    """Whether an expression with minute and hour 0 fires on a day."""
    monkeypatch.setenv("TZ", "UTC")
    trigger = schedule.trigger(cron.parse(text), 0.0)
    at = trigger.get_next_fire_time(None, day - timedelta(seconds=1))
    return at is not None and at.astimezone(UTC) == day


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("0 0 * * 1", {0}),
        ("0 0 * * 0", {6}),
        ("0 0 * * 7", {6}),
        ("0 0 * * sun", {6}),
        ("0 0 * * 1-5", {0, 1, 2, 3, 4}),
        ("0 0 * * mon-fri", {0, 1, 2, 3, 4}),
        ("0 0 * * 5-7", {4, 5, 6}),
        ("0 0 * * */2", {6, 1, 3, 5}),
        ("0 0 * * 2/2", {1, 3, 5}),
    ],
)
def test_days_of_the_week_are_cron_s(text, days, monkeypatch):
    week = [MONDAY + timedelta(days=number) for number in range(7)]
    assert {number for number, day in enumerate(week) if fires(text, day, monkeypatch)} == days


def test_where_both_kinds_of_days_are_given_either_will_do(monkeypatch):
    fired = {day for day in range(1, 31) if fires("0 0 13 * 1", datetime(2026, 11, day, tzinfo=UTC), monkeypatch)}
    assert fired == {2, 9, 13, 16, 23, 30}


@given(st.lists(st.integers(0, 7), min_size=1, max_size=4))
def test_a_list_of_days_is_the_days_of_its_parts(days):
    whole = set(schedule.weekdays(",".join(map(str, days))).split(","))
    assert whole == {schedule.weekdays(str(day)) for day in days}


@given(st.from_regex(cron._PART, fullmatch=True), st.integers(0, 4))
def test_what_is_a_sound_field_has_its_numbers_and_a_trigger(field, place):
    words = ["*"] * 5
    words[place] = field
    try:
        text = cron.parse(" ".join(words))
    except ValueError:
        return
    assert cron.numbers(text.split()[place], place)
    assert schedule.trigger(text, 0.0).get_next_fire_time(None, MONDAY) is not None


def test_looks_are_spread_by_at_most_a_tenth_of_the_time_between_them():
    now = datetime.now(UTC)
    first = [schedule.trigger(30.0).get_next_fire_time(None, now) for _ in range(50)]
    assert all(timedelta(seconds=29) < at - now < timedelta(seconds=34) for at in first)
    assert len({at.microsecond for at in first}) > 10


def test_what_is_due_is_said_by_its_key_and_no_more_when_it_was_dropped():
    import threading

    called = threading.Event()
    planned = schedule.Schedule(called.set, jitter=0.0)
    try:
        planned.put(("one", 0.05))
        assert called.wait(10)
        (key, at), *_ = planned.due()
        assert key == ("one", 0.05)
        assert at <= datetime.now(UTC).timestamp()
        assert planned.next(key) is not None
        planned.drop(key)
        assert planned.next(key) is None
        planned.due()
        called.clear()
        assert not called.wait(0.2)
    finally:
        planned.close()


@pytest.mark.parametrize(
    ("every", "after", "told"),
    [
        *((1.0, 1.2, False), (1.0, 14.0, True), (30.0, 34.0, False), (30.0, 60.0, True), (0.01, 3.0, False)),
        *(("* * * * *", 60.0, False), ("* * * * *", 65.0, False), ("* * * * *", 180.0, True)),
        *(("0 * * * *", 3600.0, False), ("0 * * * *", 7200.0, True)),
    ],
)
def test_looks_that_were_left_out_are_told_and_late_ones_are_not(every, after, told, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    assert schedule.left_out(every, MONDAY.timestamp(), MONDAY.timestamp() + after) == told


def test_what_was_due_by_a_clock_that_was_put_back_is_due_by_the_new_one():
    planned = schedule.Schedule(lambda: None, jitter=0.0)
    try:
        planned.put(("one", 30.0))
        planned._jobs["one", 30.0].modify(next_run_time=datetime.now(UTC) + timedelta(hours=1))
        planned.anew()
        assert planned.next(("one", 30.0)) - datetime.now(UTC).timestamp() < 31
    finally:
        planned.close()
