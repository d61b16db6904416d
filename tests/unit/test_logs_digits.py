"""What is known of a line is known of those that differ from it in digits alone, if the pattern takes all digits alike."""

import random
import re

import pytest

from runbook.modules.logs.digits import masked
from runbook.modules.logs.match import judge
from runbook.modules.logs.patterns import Pattern
from runbook.modules.logs.superset import superset


@pytest.mark.parametrize(
    "regex",
    [r"step \d+ of [0-9]{1,6}", r"\w+: (?:no|lost) \S+$", r"(?i)rank[\s:]*(?P<rank>\d+)", r"a(?!\d)[^a-z]b", r"x.y"],
)
def test_what_takes_all_digits_alike(regex):
    assert all(superset(regex).alike)


@pytest.mark.parametrize(
    "regex", ["Xid 79", r"exit code [1-9]", r"[^0]x", r"(?<!1)2", r"(\d)\1", r"code=(?:a|b[3-5])", r"(?:x1){2}"]
)
def test_what_tells_digits_apart(regex):
    assert not all(superset(regex).alike)


def test_a_mask_leaves_all_but_digits():
    assert masked("step 17, ٣ é".encode()) == "step 00, ٣ é".encode()


@pytest.mark.parametrize("engine", ["hyperscan", "re2", "grep", "literals"])
def test_lines_of_one_kind_are_told_apart_by_digits_that_matter(monkeypatch, engine):
    monkeypatch.setenv("RUNBOOK_SCANNER", engine)
    patterns = [
        Pattern("lost", r"GPU lost: Xid (?P<xid>79|119)\b"),
        Pattern("other", r"GPU \w+: Xid (?P<xid>\d+)"),
        Pattern("ended", r"worker ended with (?P<code>\d{1,3}) after"),
    ]
    lines = [f"12:{n % 60:02d} GPU lost: Xid {n} and so on" for n in range(150)]
    lines += [f"12:{n % 60:02d} worker ended with {n * 7} after {n} s" for n in range(150)]
    compiled = [(pattern.name, re.compile(pattern.regex)) for pattern in patterns]
    expected = []
    for index, line in enumerate(lines):
        name, match = next(((name, m) for name, regex in compiled if (m := regex.search(line))), ("", None))
        if match is not None:
            expected.append((index, name, {key: int(value) for key, value in match.groupdict().items()}))
    hits = judge(patterns, 0).hits("".join(f"{line}\n" for line in lines).encode())
    found = [
        (hit.index, hit.name, {key: hit.groups[key] for key in hit.groups if hit.groups[key] is not None})
        for hit in hits
    ]
    assert found == expected


MIXED = [
    r"lost(?: it)? \w+|code 7\b",
    r"(?!.*8)(?:lost|code 3)",
    r"(?:(?>lost|lost 1)|code)(?! 5) \d",
    r"(?:lost|code 1)?+ 2",
    r"(?P<what>lost|code \d) then (?P=what)",
    r"(?i)LOST (?:[0-4]|x)|code",
]


@pytest.mark.parametrize("engine", ["hyperscan", "literals"])
@pytest.mark.parametrize("regex", MIXED)
def test_of_alternatives_each_may_take_digits_alike_or_not(monkeypatch, engine, regex):
    monkeypatch.setenv("RUNBOOK_SCANNER", engine)
    chance = random.Random(regex)
    words = ("lost", "code", "then", "it", "x", "1", "2", "3", "5", "7", "8")
    lines = [" ".join(chance.choices(words, k=chance.randrange(2, 5))) for _ in range(600)]
    found = judge([Pattern("p", regex)], 0).hits("".join(f"{line}\n" for line in lines).encode())
    assert [hit.index for hit in found] == [at for at, line in enumerate(lines) if re.search(regex, line)]
