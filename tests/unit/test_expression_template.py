import pytest

from runbook.engine.errors import RenderError
from runbook.engine.language.expression import Syntax, parse
from runbook.engine.model import UNKNOWN
from runbook.modules.declare import UNSEEN

HOSTILE = "'; touch /tmp/x; {{ 7*7 }} $(id)"
SCOPE = {
    "n": 3,
    "x": 0.1,
    "flag": True,
    "none_here": None,
    "gone": UNSEEN,
    "items": [1, "a"],
    "name": "llm",
    "line": HOSTILE,
}


def rendered(text):
    return parse(text, template=True).evaluate(SCOPE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ n }}", 3),
        ("{{ items }}", [1, "a"]),
        ("{{ flag }}", True),
        ("{{ none_here }}", None),
        ("{{ 50GB }}", 50 * 10**9),
    ],
)
def test_a_lone_expression_keeps_its_type(text, expected):
    assert rendered(text) == expected
    assert type(rendered(text)) is not str


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n={{ n }}", "n=3"),
        ("{{ flag }} {{ not flag }}", "true false"),
        ("{{ x + 0.2 }} {{ 3.0 }} {{ 1.5 }}", "0.3 3 1.5"),
        ("{{ items }}!", '[1, "a"]!'),
        ("{{ 50GB }} free", "50GB free"),
        ("{{ name }}{{ name }}", "llmllm"),
        ("a {{- n -}} b", "a3b"),
        ("{{ '}}' }}.", "}}."),
        ("{{ '{{' }} x }}", "{{ x }}"),
        ("${#list[@]} {{ n }}", "${#list[@]} 3"),
        ("{{ {'a': {'b': n}}['a'] }}\n", '{"b": 3}\n'),
        ("no template", "no template"),
        ("", ""),
    ],
)
def test_parts_are_joined_as_text(text, expected):
    assert rendered(text) == expected


def test_a_value_is_never_rendered_again():
    assert rendered("{{ line }}") == HOSTILE
    assert rendered("-{{ line }}-") == f"-{HOSTILE}-"
    assert rendered("{{ line | upper }}") == HOSTILE.upper()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a {{ none_here }}", r"\{\{ none_here \}\} is null, which has no text"),
        ("a {{ gone }}", r"\{\{ gone \}\} is unknown, which has no text"),
        ("a {{ [gone] }}", "holds a value that is unknown"),
        ("a {{ nope }}", "'nope' is undefined"),
    ],
)
def test_what_has_no_text_is_an_error(text, message):
    with pytest.raises(RenderError, match=message):
        rendered(text)


def test_a_lone_unknown_stays_unknown():
    assert rendered("{{ gone }}") is UNKNOWN


@pytest.mark.parametrize(
    ("text", "message", "offset"),
    [
        ("a {% for x in y %}", r"\{% %\} can't be used", 2),
        ("a {# b #}", r"no \{# #\} comments", 2),
        ("a {{ b", r"'\{\{' is not closed", 2),
        ("a {{ }}", r"no expression in the \{\{ \}\}", 4),
        ("ab {{ c d }}", "did not expect 'd' here", 8),
        ("{{ a }} {{ b | nope }}", "no filter 'nope'", 15),
        ("{{ " + "a" * 20_000 + " }}", "at most 10,000 characters", 2),
        ("{{ a }}" * 3_000, "at most 2,000 templates", 14_000),
    ],
)
def test_what_is_no_template_says_where_and_why(text, message, offset):
    with pytest.raises(Syntax, match=message) as caught:
        parse(text, template=True)
    assert caught.value.offset == offset
