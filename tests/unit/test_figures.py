"""The mathematics of the answers."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.engine.journal.ask import figures
from runbook.engine.journal.ask.figures import Point, direction, line, p95, trend
from runbook.engine.journal.ask.runs import rhythm

SECONDS = st.lists(st.floats(min_value=0.001, max_value=1e6), min_size=1, max_size=60)


@given(SECONDS)
def test_at_least_19_of_20_stay_within_the_95th_percentile_and_fewer_within_the_value_before(values):
    found = p95(values)
    assert found in values
    assert 20 * sum(value <= found for value in values) >= 19 * len(values)
    assert 20 * sum(value < found for value in values) < 19 * len(values)


def test_of_nothing_there_is_no_percentile_and_no_mean():
    assert (p95([]), figures.mean([]), line([1.0, 2.0])) == (None, None, None)


@given(st.lists(st.floats(min_value=0.001, max_value=1e6), min_size=3, max_size=60))
def test_the_line_is_that_of_the_standard_library(values):
    found, theirs = line(values), statistics.linear_regression(range(len(values)), values)
    assert found.slope == pytest.approx(theirs.slope, rel=1e-6, abs=1e-6 * max(values))


def test_the_error_of_a_slope_is_the_textbooks():
    # y = 1, 3, 2, 5, 4 over 0…4: slope 0.8, residuals -0.4 0.8 -1.0 1.2 -0.6, sum of squares 3.6
    found = line([1.0, 3.0, 2.0, 5.0, 4.0])
    assert found.slope == pytest.approx(0.8)
    assert found.error == pytest.approx(math.sqrt(3.6 / 3 / 10))


@pytest.mark.parametrize(
    ("values", "good", "said"),
    [
        ([10.0, 11.0, 12.0, 13.0, 14.0], "down", "degrading"),
        ([10.0, 11.0, 12.0, 13.0, 14.0], "up", "improving"),
        ([14.0, 13.0, 12.0, 11.0, 10.0], "down", "improving"),
        ([10.0] * 8, "down", "stable"),
        ([10.0, 10.1, 10.2, 10.3, 10.4], "down", "stable"),  # so little that nobody would call it a trend
        ([1.0, 90.0, 2.0, 80.0, 3.0, 100.0], "down", "stable"),  # it rises, but scatters more
        ([10.0, 20.0, 30.0, 40.0], "down", "unclear"),  # four are too few
    ],
)
def test_a_direction_is_told_only_where_the_scatter_lets_it(values, good, said):
    assert direction(values, good=good) == said


def test_success_that_goes_down_is_seen():
    values = [1.0] * 10 + [0.0] * 10
    assert direction(values, good="up", scale=1.0) == "degrading"
    assert direction(list(reversed(values)), good="up", scale=1.0) == "improving"
    assert direction([1.0, 0.0] * 10, good="up", scale=1.0) == "stable"


def test_a_trend_has_the_first_ten_against_the_last_ten_of_those_that_worked():
    points = [Point(float(n), ok=True, seconds=10.0) for n in range(10)]
    points += [Point(10.0, ok=False, seconds=300.0)]
    points += [Point(11.0 + n, ok=True, seconds=15.0) for n in range(10)]
    found = trend(points)
    assert (found.attempts, found.successes, found.rate) == (21, 20, 20 / 21)
    assert (found.first_mean, found.last_mean, found.change) == (10.0, 15.0, 0.5)
    assert (found.least, found.most) == (10.0, 15.0)
    assert (found.direction, found.first_rate, found.last_rate) == ("degrading", 1.0, 1.0)
    assert found.slope == pytest.approx(0.376, abs=0.01)


def test_a_trend_of_nothing_is_unclear():
    found = trend([])
    assert (found.attempts, found.rate, found.change, found.direction) == (0, None, None, "unclear")


@given(st.lists(st.floats(min_value=0.0, max_value=1e6), min_size=1, max_size=80), st.integers(1, 12))
def test_buckets_are_means_of_all_of_the_series(values, most):
    found = figures.buckets(values, most)
    assert len(found) == min(most, len(values))
    assert min(values) - 1e-6 <= min(found)
    assert max(found) <= max(values) + 1e-6
    if len(values) <= most:
        assert found == values


@pytest.mark.parametrize(
    ("started", "every"),
    [
        ([960.0, 840.0, 720.0, 600.0, 480.0, 361.0, 240.0, 121.0], 120.0),
        ([10_000.0, 720.0, 600.0, 480.0, 360.0, 240.0, 120.0, 0.0], 120.0),  # one gap is not the rhythm
        ([700.0, 590.0, 420.0, 290.0, 200.0, 190.0, 100.0, 30.0, 10.0], None),  # by hand
        ([960.0, 730.0, 640.0, 500.0, 385.0, 240.0, 150.0, 0.0], None),  # by hand, patiently
        ([840.0, 720.0, 600.0, 480.0, 360.0, 240.0, 120.0], None),  # too few to call it one
        ([float(n) for n in range(16, 0, -1)], None),  # by a loop in a shell
        ([600.0] * 9, None),
    ],
)
def test_the_rhythm_of_passes_is_told_where_they_come_evenly(started, every):
    assert rhythm(started) == every
