"""Which lines match, and what is made of them: the same as the regular expressions alone would say."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.modules.logs.literals import Literals, numeric_groups, required
from runbook.modules.logs.match import LiteralMatcher, cleaned


@pytest.mark.parametrize(
    ("pattern", "texts", "folded"),
    [
        ("CUDA out of memory", ["CUDA out of memory"], False),
        ("(?i)CUDA out of memory", ["cuda out of memory"], True),
        (r"Xid \((?P<pci>[^)]+)\): (?P<xid>\d+)", ["Xid ("], False),
        ("timed? ?out|unreachable", ["time", "unreachable"], False),
        ("connection|unreachable", ["connection", "unreachable"], False),
        (r"(?:refused|reset) by peer\b", [" by peer"], False),
        (r"(abc)+x", ["abc"], False),
        (r"(abc)*xyz", ["xyz"], False),
        (r"foo\.bar", ["foo.bar"], False),
        (r"^panic:", ["panic:"], False),
        (r"a(?=secret)", None, False),
        (r"(?!secret)wanted", ["wanted"], False),
        (r"\d+%", None, False),
        ("x(?i:yes)", ["yes"], True),
        ("(?i)straße", None, True),
    ],
)
def test_what_every_match_must_hold_is_read_from_the_pattern(pattern, texts, folded):
    assert required(pattern) == (None if texts is None else Literals(tuple(texts), folded))


def test_groups_of_digits_are_whole_numbers_and_of_decimals_decimal_ones():
    pattern = (
        r"(?P<a>\d+) (?P<b>[\d.]+) (?P<c>\w+) (?P<d>[0-9]{3}) (?P<e>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?) "
        r"(?P<f>0x\d+) (?P<g>[0-9a-f]+) (?P<h>.) (?P<i>(?:1|2)3)"
    )
    assert numeric_groups(pattern) == {"a": int, "b": float, "d": int, "e": float, "i": int}


def test_a_number_too_long_for_a_computer_stays_text():
    [hit] = LiteralMatcher([r"job=(?P<job>\d+)"]).hits(b"job=" + b"9" * 30 + b"\n")
    assert hit.groups == {"job": "9" * 30}


def test_decimals_that_are_none_stay_text():
    [hit] = LiteralMatcher([r"version (?P<v>[\d.]+)"]).hits(b"version 1.2.3\n")
    assert hit.groups == {"v": "1.2.3"}


def test_the_first_pattern_in_order_names_the_line():
    matcher = LiteralMatcher({"second": "timed out", "first": "NCCL"})
    assert [(hit.index, hit.name) for hit in matcher.hits(b"NCCL\nx\nNCCL timed out\n")] == [
        (0, "first"),
        (2, "second"),
    ]


def test_letters_that_fold_to_ascii_are_found_as_by_the_expression_alone():
    matcher = LiteralMatcher([r"(?i)kiss"])
    assert len(list(matcher.hits("\u212aISS\nki\u017fs\nkiSS\n".encode()))) == 3


def test_colours_inside_a_word_do_not_hide_it():
    [hit] = LiteralMatcher(["out of memory"]).hits(b"out of \x1b[1mmem\x1b[0mory\n")
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
    assert [(hit.index, hit.name, hit.line) for hit in LiteralMatcher(patterns).hits(block)] == expected


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_noise_keeps_its_number_of_lines(noise):
    separators = len(re.findall(rb"\r\n|\n|\r", noise))
    assert cleaned(noise).count("\n") == separators
