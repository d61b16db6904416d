"""Blocks in which nothing can match are told by a few searches; the others are read as ever."""

import random

import pytest

from runbook.modules.host import Host
from runbook.modules.logs import tail
from runbook.modules.logs.match import matcher
from runbook.modules.logs.patterns import Pattern
from runbook.modules.logs.quiet import FEW, needed, quiet
from runbook.modules.probes.log import Log

SETS = [
    ["CUDA out of memory", "NCCL WARN"],
    [r"GPU (?P<gpu>\d+) fell off", r"(?i)fatal error: (?P<what>\w+)"],
    [r"(?:abc){2}kill(?:ed)? process", "(?x) white  space # comment"],
    [r"(?i)stra\u00dfe", "Kelvin degrees"],
]
PIECES = [
    *(
        "CUDA out of memory",
        "NCCL WARN",
        "GPU 3 fell off",
        "FATAL Error: x",
        "fatal error: \u212a",
        "abcabckilled process",
    ),
    *(
        "whitespace",
        "Stra\u00dfe",
        "Kelvin degrees",
        "Kelvi\r\nn degrees",
        "\x1b[31mNCCL\x1b[0m WARN",
        "CUDA\0out of memory",
    ),
    *(
        '{"log":"NCCL W\\u0041RN\\n","stream":"stderr","time":"2026-01-31T12:00:00Z"}',
        "Traceback (most recent call last):",
    ),
    *("2026-01-31T12:00:00Z stderr P NCCL ", "2026-01-31T12:00:00Z stderr F WARN", "step 1", "", "\r", "loss 0.5"),
]


@pytest.mark.parametrize(
    ("regex", "expected"),
    [
        ("CUDA out of memory", (False, "CUDA out of memory")),
        (r"CUDA out of memory.*GPU (?P<gpu>\d+)", (False, "CUDA out of memory")),
        ("(?i)OOM-kill(?P<what>ed by)?", (True, "OOM-kill")),
        (r"(?:first|second) thing\b", (False, " thing")),
        ("one|two", (False, "")),
        ("(?i:one) two", (False, " two")),
        ("(?!never)ever[abc]", (False, "ever")),
        ("(?:no)*thing(?P<x>whatever)", (False, "whatever")),
        ("caf\u00e9 bar", (False, " bar")),
    ],
)
def test_a_pattern_needs_its_longest_text(regex, expected):
    assert needed(regex) == expected


@pytest.mark.parametrize("regexes", SETS)
def test_a_quiet_block_has_no_hit(regexes):
    patterns = [Pattern(regex, regex) for regex in regexes]
    told, chance, said = quiet(patterns), random.Random(7), 0
    assert told is not None
    finder = matcher(patterns, 0)
    for _ in range(2000):
        block = "\n".join(chance.choices(PIECES, k=chance.randint(1, 4))).encode() + b"\n"
        if told(block):
            said += 1
            assert not list(finder.hits(block)), block
    assert said > 100


@pytest.mark.parametrize("regexes", SETS)
def test_what_a_log_holds_is_the_same_whether_its_blocks_are_told_quiet_or_not(regexes, tmp_path, monkeypatch):
    chance = random.Random(11)
    monkeypatch.setattr("runbook.modules.logs.reading.BLOCK", 512)
    monkeypatch.setattr("runbook.modules.logs.reading.FIRST", 64)
    monkeypatch.setattr("runbook.modules.logs.reading.SHORT", 32)
    for moment in ("STILL", "QUIET"):  # nobody else writes: there is nothing to wait for
        monkeypatch.setattr(f"runbook.modules.logs.reading.{moment}", 0.0)
    ways = []
    for way in (tail.quiet, lambda _patterns: None):
        monkeypatch.setattr(tail, "quiet", way)
        ways.append(_read(tmp_path / f"{len(ways)}.log", regexes, random.Random(chance.randint(0, 0))))
    assert ways[0] == ways[1]
    assert ways[0][0]


def _read(log, regexes, chance):
    """Append at random and look each time; return the lines with their numbers, and how far was read."""
    kept, found = {}, []
    for _ in range(12):
        with log.open("ab") as file:
            file.write("\n".join(chance.choices(PIECES[-4:], k=30)).encode() + b"\n")
            file.write(
                "\n".join(chance.choices(PIECES, weights=[1] * (len(PIECES) - 4) + [20] * 4, k=60)).encode() + b"\n"
            )
        host = Host(remembered=kept)
        found += [
            (one.line_no, one.line, one.signature) for one in Log((str(log),), tuple(regexes), from_="start").look(host)
        ]
        kept = host.kept
    return found, kept["behind"]


def test_many_patterns_and_such_without_a_text_are_left_to_an_engine():
    assert quiet([Pattern(f"{n}", f"failure {n}") for n in range(FEW + 1)]) is None
    assert quiet([Pattern("x", "failure"), Pattern("y", r"\d+ abc")]) is not None
    assert quiet([Pattern("x", "failure"), Pattern("y", r"\d+")]) is None
    assert quiet([Pattern("x", "failure", lines=2)]) is None
