"""Which engine is chosen, what is kept for the next process, and which texts quick searches look for."""

import os
import re
import subprocess
import sys

import pytest

from runbook.modules.declare import Unclear
from runbook.modules.logs import match
from runbook.modules.logs.engines import store
from runbook.modules.logs.engines.lines import fewest
from runbook.modules.logs.engines.plan import expressions
from runbook.modules.logs.engines.syntax import perl
from runbook.modules.logs.match import matcher, prepare
from runbook.modules.logs.needed import rarest
from runbook.modules.logs.nodes import widened
from runbook.modules.logs.patterns import Pattern
from runbook.modules.logs.superset import superset

MANY = [Pattern(f"p{number}", rf"(?i)failure number {number}\b") for number in range(60)]
LARGE = 1 << 30


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.delenv("RUNBOOK_SCANNER", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    match.forget()
    yield tmp_path / "runbook" / "scanner"
    match.forget()


@pytest.mark.parametrize("engine", ["hyperscan", "re2", "grep", "literals"])
def test_an_engine_can_be_forced(monkeypatch, engine):
    monkeypatch.setenv("RUNBOOK_SCANNER", engine)
    made = matcher(MANY, 0)
    assert made.engine.name == engine
    assert [hit.name for hit in made.hits(b"x\nFailure number 7!\n")] == ["p7"]


def test_an_engine_that_does_not_exist_is_refused_with_those_that_do(monkeypatch):
    monkeypatch.setenv("RUNBOOK_SCANNER", "perl")
    with pytest.raises(
        Unclear, match=r"RUNBOOK_SCANNER=perl names no engine; there are hyperscan, re2, grep, literals"
    ):
        matcher(MANY, LARGE)


def test_an_engine_that_the_host_lacks_is_refused(monkeypatch):
    monkeypatch.setenv("RUNBOOK_SCANNER", "re2")
    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(Unclear, match="RUNBOOK_SCANNER=re2: this host has no re2"):
        matcher(MANY, LARGE)


def test_without_packages_a_large_backlog_is_left_to_the_next_best(monkeypatch):
    monkeypatch.setitem(sys.modules, "hyperscan", None)
    assert matcher(MANY, LARGE).engine.name == "hyperscan"  # by pyperscan
    match.forget()
    monkeypatch.setitem(sys.modules, "pyperscan", None)
    assert matcher(MANY, LARGE).engine.name == "re2"
    match.forget()
    monkeypatch.setitem(sys.modules, "re2", None)
    assert matcher(MANY, LARGE).engine.name == "grep"
    match.forget()
    monkeypatch.setenv("PATH", "")
    assert matcher(MANY, LARGE).engine.name == "literals"


def test_a_small_backlog_compiles_nothing_but_is_served_by_what_is_there():
    assert matcher(MANY, 1000).engine.name == "literals"
    assert matcher(MANY, LARGE).engine.name == "hyperscan"
    assert matcher(MANY, 1000).engine.name == "hyperscan"


def test_what_was_prepared_compiles_nothing_more(monkeypatch):
    prepare(MANY)
    monkeypatch.setattr(re, "compile", lambda *_: pytest.fail("a steady tick compiles"))
    assert [hit.name for hit in matcher(MANY, 1000).hits(b"failure number 3\n\xc3\xa9 failure number 4\n")] == [
        "p3",
        "p4",
    ]


def test_a_catalogue_is_compiled_once_for_all_processes(cache):
    program = (
        "import sys, json; from runbook.modules.logs.patterns import Pattern; from runbook.modules.logs.match import matcher;"
        "made = matcher([Pattern(f'p{n}', rf'(?i)failure number {n}\\b') for n in range(60)], 1 << 30);"
        "print([hit.name for hit in made.hits(b'failure number 59\\n')], 'runbook.modules.logs.superset' in sys.modules)"
    )
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.startswith("['p59']")
    [kept] = cache.iterdir()
    assert (kept.stat().st_mode & 0o777, cache.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize("package", ["hyperscan", "pyperscan"])
def test_what_hyperscan_cannot_compile_is_found_by_its_texts(monkeypatch, package):
    if package == "pyperscan":
        monkeypatch.setitem(sys.modules, "hyperscan", None)
    wide = Pattern("wide", r"error[ab]{40000}d")  # "bounded repeat is too large", which it says at once
    line = b"error" + b"ab" * 20_000 + b"d"
    made = matcher([*MANY, wide], LARGE)
    assert made.engine._others
    assert [hit.name for hit in made.hits(b"failure number 7\n" + line + b"\nerror d\n")] == ["p7", "wide"]


def test_a_text_that_several_patterns_need_tells_of_each_of_them():
    several = [Pattern(f"q{number}", rf"device unplugged.*code {number}\b") for number in range(30)]
    made = matcher(several, LARGE)
    assert made.engine._owners
    assert [hit.name for hit in made.hits(b"device unplugged\ndevice unplugged, code 7\n")] == ["q7"]


def test_what_is_kept_is_kept_for_its_owner_alone(cache):
    store.write("key", b"kept")
    assert store.read("key") == b"kept"
    [path] = cache.iterdir()
    path.chmod(0o666)
    assert store.read("key") is None
    path.chmod(0o600)
    cache.chmod(0o777)
    assert store.read("key") is None


def test_what_was_damaged_is_made_anew(cache):
    assert matcher(MANY, LARGE).engine.name == "hyperscan"
    [path] = cache.iterdir()
    path.write_bytes(path.read_bytes()[:-100])
    match.forget()
    assert [hit.name for hit in matcher(MANY, LARGE).hits(b"failure number 1\n")] == ["p1"]
    whole = path.read_bytes()
    match.forget()
    assert matcher(MANY, LARGE).engine.name == "hyperscan"
    assert path.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert [hit.name for hit in matcher(MANY, LARGE).hits(b"failure number 1\n")] == ["p1"]


def test_the_oldest_of_many_are_forgotten(cache):
    for number in range(store.MOST + 3):
        store.write(str(number), b"kept")
        os.utime(cache / store.called(str(number)), (number, number))
    assert len(list(cache.iterdir())) == store.MOST


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        ("CUDA out of memory", ["CUDA out of memory"]),
        ("(?i)CUDA out of memory", ["cuda out of memory"]),
        (r"Xid \((?P<pci>[^)]+)\): (?P<xid>\d+)", ["Xid ("]),
        (r"E(?:NOSPC|DQUOT)\b", ["EDQUOT", "ENOSPC"]),
        (r"[Tt]imeout", ["Timeout", "timeout"]),
        (r"(?i)[T]imeout", ["timeout"]),
        (r"timed? ?out", ["time out", "timed out", "timedout", "timeout"]),
        (r"(?:refused|reset) by peer\b", ["refused by peer", "reset by peer"]),
        (r"(abc)+x", ["abcx"]),
        (r"(abc)*xyz", ["xyz"]),
        (r"foo\.bar", ["foo.bar"]),
        (r"^panic:", ["panic:"]),
        (r"a(?=secret)", None),
        (r"(?!secret)wanted", ["wanted"]),
        (r"\d+%", None),
        ("error.*uncorrectable", ["uncorrectable"]),
        ("x(?i:yes)", ["xyes"]),
        ("caf\u00e9 full", ["caf\u00c3\u00a9 full"]),
        (r"one\n[^\n]*two words", ["two words"]),
    ],
)
def test_what_every_match_must_hold_is_read_from_the_pattern(pattern, texts):
    found = [expression.texts for expression in expressions([Pattern("p", pattern, lines=1 + pattern.count(r"\n"))])]
    assert (sorted({text for sets in found for text in sets[0][1]}) if all(found) else None) == texts


def test_texts_that_most_logs_hold_are_looked_for_together_with_others():
    [told] = expressions([Pattern("nan", r"(?i)\bloss: \d+.*(?:became|is) nan\b")])
    assert told.texts == [(True, ["became nan", "is nan"]), (True, ["loss: "])]
    [told] = expressions([Pattern("failed", r"failed.*: (?:exit|code) \d")])
    assert told.outline == "(failed).*(: code |: exit )"
    assert re.search(told.outline, "a failed b: exit 3")
    [told] = expressions([Pattern("failed", r"(?i)failed to \d")])
    assert re.search(told.outline, "FAILED to 5")


def test_several_common_words_tell_more_than_one():
    [told] = expressions([Pattern("lost", r"worker \d+ with error.*connection timed out")])
    assert told.texts[0] == (False, ["connection timed out"])
    assert not told.outline


def test_what_ends_a_match_over_several_lines_is_looked_for_with_what_stands_around():
    [told] = expressions([Pattern("reaching", r"first thing\n.*second thing\n.*third one", lines=3)])
    assert (told.lines, told.texts) == (1, [(False, ["third one"])])
    assert [words for _, words in told.around] == [["second thing\n"], ["first thing\n"], ["third one"]]


@pytest.mark.parametrize(
    ("pattern", "begun"),
    [
        (r"loss\s*[:=]\s*nan\b", rb"[\x3a\x3d]"),  # most lines of a training have a loss, few a nan
        (r"loss \d+ failed", rb"loss"),
        (r"libfoo \d+ error", rb"libfoo"),
        (r"ice\b.{0,80}\bTX (?:timeout|hang)", rb"TX "),  # `ice` stands in each `device`
        (r"libfoo.*TX timeout", rb"libfoo"),
        (r"step \w+ loss is nan\b", rb" loss is"),
    ],
)
def test_an_expression_begins_behind_common_words_where_a_rare_one_follows(pattern, begun):
    [node] = superset(pattern).alternatives
    assert perl(rarest(widened(node, folds=False))).startswith(begun)


def test_of_texts_that_hold_others_the_others_are_looked_for():
    assert sorted(fewest([b"abc", b"xabcx", b"abd", b"abdabd", b"xyz", b"ab d"])) == [b"ab d", b"abc", b"abd", b"xyz"]
