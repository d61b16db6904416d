import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.engine.language import amounts, units
from runbook.modules.declare import Kind


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("10m", 600),
        ("1h30m", 5400),
        ("7d", 604800),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("1w", 604800),
        ("0", 0),
    ],
)
def test_a_duration_is_read_as_seconds(text, seconds):
    assert units.duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "count"),
    [("50GB", 50 * 10**9), ("4GiB", 4 * 2**30), ("1.1GB", 1_100_000_000), ("512 MiB", 2**29), ("7B", 7), ("2kB", 2000)],
)
def test_a_size_is_read_as_bytes(text, count):
    assert units.size(text) == count
    assert isinstance(units.size(text), int)


def test_a_percentage_may_have_its_sign_or_not():
    assert units.percent("85%") == units.percent("85") == 85.0


@pytest.mark.parametrize(
    "text", ["", "m", "2 minuts", "10", "-5m", "1m1h", "1h1h", "5GB", "1e3s", "٣s", "5m;", "9" * 50 + "s"]
)
def test_what_is_no_duration_is_refused_with_what_is(text):
    with pytest.raises(ValueError, match=r"is not a duration: write .*1h30m"):
        units.duration(text)


@pytest.mark.parametrize("text", ["", "GB", "5", "5 gigs", "1GB2MB", "10m", "-1GB", "5GBs"])
def test_what_is_no_size_is_refused_with_what_is(text):
    with pytest.raises(ValueError, match="is not a size: write it as 500MB, 50GB or 4GiB"):
        units.size(text)


@pytest.mark.parametrize("text", ["", "%", "five", "5GB", "-1%", "85%%"])
def test_what_is_no_percentage_is_refused(text):
    with pytest.raises(ValueError, match="is not a percentage: write it as 85 or 85%"):
        units.percent(text)


@pytest.mark.parametrize(
    ("word", "unit"),
    [
        ("minuts", "m"),
        ("hours", "h"),
        ("sec", "s"),
        ("days", "d"),
        ("weeks", "w"),
        ("gigs", "GB"),
        ("Gb", "GB"),
        ("gib", "GiB"),
    ],
)
def test_the_nearest_unit_is_the_one_that_was_meant(word, unit):
    assert units.nearest_unit(word) == unit


def test_a_refusal_names_the_nearest_unit():
    with pytest.raises(ValueError, match=r"'2 minuts' is not a duration: write it as 30s, 10m, 1h30m or 7d .*: m\)"):
        units.duration("2 minuts")


def test_a_number_without_a_unit_is_asked_for_one():
    with pytest.raises(ValueError, match=r"a unit is missing: 30s\?"):
        units.duration("30")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.25, "250ms"), (1.5, "1.5s"), (59.97, "1m"), (600, "10m"), (5400, "1h30m"), (90061, "1d1h")],
)
def test_seconds_are_shown_as_a_person_writes_them(seconds, text):
    assert amounts.format_duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1.5e9, "1.5 GB"), (999_999, "1 MB"), (10**19, "10000 PB")]
)
def test_bytes_are_shown_as_a_person_writes_them(count, text):
    assert amounts.format_size(count) == text


@given(st.integers(min_value=1, max_value=10**6))
def test_whole_seconds_survive_being_shown_and_read_to_two_units(seconds):
    assert units.duration(amounts.format_duration(seconds)) == pytest.approx(seconds, rel=0.05)


@given(st.text(max_size=60))
def test_any_text_is_a_quantity_or_none_and_keeps_its_writing(text):
    found = units.amount(text)
    assert found is None or (found.text == text and found >= 0)


def test_a_quantity_knows_what_it_measures():
    assert [units.amount(text).kind for text in ("10m", "5GB", "85%")] == [Kind.DURATION, Kind.SIZE, Kind.PERCENT]


@pytest.mark.parametrize("text", ["7", "deepseek", "7Bx", "v5m", "", "5 m x"])
def test_text_that_only_looks_like_a_quantity_stays_text(text):
    assert units.amount(text) is None
