"""Where every key and value stands."""

import pytest

from runbook.engine.language import source

TEXT = """\
name: é\u00e9 # comment
flow: {a: [1, "x y"], 'k': v}
script: |
  one
  two

folded: >-
  some
  words
quoted: "a
  b"
empty:
list:
  - x: 1
    y: 2
  - plain
"""


def written(path, *, key=False, text=TEXT) -> str:
    parsed = source.parse(text, "f.yaml")
    return parsed.text[slice(*parsed.offset(parsed.span(path, key=key)))]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("name",), "éé"),
        (("flow",), "{a: [1, \"x y\"], 'k': v}"),
        (("flow", "a"), '[1, "x y"]'),
        (("flow", "a", 1), '"x y"'),
        (("flow", "k"), "v"),
        (("script",), "|\n  one\n  two"),
        (("folded",), ">-\n  some\n  words"),
        (("quoted",), '"a\n  b"'),
        (("empty",), "empty"),
        (("list",), "- x: 1\n    y: 2\n  - plain"),
        (("list", 0), "x: 1\n    y: 2"),
        (("list", 0, "y"), "2"),
        (("list", 1), "plain"),
    ],
)
@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_a_span_is_exactly_what_is_written(path, expected, line_break):
    text = TEXT.replace("\n", line_break)
    assert written(path, text=text) == expected.replace("\n", line_break)


@pytest.mark.parametrize(
    ("path", "expected"), [(("flow", "k"), "'k'"), (("list", 0, "x"), "x"), (("script",), "script")]
)
def test_a_key_has_a_span_of_its_own(path, expected):
    assert written(path, key=True) == expected


def test_lines_and_columns_count_characters_from_1():
    span = source.parse(TEXT, "f.yaml").span(("flow", "a", 1))
    assert (span.line, span.column, span.end_line, span.end_column) == (2, 15, 2, 20)


@pytest.mark.parametrize("path", [("nothing",), ("list", 7), ("list", 0, "z"), ("name", "x")])
def test_what_is_not_there_is_located_at_the_nearest_thing_that_is(path):
    parsed = source.parse(TEXT, "f.yaml")
    assert parsed.span(path) == parsed.span(path[:-1])


def test_the_head_of_a_mapping_is_its_first_line():
    parsed = source.parse(TEXT, "f.yaml")
    head = parsed.head(("list",))
    assert (head.line, head.column, head.end_line, head.end_column) == (14, 3, 14, 9)


def test_an_alias_stands_where_it_is_used_and_its_content_where_it_is_written():
    parsed = source.parse("a: &x {b: 1}\nc: *x\n", "f.yaml")
    assert str(parsed.span(("c",))) == "f.yaml:2:4"
    assert str(parsed.span(("c", "b"))) == "f.yaml:1:11"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("k: aa bb ?cc", "?"),
        ('k: "aa \\t \\" ?cc"', "?"),
        ("k: 'it''s ?cc'", "?"),
        ("k: |\n  a\n  bb ?c\n", "?"),
        ("k: >\n  a\n  bb\n    ?c\n", "?"),
        ('k: "a\n  b ?c"', "?"),
        ("k: |2\n   ?c\n", "?"),
    ],
)
def test_a_character_of_a_text_is_found_where_it_is_written(text, wanted):
    parsed = source.parse(text, "f.yaml")
    assert parsed.problems == []
    span = parsed.inside(("k",), parsed.data["k"].index(wanted))
    assert parsed.text[slice(*parsed.offset(span))] == wanted


def test_the_end_of_a_text_can_be_located():
    parsed = source.parse("k: a and\n", "f.yaml")
    assert str(parsed.inside(("k",), 5)) == "f.yaml:1:8"
