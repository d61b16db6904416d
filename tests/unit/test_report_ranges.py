"""Many hosts' names in few words."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.engine.report import words
from runbook.engine.report.ranges import written


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["gpu02", "gpu01", "gpu03", "gpu11"], "gpu01-gpu03, gpu11"),
        (["gpu9", "gpu10", "gpu11"], "gpu9-gpu11"),
        (["gpu9", "gpu010", "gpu011"], "gpu9, gpu010, gpu011"),
        (["gpu1", "gpu2"], "gpu1, gpu2"),
        (["r1-gpu01", "r1-gpu02", "r1-gpu03", "r1-gpu07", "r2-gpu01"], "r1-gpu[01-03,07], r2-gpu01"),
        ([f"gpu{n:02}.dc2.example.com" for n in range(1, 13)], "gpu[01-12].dc2.example.com"),
        ([f"10.0.0.{n}" for n in range(8, 12)], "10.0.0.[8-11]"),
        (["login", "db"], "db, login"),
        ([], ""),
    ],
)
def test_names_are_written_as_people_write_them(names, text):
    assert written(names) == text


def test_what_does_not_fit_is_counted():
    assert written([f"n{number}" for number in range(1, 400, 2)], 40) == "n1, n3, n5, n7, n9, n11, n13, 193 more"


def test_a_name_cannot_act_on_the_terminal():
    assert written(["a\x1b[2Jb", "c\nd1", "c\nd2", "c\nd3"]) == r"a\x1b[2Jb, c\nd[1-3]"


@given(
    st.lists(st.text(string.ascii_lowercase + string.digits + "-.", min_size=1, max_size=8), max_size=40),
    st.integers(12, 90),
)
def test_it_fits_however_narrow_it_has_to_be(names, columns):
    assert words.width(written(names, columns)) <= columns


@given(st.sets(st.integers(0, 300), min_size=1, max_size=60))
def test_ranges_stand_for_exactly_the_names_that_were_given(numbers):
    found = set()
    for word in written([f"gpu{number:03}" for number in numbers]).split(", "):
        first, _, last = word.partition("-")
        found |= set(range(int(first[3:]), int((last or first)[3:]) + 1))
    assert found == numbers
