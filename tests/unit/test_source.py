"""Bytes → plain data: every problem is a located finding, and none hides another."""

import time

import pytest

from runbook.engine.language import source


def found(text: str) -> list[tuple[str, int, int]]:
    return [(each.code, each.span.line, each.span.column) for each in source.parse(text, "f.yaml").problems]


def only(text: str) -> source.Finding:
    [problem] = source.parse(text, "f.yaml").problems
    return problem


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("a: 1", {"a": 1}),
        ("a: -1.5", {"a": -1.5}),
        ("a: 1e-5", {"a": 1e-5}),
        ("a: true\nb: false", {"a": True, "b": False}),
        ("a:\nb: ~\nc: null", {"a": None, "b": None, "c": None}),
        ("a: 85%", {"a": "85%"}),
        ("a: 10m", {"a": "10m"}),
        ("a: 1.2.3", {"a": "1.2.3"}),
        ("a: '0777'", {"a": "0777"}),
        ('a: "on"', {"a": "on"}),
        ("a: !!str 5", {"a": "5"}),
        ("[{x: 1, y: 2}]", [{"x": 1, "y": 2}]),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ("a: =", {"a": "="}),
    ],
)
def test_plain_yaml_becomes_plain_data(text, data):
    parsed = source.parse(text, "f.yaml")
    assert parsed.problems == []
    assert parsed.data == data


@pytest.mark.parametrize(
    "trap",
    [
        "yes",
        "Yes",
        "no",
        "NO",
        "on",
        "off",
        "True",
        "FALSE",
        "y",
        "N",
        "0777",
        "0o17",
        "08",
        "0x1F",
        "0b11",
        "1_000",
        "1:30",
        "22:22",
        "190:20:30",
        "2026-01-31",
        ".inf",
        "-.INF",
        ".nan",
        "1e5",
        "99999999999999999999",
        "1.0e999",
    ],
)
def test_what_yaml_parsers_read_in_different_ways_is_reported(trap):
    problem = only(f"name: x\nkey: {trap}\n")
    assert (problem.code, problem.span.line, problem.span.column) == ("RB003", 2, 6)
    assert problem.span.end_column == 6 + len(trap)
    assert problem.hint


@pytest.mark.parametrize("key", ["on", "no", "Yes", "0777", "1:30", "8000", "2026-01-31", "null", "1.5"])
def test_keys_that_are_not_text_are_reported_and_can_be_quoted(key):
    parsed = source.parse(f"{key}: 1\n", "f.yaml")
    [problem] = parsed.problems
    assert problem.code == "RB003"
    assert parsed.data == {key: 1}
    [edit] = problem.fixes
    assert parsed.text[: edit.start] + edit.text + parsed.text[edit.end :] == f'"{key}": 1\n'


@pytest.mark.parametrize(
    ("trap", "right"), [("True", "true"), ("FALSE", "false"), ("0640", '"0640"'), ("1_000", "1000")]
)
def test_a_trap_that_can_mean_one_thing_has_a_fix(trap, right):
    parsed = source.parse(f"# é\nk: {trap} # why\n", "f.yaml")
    [problem] = parsed.problems
    [edit] = problem.fixes
    fixed = parsed.text[: edit.start] + edit.text + parsed.text[edit.end :]
    assert fixed == f"# é\nk: {right} # why\n"
    assert source.parse(fixed, "f.yaml").problems == []


def test_yes_has_no_fix_since_it_can_mean_the_word():
    assert only("a: yes").fixes == ()
    assert only("a: yes").hint == 'write true, or "yes" in quotes if the word is meant'


def test_a_duplicate_key_names_the_line_of_the_first():
    problem = only("a: 1\nb: {c: 1}\na: 2\n")
    assert (problem.code, problem.span.line) == ("RB002", 3)
    assert "first in line 1" in problem.message


def test_one_problem_never_hides_another():
    text = "a: yes\na: 1\nb: 0777\nc: !vault x\nd: *nothing\n1: 2\n"
    assert [code for code, _, _ in found(text)] == ["RB003", "RB002", "RB003", "RB001", "RB001", "RB003"]


def test_what_stands_before_a_syntax_error_is_reported_too():
    assert [code for code, _, _ in found("a: yes\nb: [1\n")] == ["RB003", "RB001"]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: b: c", (1, 5), "a `:` stands where no key can be"),
        ("a: 1\n b: 2", (2, 3), "a `:` stands where no key can be"),
        ("a: 'x\nb: 1\n", (1, 4), "no closing quote"),
        ("a: [1, 2", (1, 9), "not closed"),
        ("a: {b: 1", (1, 9), "not closed"),
        ("- a\nb: 1", (2, 1), "a list item was expected"),
        ("a: @x", (1, 4), "text can't begin with @"),
        ("a: %x", (1, 4), "text can't begin with %"),
        ("a: {{ x }}/y", (1, 4), "a value that begins with {{ must be in quotes"),
        ("a:\n  - {{ x }}", (2, 5), "a value that begins with {{ must be in quotes"),
        ('a: "\\d"', (1, 5), "a backslash before a character that has no such escape"),
        ("a: !<x", (1, 7), "this is not YAML"),
    ],
)
def test_a_syntax_error_says_what_and_where(text, place, words):
    problem = only(text)
    assert (problem.span.line, problem.span.column) == place
    assert words in problem.message
    assert problem.code == "RB001"


@pytest.mark.parametrize("text", ["", "   \n\n", "\ufeff"])
def test_an_empty_file_is_called_empty(text):
    assert only(text).message == "the file is empty"


@pytest.mark.parametrize("text", ["# only this\n", "---\n...\n"])
def test_a_file_of_comments_holds_nothing(text):
    assert only(text).message == "the file holds nothing but comments"


def test_a_second_document_is_refused_where_it_begins():
    problem = only("a: 1\n---\nb: yes\n")
    assert (problem.span.line, problem.message) == (2, "the file holds several YAML documents")


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system [x]", "!vault |\n  xx", "!!binary x", "!!set {a}"])
def test_tags_are_refused(tag):
    assert "RB001" in [code for code, _, _ in found(f"a: {tag}\n")]


def test_a_tab_in_indentation_is_reported_once():
    problem = only("a:\n\tb: 1\n")
    assert (problem.code, problem.span.line, problem.span.column) == ("RB004", 2, 1)


def test_a_tab_after_a_dash_indents_too():
    assert found("a:\n  -\tb: 1\n") == [("RB004", 2, 4)]


def test_tabs_within_a_text_of_several_lines_are_its_own_business():
    assert found("a: |\n  if x:\n  \tindented\n  \tmore\nb: 'one\n\n  \ttwo'\n") == []


def test_control_characters_are_reported_where_they_stand_each_run_once():
    assert found("a: x\nb: \x1b[1m\nc: \x01\x02\nd: yes\n") == [("RB001", 2, 4), ("RB001", 3, 4), ("RB003", 4, 4)]


def test_a_nul_character_makes_a_file_no_text_and_nothing_else_is_said():
    assert found("a: x\nb: \0\nc: \0\nd: yes\n") == [("RB001", 2, 4)]


def test_invisible_line_breaks_are_reported():
    assert [code for code, _, _ in found("a: x\u2028b\nc: d\x85e")] == ["RB001", "RB001"]


def test_an_escaped_nul_is_no_way_round():
    assert only('a: "x\\0y"').message == "the text contains a NUL character"


def test_a_lone_surrogate_is_reported():
    assert found("a: \ud800") == [("RB001", 1, 4)]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "[{a: "])
def test_deep_nesting_is_refused_quickly_and_without_recursion(opening):
    began = time.perf_counter()
    parsed = source.parse(opening * (200_000 // len(opening)), "f.yaml")
    assert parsed.data is None
    assert parsed.problems[0].code == "RB005"
    assert time.perf_counter() - began < 5


def test_deep_nesting_by_lines_is_refused():
    text = "".join(f"{' ' * depth}a:\n" for depth in range(1200))
    assert [code for code, _, _ in found(text)] == ["RB005"]


def laughs(width: int, depth: int) -> str:
    lines = [f"a0: &a0 [{', '.join(['x'] * width)}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, depth)]
    return "\n".join(lines) + "\n"


def test_aliases_that_explode_are_refused():
    assert [code for code, _, _ in found(laughs(10, 9))] == ["RB005"]


def test_aliases_that_nest_too_deeply_are_refused():
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 100)]
    assert [code for code, _, _ in found("\n".join(lines))] == ["RB005"]


def test_an_alias_of_itself_is_refused():
    parsed = source.parse("a: &x [1, *x]\n", "f.yaml")
    assert [problem.code for problem in parsed.problems] == ["RB005"]
    assert parsed.data == {"a": [1, None]}


def test_an_alias_without_an_anchor_is_refused():
    assert only("a: *x").message == "*x stands for nothing: no &x before it"


def test_aliases_and_merge_keys_work():
    text = "a: &a {p: 1, q: 2}\nb:\n  <<: *a\n  q: 3\nc: {<<: [*a, {r: 4}]}\nd: *a\n"
    parsed = source.parse(text, "f.yaml")
    assert parsed.problems == []
    assert parsed.data == {
        "a": {"p": 1, "q": 2},
        "b": {"p": 1, "q": 3},
        "c": {"p": 1, "q": 2, "r": 4},
        "d": {"p": 1, "q": 2},
    }
    assert str(parsed.span(("b", "p"))) == "f.yaml:1:11"
    assert str(parsed.span(("b", "q"))) == "f.yaml:4:6"


def test_a_merge_of_something_else_is_refused():
    assert only("a: {<<: 3}").message == "<< takes a mapping, or a list of mappings, to merge"


@pytest.mark.parametrize("key", ["[a]: 1", "{a: 1}: 2", "? - a\n: 1"])
def test_a_key_that_is_no_text_is_refused(key):
    assert "a key must be text" in [problem.message for problem in source.parse(key, "f.yaml").problems]


def test_a_template_without_quotes_is_recognised():
    assert only("a: {{ model }}\n").message == "a value that begins with {{ must be in quotes"


def test_thousands_of_problems_are_summed_up():
    problems = source.parse("- yes\n" * 5000, "f.yaml").problems
    assert len(problems) == 101
    assert problems[-1].message.endswith("more problems follow")


def test_a_runbook_of_200_lines_takes_milliseconds():
    step = "  - name: d{0}\n    http: http://127.0.0.1:{0}/\n    when: status != 200\n    recover: [{{wait: 3s}}]\n"
    text = "name: x\ndetectors:\n" + "".join(step.format(number) for number in range(50))
    took = []
    for _ in range(5):
        began = time.perf_counter()
        source.parse(text, "f.yaml")
        took.append(time.perf_counter() - began)
    assert min(took) < 0.02
