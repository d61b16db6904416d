"""Lines are found by their kinds as by themselves, and a kind is searched once."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.modules.logs.engines import kinds, lines
from runbook.modules.logs.engines.kinds import Kinds
from runbook.modules.logs.engines.lines import LineEngine
from runbook.modules.logs.engines.plan import expressions
from runbook.modules.logs.engines.texts import Literals
from runbook.modules.logs.patterns import Pattern

REGEXES = [
    r"(?i)out of memory",
    r"Xid \(PCI\): 79",
    r"error 429\b",
    r"429",
    r"\b12\b.*\b34\b",
    r"(?i)disk\d full",
    r"caf\u00e9 \d+ closed",
    r"node[0-4] is down",
]
PATTERNS = [Pattern(f"p{number}", regex) for number, regex in enumerate(REGEXES)]
WORDS = ["out of ", "MEMORY", "memory", "Xid (PCI): ", "79", "error ", "429", "4", "29", "12", "34", " ", "disk7 full"]
WORDS += ["DISK full", "caf\u00e9 ", "closed", "node3", " is down", "step 17", "0x7f3a", "\r", "x"]
LINES = st.lists(st.lists(st.sampled_from(WORDS), max_size=5).map("".join), max_size=12)


def starts(text, marks):
    return {text.rfind(b"\n", 0, at) + 1 for at, _ in marks}


@settings(max_examples=300, deadline=None)
@given(first=LINES, second=LINES)
def test_no_line_with_the_texts_of_an_expression_is_missed(first, second):
    made = [each for each in expressions(PATTERNS) if each.texts]
    by_kind, texts = Kinds(made, 1.0), Literals(made)
    for block in (first, second, first):
        text = "".join(f"{line}\n" for line in block).encode()
        assert starts(text, texts.of_one_line(text)) <= set(by_kind.lines(text))


@pytest.mark.parametrize("engine", ["literals", "re2", "grep"])
def test_engines_find_the_same_by_kinds_as_without(monkeypatch, engine):
    import importlib

    chance = random.Random(5)
    block = "".join(f"{chance.random()} {chance.choice(WORDS)}{chance.choice(WORDS)}\n" for _ in range(2000)).encode()
    made = importlib.import_module(f"runbook.modules.logs.engines.{engine}").made
    monkeypatch.setattr(lines, "MANY", 1)
    by_kind = made(PATTERNS)
    assert by_kind._by_kind is not None
    monkeypatch.setattr(lines, "LARGE", 1 << 30)
    found = set(made(PATTERNS).candidates(block))
    monkeypatch.setattr(lines, "LARGE", 1)
    assert {at for at, _ in by_kind.candidates(block)} == {block.rfind(b"\n", 0, at) + 1 for at, _ in found}


def test_a_kind_is_searched_once():
    by_kind = Kinds([each for each in expressions(PATTERNS) if each.texts], 1.0)
    searched = []
    search = by_kind._searched
    by_kind._searched = lambda new: searched.append(len(new)) or search(new)
    for number in range(50):
        found = by_kind.lines(b"step %d of 50\nnode%d is down\n" % (number, number))
        assert list(found) == [len(b"step %d of 50\n" % number)]
    assert searched == [3]  # the empty end of a block is one


def test_a_log_whose_lines_are_all_of_their_own_kind_is_searched_otherwise():
    by_kind = Kinds([each for each in expressions(PATTERNS) if each.texts], 0.05)
    chance = random.Random(3)
    strange = b"".join(bytes(chance.choices(b"qwertyuiop", k=40)) + b"\n" for _ in range(200))
    assert by_kind.lines(strange) is None
    assert by_kind.lines(b"usual\n" * 200) is None  # and so are those behind it, for a while
    for _ in range(kinds.WITHOUT):
        by_kind.lines(b"usual\n" * 200)
    assert by_kind.lines(b"usual\n" * 200) == {}


def test_what_is_remembered_of_a_log_is_bounded(monkeypatch):
    monkeypatch.setattr(kinds, "MOST", 100)
    by_kind = Kinds([each for each in expressions(PATTERNS) if each.texts], 1.0)
    for number in range(30):
        by_kind.lines(b"".join(b"%c%c line\n" % (97 + number % 26, letter) for letter in range(97, 123)))
        assert len(by_kind._with) + len(by_kind._none) <= 100
    by_kind.lines(b"y" * 50_000 + b"\n")
    assert max(map(len, by_kind._none)) < 1001


def test_few_texts_are_looked_for_as_they_are():
    assert LineEngine("literals", [Pattern("one", "only this")])._by_kind is None
