"""What a window of numbers says, against the standard library's own statistics."""

import math
import statistics

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runbook.modules import window

NUMBERS = st.floats(-1e6, 1e6)
SERIES = st.lists(st.tuples(st.floats(0, 1e5), NUMBERS), min_size=2, max_size=40)


@given(SERIES)
def test_the_slope_is_that_of_least_squares(points):
    times = [at for at, _ in points]
    assume(max(times) - min(times) > 1e-3)
    theirs = statistics.linear_regression(times, [value for _, value in points]).slope
    assert window.slope(points) == pytest.approx(theirs, rel=1e-6, abs=1e-6)


def test_the_slope_loses_nothing_at_times_of_this_century():
    points = [(1.8e9 + second * 0.5, 1e9 + second) for second in range(100)]
    assert window.slope(points) == pytest.approx(2.0, rel=1e-9)


def test_points_of_one_moment_have_no_slope():
    assert window.slope([(1.0, 2.0), (1.0, 3.0)]) is None
    assert window.slope([(1.0, 2.0)]) is None


@given(st.lists(NUMBERS, min_size=6, max_size=40))
def test_the_z_score_counts_standard_deviations_from_the_mean_of_those_before(values):
    deviation = statistics.stdev(values[:-1])
    assume(deviation > 1e-3)
    theirs = (values[-1] - statistics.fmean(values[:-1])) / deviation
    assert window.zscore(values) == pytest.approx(theirs, rel=1e-6, abs=1e-6)


def test_before_five_samples_nothing_is_odd():
    assert window.zscore([1, 2, 3, 4, 100]) is None
    assert window.zscore([1, 2, 3, 4, 5, 100]) > 50


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(allow_nan=True)), max_size=30), st.sampled_from([5, 1000, 600.0])
)
def test_no_number_makes_it_fail_or_say_what_json_can_t(samples, span):
    kept = window.extended([], samples, span, 1e6)
    said = window.summary(window.load(window.store(kept)) if kept else [], span, 1e6)
    assert all(value is None or math.isfinite(value) for value in (said.value, said.mean, said.slope, said.zscore))
    assert said.nan <= said.samples <= window.MOST


def test_what_is_stored_comes_back():
    kept = [(1_800_000_000.125, 2.0), (1_800_000_010.5, None), (1_800_000_020.75, 3.0)]
    assert window.load(window.store(kept)) == kept


def test_the_newest_sample_stays_whatever_its_age():
    assert window.extended([(10.0, 1.0), (20.0, 2.0)], [], 5.0, 1000.0) == [(20.0, 2.0)]
    said = window.summary([(20.0, 2.0)], 5.0, 1000.0)
    assert (said.value, said.mean, said.samples) == (2.0, None, 0)


def test_a_counter_that_begins_anew_twice_goes_on_rising():
    kept = [(0.0, 100.0), (1.0, 110.0), (2.0, 10.0), (3.0, 20.0), (4.0, 10.0)]
    assert window.summary(kept, 10, 5.0, counter=True).slope == pytest.approx(10.0)
    assert window.summary(kept, 10, 5.0).slope < 0
