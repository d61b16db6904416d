"""Time that never goes back, and what is told of clocks that jump and machines that sleep."""

from hypothesis import given
from hypothesis import strategies as st

from runbook.engine.watching.steady import Clock, Jump


class Times:
    def __init__(self):
        self.wall, self.boot, self.mono = 1_000_000.0, 500.0, 400.0

    def clock(self):
        return Clock(lambda: self.wall, lambda: self.boot, lambda: self.mono)

    def goes_on(self, seconds, by=0.0, slept=0.0):
        self.wall += seconds + by
        self.boot += seconds
        self.mono += seconds - slept


def test_it_is_the_systems_clock_while_nobody_sets_that():
    times = Times()
    clock = times.clock()
    for _ in range(10):
        times.goes_on(3.0)
        assert clock() == times.wall
    assert clock.jump() is None


def test_a_clock_that_was_put_forward_is_followed_and_told():
    times = Times()
    clock = times.clock()
    times.goes_on(1.0, by=3600.0)
    assert clock() == times.wall
    assert clock.jump() == Jump(3600.0, 0.0)
    assert clock.jump() is None


def test_after_a_clock_that_was_put_back_time_goes_on_at_half_its_pace_until_that_has_caught_up():
    times = Times()
    clock = times.clock()
    before = clock()
    times.goes_on(10.0, by=-100.0)
    assert clock() == before + 5.0
    assert clock.jump() == Jump(-100.0, 0.0)
    assert 94 < clock.ahead < 96
    for _ in range(30):
        times.goes_on(10.0)
        clock()
    assert clock() == times.wall
    assert clock.ahead == 0.0


def test_a_machine_that_slept_is_told_apart_from_a_clock_that_was_set():
    times = Times()
    clock = times.clock()
    times.goes_on(7200.0, slept=7190.0)
    assert clock.jump() == Jump(0.0, 7190.0)


def test_what_ntp_does_is_no_jump():
    times = Times()
    clock = times.clock()
    times.goes_on(60.0, by=-0.4)
    assert clock.jump() is None


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-5000, 5000)), max_size=30))
def test_it_never_goes_back(turns):
    times = Times()
    clock = times.clock()
    last = clock()
    for seconds, by in turns:
        times.goes_on(seconds, by=by)
        assert clock() >= last
        last = clock()
