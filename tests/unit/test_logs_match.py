"""Which lines match, and what is made of them: the same as the regular expressions alone would say."""

import re
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.modules.logs.cleaning import cleaned
from runbook.modules.logs.groups import numeric_groups
from runbook.modules.logs.match import TooSlow, matcher
from runbook.modules.logs.patterns import Pattern


def of(regexes):
    named = regexes.items() if isinstance(regexes, dict) else zip(regexes, regexes, strict=True)
    return matcher([Pattern(name, regex) for name, regex in named], 0)


def test_groups_of_digits_are_whole_numbers_and_of_decimals_decimal_ones():
    pattern = (
        r"(?P<a>\d+) (?P<b>[\d.]+) (?P<c>\w+) (?P<d>[0-9]{3}) (?P<e>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?) "
        r"(?P<f>0x\d+) (?P<g>[0-9a-f]+) (?P<h>.) (?P<i>(?:1|2)3)"
    )
    assert numeric_groups(pattern) == {"a": int, "b": float, "d": int, "e": float, "i": int}


def test_a_number_too_long_for_a_computer_stays_text():
    [hit] = of([r"job=(?P<job>\d+)"]).hits(b"job=" + b"9" * 30 + b"\n")
    assert hit.groups == {"job": "9" * 30}


def test_decimals_that_are_none_stay_text():
    [hit] = of([r"version (?P<v>[\d.]+)"]).hits(b"version 1.2.3\n")
    assert hit.groups == {"v": "1.2.3"}


def test_the_first_pattern_in_order_names_the_line():
    matcher = of({"second": "timed out", "first": "NCCL"})
    assert [(hit.index, hit.name) for hit in matcher.hits(b"NCCL\nx\nNCCL timed out\n")] == [
        (0, "first"),
        (2, "second"),
    ]


def test_letters_that_fold_to_ascii_are_found_as_by_the_expression_alone():
    matcher = of([r"(?i)kiss"])
    assert len(list(matcher.hits("\u212aISS\nki\u017fs\nkiSS\n".encode()))) == 3


def test_colours_inside_a_word_do_not_hide_it():
    [hit] = of(["out of memory"]).hits(b"out of \x1b[1mmem\x1b[0mory\n")
    assert hit.line == "out of memory"


PATTERNS = [
    r"error",
    r"(?i)error \d+",
    r"^start",
    r"end$",
    r"a\sb",
    r"[^x]+yz",
    r"foo(?!\s)",
    r"(?<!a)bc",
    r"time(?:out|d out)",
    r"\berr\b",
    r"(?s)a.c",
    r"x{2,3}",
    "(?i)[kK]elvin|\u017f",
    r"\bloss=(?P<loss>nan|inf)",
]
PIECES = ["error", "ERROR 5", "start", "end", "a b", "a\tb", "yz", "foo", " ", "bc", "abc", "timeout", "err", "a", "c",
          "xx", "kelvin", "\u212aelvin", "\u017f", "loss=nan", "é", "\u2028", "\x85", "\x0b", "\x1f", "-"]  # fmt: skip
LINES = st.lists(st.lists(st.sampled_from(PIECES), max_size=4).map("".join), max_size=8)


@settings(max_examples=300, deadline=None)
@given(LINES, st.sampled_from(["\n", "\r\n"]), st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=4, unique=True))
def test_lines_match_as_by_the_expressions_alone(lines, ending, patterns):
    block = "".join(line + ending for line in lines).encode()
    expected = [
        (index, pattern, line)
        for index, line in enumerate(lines)
        for pattern in [next((p for p in patterns if re.search(p, line)), None)]
        if pattern is not None
    ]
    assert [(hit.index, hit.name, hit.line) for hit in of(patterns).hits(block)] == expected


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_noise_keeps_its_number_of_lines(noise):
    separators = len(re.findall(rb"\r\n|\n|\r", noise))
    assert cleaned(noise).data.count(b"\n") == separators


def lines(pattern, block, **options):
    return [(hit.index, hit.line) for hit in of([pattern]).hits(block, **options)]


@pytest.mark.parametrize("forged", [rb"x\rFATAL: y", rb"x\r\0FATAL: y", rb"x\r\x1b[1mFATAL: y", rb"\rFATAL: y"])
@pytest.mark.parametrize("anchor", ["^", r"\A", "(?m)^", r"(?<![^\n])"])
def test_no_line_begins_behind_a_lone_carriage_return(forged, anchor):
    block = forged.decode("unicode_escape").encode() + b"\n"
    assert lines(rf"{anchor}\s*FATAL", block) == []
    assert lines("FATAL", block) != []


@pytest.mark.parametrize("pattern", ["failed$", r"failed\Z", "(?m)failed$"])
def test_no_line_ends_at_a_lone_carriage_return(pattern):
    assert lines(pattern, b"failed\rly easy\nfailed\n") == [(2, "failed")]


def test_a_block_that_goes_on_behind_a_carriage_return_begins_no_line():
    assert lines("^FATAL", b"FATAL\nFATAL\n", goes_on=True) == [(1, "FATAL")]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_lines_with_the_ends_of_any_system_begin_and_end(ending):
    assert lines("^bad$", ending.join([b"bad", b"x", b"bad", b""])) == [(0, "bad"), (2, "bad")]


def test_a_state_of_a_progress_bar_is_a_line_without_the_carriage_returns_around_it():
    [hit] = of([r"loss=(?P<loss>.*)"]).hits(b" 1%\r 2% loss=nan\r 3%\n")
    assert (hit.index, hit.line, hit.groups) == (1, " 2% loss=nan", {"loss": "nan"})


POISON = b" failed" + b" error:" * 8000


def test_lines_that_keep_a_pattern_busy_are_given_up_and_the_pattern_is_told():
    pattern = r"(?P<x>.*) error: (?P<y>.*) failed"
    begun = time.process_time()
    with pytest.raises(TooSlow, match=re.escape(pattern)):
        of([pattern]).hits(b" error: x failed\n" + POISON.replace(b":", b": ") + b"\n", 0.1)
    assert time.process_time() - begun < 5


def test_a_matcher_that_gave_up_once_matches_on():
    matcher = of(["(a+)+(?=$)"])
    with pytest.raises(TooSlow):
        matcher.hits(b"a" * 64 + b"b\n", 0.05)
    assert [hit.line for hit in matcher.hits(b"aaa\n", 0.05)] == ["aaa"]
    deadline = time.process_time() + 0.2
    while time.process_time() < deadline:  # a clock that still ran would end this
        pass


def test_a_thread_that_cannot_be_interrupted_matches_all_the_same():
    found = []
    thread = threading.Thread(target=lambda: found.extend(of(["bad"]).hits(b"bad\n", 0.001)))
    thread.start()
    thread.join()
    assert len(found) == 1
