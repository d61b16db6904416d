"""Expressions that are kept compiled: they are the same, made without being read again, and only of what is ours."""

import re

import pytest

from runbook.engine.language.signatures import catalogue
from runbook.modules.logs import groups, ready
from runbook.modules.logs.engines import plan, store
from runbook.modules.logs.patterns import Pattern
from runbook.modules.logs.ready import Ready
from runbook.modules.logs.scan import scan

FAILURES = tuple(Pattern(f"p{number}", rf"failure (?P<code>\d+) of {number}\b") for number in range(plan.KEPT_FROM))
TESTS = [rb"failure \d+ of %d\b" % number for number in range(ready.FEWEST)]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(groups, "_known", {})
    return tmp_path / "cache" / "runbook" / "scanner"


@pytest.fixture
def unread(monkeypatch):
    """Give what forbids that anything is compiled."""

    def never(*_):
        raise AssertionError("an expression was compiled")

    def forbid():
        monkeypatch.setattr(ready._parts()[0], "parse", never)

    return forbid


def test_what_the_catalogue_needs_is_the_same_as_compiled_anew(cache, unread):
    patterns = catalogue().patterns()[::7]  # half a second to compile all of them
    anew = [(pattern.regex, re.compile(pattern.regex)) for pattern in patterns]
    exact = [each.exact.encode("latin-1") for each in plan.expressions(patterns) if each.exact is not None][::5]
    tests = [(text, re.compile(text, re.MULTILINE)) for text in exact]
    numbers = {regex: groups.numeric_groups(regex) for regex, made in anew if made.groupindex}
    first = Ready(patterns)
    assert [first.pattern(regex) for regex, _ in anew] == [made for _, made in anew]
    assert [first.test(text) for text, _ in tests] == [made for _, made in tests]
    first.keep()
    groups._known.clear()
    unread()
    again = Ready(patterns)
    revived = [again.pattern(regex) for regex, _ in anew]
    assert revived == [made for _, made in anew]
    assert [made.groupindex for made in revived] == [made.groupindex for _, made in anew]
    assert [again.test(text) for text, _ in tests] == [made for _, made in tests]
    assert {regex: groups.numeric_groups(regex) for regex in numbers} == numbers


def test_a_scan_keeps_what_it_compiled_for_the_next_one(cache, unread, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNBOOK_SCANNER", "literals")
    log = tmp_path / "log"
    log.write_text("".join(f"failure {number + 100} of {number}\n" for number in range(20)))
    found = scan(str(log), FAILURES).found
    ready_now = Ready(FAILURES)
    unread()
    assert found["p3"].first.groups == {"code": 103}
    assert ready_now.pattern(FAILURES[3].regex).search("failure 5 of 3")


def test_of_a_few_patterns_or_few_new_ones_nothing_is_kept(cache):
    few = Ready(FAILURES[: plan.KEPT_FROM - 1])
    for pattern in FAILURES[1:]:
        few.pattern(pattern.regex)
    few.keep()
    many = Ready(FAILURES)
    for text in TESTS[1:]:
        many.test(text)
    many.keep()
    assert not cache.exists()
    many.test(TESTS[0])
    many.keep()
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("kept", [b"no marshalled data", b"", b"i\x01\x00\x00\x00"])
def test_what_is_damaged_is_compiled_anew(cache, kept):
    first = Ready(FAILURES)
    store.write(first._key, kept)
    assert first.pattern(FAILURES[0].regex) == re.compile(FAILURES[0].regex)


def test_where_python_has_other_parts_re_compiles(cache, monkeypatch):
    monkeypatch.setattr(ready, "_parts", lambda: None)
    plain = Ready(FAILURES)
    assert plain.pattern(FAILURES[0].regex) == re.compile(FAILURES[0].regex)
    assert plain.test(TESTS[0]) == re.compile(TESTS[0], re.MULTILINE)
    plain.keep()
    assert not cache.exists()
