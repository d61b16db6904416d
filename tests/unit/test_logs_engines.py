"""Every engine finds the same lines, which are those that `re` alone finds."""

import importlib
import json
import os
import sys

import logs_reference
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runbook.modules.logs.judging import Judge
from runbook.modules.logs.patterns import Pattern

EXAMPLES = 40  # a test and engine; a change to the engines deserves some thousand
ENGINES = ("hyperscan", "pyperscan", "re2", "grep", "literals")

REGEXES = [
    r"error",
    r"(?i)error \d+",
    r"^start",
    r"\Astart\b",
    r"end$",
    r"end\Z",
    r"(?m)^Traceback",
    r"a\sb",
    r"[^x]+yz",
    r"foo(?!\s)",
    r"(?<!a)bc",
    r"(?P<q>['\"])quoted(?P=q)",
    r"(a)?(?(1)b|c)z",
    r"time(?:out|d out)",
    r"\berr\b",
    r"\b(?:oom|killed)\b.{0,20}(?:process|task) \d{1,5}\b",
    r"\Bnode\B",
    r"(?s)a.c",
    r"x{2,3}",
    r"\w{3}:\d{2}",
    r"(?i)[kK]elvin|\u017f",
    r"(?i)disk full",
    r"(?i:k)\u017f",
    r"(?i)[^s]kip",
    r"(?i)stra\u00dfe",
    r"caf\u00e9",
    r"\ufffd",
    r"[\u0400-\u04ff]{2}",
    r"[^ -~]",
    r"\bloss=(?P<loss>nan|inf)",
    r"\d+%",
    r"(?:CUDA|HIP) (?:error|failure): (?:out of memory|unknown|[Ll]aunch)",
    r"(?:^|\s)rank(?P<rank>\d+)(?:\s|$)",
    r"(?a)\w\W\d",
    r"\S+\.service: Failed",
    r"(?x) spaced \s out  # of",
    r"tab\tbed|nul\x20",
    r"[\]\-^]{2}",
    r"",
]
PATTERNS = [Pattern(f"p{number}", regex) for number, regex in enumerate(REGEXES) if regex] + [
    Pattern("reaching", r"head[^\n]*\n[^\n]*\n?tail", lines=3),
    Pattern("reaching", r"(?s)begin.{0,40}?finish", lines=4),
    Pattern("two", r"(?m)^one$\n^two$", lines=2),
    Pattern("p0", r"ERROR"),
]
WORDS = [
    "error", "ERROR 5", "start", "end", "a b", "a\tb", "yz", "foo", " ", "bc", "abc", "timeout", "timed out", "err", "a",
    "c", "xx", "xxx", "kelvin", "\u212aelvin", "\u017f", "loss=nan", "é", "café", "\u2028", "\x85", "\x0b", "\x1f", "-",
    "oom", "killed process 12", "node", "nodes", "Traceback", "'quoted'", "'quoted\"", "abz", "cz", "d\u0130sk full",
    "DISK FULL", "k\u017f", "\u212a\u017f", "skip", "\u017fkip", "STRASSE", "straße", "Привет", "12%", "\u0663%", "CUDA error: ",
    "out of memory", "HIP failure: launch", "rank3", "x.service: Failed", "spacedsout", "spaced out", "tab\tbed", "nul",
    "]-", "^^", "abc:12", "é:1", "head", "tail", "begin", "finish", "one", "two",
]  # fmt: skip
DIRT = [b"\x1b[1m", b"\x1b[0m", b"\x1b]0;title\x07", b"\0", b"\xff", b"\xe2\x84", b"\x1b", b"\xc5", b"\xbf"]
PIECES = st.one_of(st.sampled_from([word.encode() for word in WORDS]), st.sampled_from(DIRT))
LINE = st.lists(PIECES, max_size=5).map(b"".join)
DOCKER = st.lists(st.sampled_from([*WORDS, "\x1b[31m", "\r", '"']), max_size=4).map(
    lambda words: json.dumps(
        {"log": "".join(words) + "\n", "stream": "stderr", "time": "2026-11-22T04:00:00.1Z"}, separators=(",", ":")
    ).encode()
)
ENDS = st.sampled_from([b"\n"] * 6 + [b"\r\n", b"\r", b"\n\n"])
BLOCK = st.lists(st.tuples(st.one_of(LINE, LINE, LINE, DOCKER), ENDS).map(b"".join), max_size=10).map(b"".join)


@pytest.fixture(scope="module", params=ENGINES)
def judge(request, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return Judge(PATTERNS, made(request.param, PATTERNS, patch))


def made(name, patterns, patch):
    if name == "pyperscan":
        patch.setitem(sys.modules, "hyperscan", None)
        name = "hyperscan"
    return importlib.import_module(f"runbook.modules.logs.engines.{name}").made(patterns)


def found(judge, block, **options):
    return [(hit.index, hit.name) for hit in judge.hits(block, **options)]


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(block=BLOCK)
@pytest.mark.parametrize("every", [False, True])
def test_lines_match_as_by_the_expressions_alone(judge, block, every):
    assert found(judge, block, every=every) == logs_reference.matches(block, PATTERNS, every=every)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(block=st.binary(max_size=300))
def test_noise_matches_as_by_the_expressions_alone(judge, block):
    assert found(judge, block, every=True) == logs_reference.matches(block, PATTERNS, every=True)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINE, min_size=1, max_size=12), cut=st.integers(0, 12))
def test_where_a_log_is_cut_into_blocks_does_not_matter(judge, lines, cut):
    texts = [line.replace(b"\r", b"").replace(b"\n", b"") + b"\n" for line in lines]
    first, second = b"".join(texts[:cut]), b"".join(texts[cut:])
    in_two = found(judge, first) + [
        (index + len(texts[:cut]), name) for index, name in found(judge, second, before=first)
    ]
    assert in_two == found(judge, first + second)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(block=BLOCK)
def test_counting_finds_what_matching_finds(judge, block):
    text, marks = judge.candidates(block)
    everything = frozenset(range(len(PATTERNS)))
    counted = judge.found(text.data, marks, 60.0, every=True, counted=everything)
    assert [item[:2] for item in counted] == [item[:2] for item in judge.found(text.data, marks, 60.0, every=True)]


@pytest.mark.parametrize("size", [64 * 1024 - 5, 64 * 1024 - 4, 64 * 1024 + 1, 300_000])
@pytest.mark.parametrize("name", ENGINES)
def test_a_line_is_cut_at_64_kib_by_every_engine(monkeypatch, name, size):
    patterns = [Pattern("whole", "error$"), Pattern("any", "err|xx")]
    block = b"a" * size + b"error\nerror\n" + b"b" * size + b"xx\rx\n"
    judge = Judge(patterns, made(name, patterns, monkeypatch))
    assert found(judge, block, every=True) == logs_reference.matches(block, patterns, every=True)


@pytest.mark.parametrize(
    "prefix",
    [
        b"",
        b"Nov 22 04:00:01 node7 kernel: [ 12.5] ",
        b"2026-11-22T04:00:00.123456789Z stderr F ",
        b"[rank3]: ",
        b"Nov 22 04:00:01 node7 python3[1234]: ",
    ],
)
def test_what_stands_before_a_message_hides_nothing(judge, prefix):
    assert (0, "p31") in found(judge, prefix + b"CUDA error: out of memory\r\n", every=True)


def test_a_line_that_docker_wrote_is_unwrapped_and_its_time_told(judge):
    line = b'{"log":"rank3 \\u001b[31mend\\u001b[0m\\n","stream":"stderr","time":"2026-11-22T04:00:00.5Z"}\n'
    hits = [hit for hit in judge.hits(b"x\n" + line, every=True) if hit.name == "p4"]
    assert [(hit.index, hit.line, hit.stamp) for hit in hits] == [(1, "rank3 end", "2026-11-22T04:00:00.5Z")]


@pytest.mark.parametrize(
    "broken", [b'{"log":"error', b'{"log":"error"}', b'{"log":[],"stream":1}', b'{"log":"' + b"[" * 5000]
)
def test_what_only_looks_like_a_line_of_docker_is_matched_as_it_is(judge, broken):
    assert found(judge, broken + b"\n", every=True) == logs_reference.matches(broken + b"\n", PATTERNS, every=True)


def test_a_match_over_lines_is_told_at_its_last_line(judge):
    [hit] = judge.hits(b"x\nhead one\nmiddle\ntail of it\nx\n")
    assert (hit.index, hit.name, hit.line, hit.lines) == (3, "reaching", "head one\nmiddle\ntail of it", 3)


def test_a_match_over_lines_may_begin_in_the_block_before(judge):
    [hit] = judge.hits(b"tail\n", before=b"x\nhead\nmiddle\n")
    assert (hit.index, hit.line, hit.lines) == (0, "head\nmiddle\ntail", 3)
    assert list(judge.hits(b"tail\n", before=b"head\nmiddle\nmore\n")) == []


def test_an_engine_goes_on_in_a_process_that_was_forked(judge):
    assert found(judge, b"error\n")
    child = os.fork()
    if not child:
        os._exit(0 if found(judge, b"x\nerror\n") == [(1, "p0")] else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert found(judge, b"x\nerror\n") == [(1, "p0")]
