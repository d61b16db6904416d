import contextlib

import jinja2
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jinja2.sandbox import SandboxedEnvironment

from runbook.engine.errors import RenderError
from runbook.engine.language.expression import Syntax, parse
from runbook.engine.model import UNKNOWN

JINJA = SandboxedEnvironment(undefined=jinja2.StrictUndefined)
NUMBERS = ("i", "j", "k")
TEXTS = ("s", "t")
FLAGS = ("p", "q")

SCOPES = st.fixed_dictionaries(
    {
        **dict.fromkeys(NUMBERS, st.integers(-50, 50) | st.floats(-50, 50).map(lambda x: round(x, 2))),
        **dict.fromkeys(TEXTS, st.text("abcxyz XYZ-/.", max_size=8)),
        **dict.fromkeys(FLAGS, st.booleans()),
    }
)


def _numbers(inner):
    pair = st.tuples(inner, inner)
    return st.one_of(
        pair.map(lambda ab: f"({ab[0]} + {ab[1]})"),
        pair.map(lambda ab: f"({ab[0]} - {ab[1]})"),
        pair.map(lambda ab: f"({ab[0]} * {ab[1]})"),
        inner.map(lambda a: f"({a} % 7)"),
        inner.map(lambda a: f"({a} // 3)"),
        inner.map(lambda a: f"({a}) | abs"),
        inner.map(lambda a: f"({a} | round(1))"),
        inner.map(lambda a: f"(-{a})"),
        pair.map(lambda ab: f"([{ab[0]}, {ab[1]}] | max)"),
        pair.map(lambda ab: f"([{ab[0]}, {ab[1]}] | sort | first)"),
    ).map(lambda text: f"({text})")


def _texts(inner):
    return st.one_of(
        inner.map(lambda a: f"({a} | upper)"),
        inner.map(lambda a: f"({a} | trim)"),
        inner.map(lambda a: f"({a} | title)"),
        inner.map(lambda a: f"({a} | replace('a', 'bb'))"),
        inner.map(lambda a: f"({a} | reverse)"),
        inner.map(lambda a: f"({a}.lower())"),
        st.tuples(inner, inner).map(lambda ab: f"({ab[0]} ~ {ab[1]})"),
        inner.map(lambda a: f"(({a}).split('x') | join('+'))"),
        inner.map(lambda a: f"({a}[:2])"),
    )


NUMBER = st.recursive(st.sampled_from(NUMBERS) | st.integers(0, 99).map(str), _numbers, max_leaves=6)
TEXT = st.recursive(st.sampled_from(TEXTS) | st.sampled_from(["'ab'", "''", "'X-y'"]), _texts, max_leaves=5)
ATOM = st.one_of(
    st.sampled_from([*FLAGS, "true", "false"]),
    st.tuples(NUMBER, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), NUMBER).map(" ".join),
    st.tuples(NUMBER, NUMBER, NUMBER).map(lambda abc: f"{abc[0]} < {abc[1]} <= {abc[2]}"),
    st.tuples(TEXT, st.sampled_from(["==", "!=", "in", "not in", "<"]), TEXT).map(" ".join),
    st.tuples(NUMBER, st.lists(NUMBER, min_size=1, max_size=3)).map(lambda ab: f"{ab[0]} in [{', '.join(ab[1])}]"),
    TEXT.map(lambda a: f"({a} | length) > 3"),
    TEXT.map(lambda a: f"{a} is string"),
    NUMBER.map(lambda a: f"{a} is number"),
    st.just("nope is defined"),
)


def _conditions(inner):
    pair = st.tuples(inner, inner)
    return st.one_of(
        pair.map(lambda ab: f"({ab[0]}) and ({ab[1]})"),
        pair.map(lambda ab: f"({ab[0]}) or ({ab[1]})"),
        inner.map(lambda a: f"not ({a})"),
        st.tuples(inner, inner, inner).map(lambda abc: f"(({abc[0]}) if ({abc[1]}) else ({abc[2]}))"),
    )


CONDITION = st.recursive(ATOM, _conditions, max_leaves=6)


@given(CONDITION | NUMBER | TEXT, SCOPES)
@settings(max_examples=300, deadline=None)
def test_with_two_values_an_expression_means_what_jinja_says(text, scope):
    expected = JINJA.compile_expression(text, undefined_to_none=False)(**scope)
    try:
        found = parse(text, template=False).evaluate(scope)
    except Syntax as error:
        assume("nested too deeply" not in error.message)
        raise
    assert found == expected
    assert isinstance(found, bool) == isinstance(expected, bool)


VALUES = {"yes": True, "no": False, "unknown": UNKNOWN}
THREE = st.recursive(st.sampled_from(list(VALUES)), _conditions, max_leaves=8)


def _kleene(text):
    return parse(text, template=False).evaluate(VALUES)


@given(THREE, THREE, THREE)
@settings(deadline=None)
def test_and_or_not_follow_kleene(a, b, c):
    assert _kleene(f"not (not ({a}))") is _kleene(a)
    assert _kleene(f"({a}) and ({b})") is _kleene(f"({b}) and ({a})")
    assert _kleene(f"({a}) or ({b})") is _kleene(f"({b}) or ({a})")
    assert _kleene(f"not (({a}) and ({b}))") is _kleene(f"(not ({a})) or (not ({b}))")
    assert _kleene(f"({a}) and (({b}) or ({c}))") is _kleene(f"(({a}) and ({b})) or (({a}) and ({c}))")
    assert _kleene(f"(({a}) and ({b})) and ({c})") is _kleene(f"({a}) and (({b}) and ({c}))")
    assert _kleene(f"({a}) or (({a}) and ({b}))") is _kleene(a)


@given(THREE, THREE.filter(lambda text: "unknown" in text))
@settings(deadline=None)
def test_what_was_unknown_never_turns_a_decided_answer_round(a, b):
    """Learning more changes only unknown answers: Kleene's logic is monotone."""
    text = f"({a}) and not ({b})"
    before = _kleene(text)
    for known in ("yes", "no"):
        after = _kleene(text.replace("unknown", known))
        assert before is UNKNOWN or before is after


@given(st.text(max_size=200) | st.text("()[]{}|.,'\"%-+*/~<>=!ab1 \n", max_size=80))
@settings(max_examples=500, deadline=None)
def test_any_text_is_an_expression_or_a_located_error(text):
    for template in (False, True):
        problem = _problem(text, template=template)
        assert problem is None or (0 <= problem.offset <= len(text) and problem.message)


def _problem(text, *, template):
    try:
        found = parse(text, template=template)
    except Syntax as error:
        return error
    with contextlib.suppress(RenderError):
        found.evaluate({"a": 1, "b": "x"})
    return None


@given(
    st.text(max_size=100).filter(lambda text: "{" not in text),
    st.text(max_size=100),
)
@settings(deadline=None)
def test_a_text_around_a_template_and_the_value_in_it_stay_as_they_are(around, inside):
    found = parse(f"{around}{{{{ x }}}}{around}", template=True).evaluate({"x": inside})
    assert found == (f"{around}{inside}{around}")
