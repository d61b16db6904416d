"""What `edit_config` promises of any file: only the named key changes, and nothing else of the text."""

import contextlib
import json
import math
import string
from fractions import Fraction
from pathlib import Path

import pytest
import yaml
from case_host import FakeHost
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st

from runbook.modules.declare import Failed
from runbook.modules.formats.config_files import Edits, change, language, same
from runbook.modules.steps.edit_config import EditConfig

MARK = "the value to be changed"
NONE = Edits({}, {}, {}, {}, {}, ())
names = st.text(st.characters(exclude_characters=".\\", exclude_categories=["Cs"]), min_size=1, max_size=8)
scalars = st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(allow_nan=False, allow_infinity=False)
scalars |= st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
tails = st.sampled_from(["", "\n", "\n\n", "\r\n"])
layouts = st.fixed_dictionaries(
    {
        "indent": st.sampled_from([None, 0, 1, 2, 4, "\t"]),
        "separators": st.sampled_from([(",", ":"), (", ", ": "), (",", " : "), (" ,", ": ")]),
        "ensure_ascii": st.booleans(),
    }
)


def common(one, other):
    """How many characters two texts share at their beginning and, besides these, at their end."""
    start = shared(one, other)
    return start + shared(one[start:][::-1], other[start:][::-1])


def shared(one, other):
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (left, right) in pairs if left != right), min(len(one), len(other)))


@given(st.dictionaries(names, trees, max_size=4), st.tuples(names, names), scalars, layouts, tails)
def test_setting_a_value_of_json_replaces_its_characters_and_no_others(data, path, value, layout, tail):
    outer, inner = path
    data = {**data, outer: {"beside": [1], inner: MARK}}
    text = json.dumps(data, **layout) + tail
    key = f"{outer}.{inner}"
    made = change(text, "json", NONE._replace(set={key: value})).text
    assert made == text.replace(json.dumps(MARK), json.dumps(value, ensure_ascii=text.isascii()))


@given(st.dictionaries(names, trees, max_size=4), names, trees, layouts, tails)
def test_a_new_key_of_json_is_only_inserted(data, key, value, layout, tail):
    data.pop(key, None)
    text = json.dumps(data, **layout) + tail
    made = change(text, "json", NONE._replace(set={key: value})).text
    assert same(json.loads(made), {**data, key: value})
    assert common(text, made) >= len(text)


@given(st.dictionaries(names, trees, min_size=1, max_size=5), st.data(), layouts, tails)
def test_deleting_a_key_of_json_only_takes_characters_away(data, draw, layout, tail):
    key = draw.draw(st.sampled_from(sorted(data)))
    text = json.dumps(data, **layout) + tail
    made = change(text, "json", NONE._replace(delete=[key])).text
    assert same(json.loads(made), {name: value for name, value in data.items() if name != key})
    assert common(text, made) >= len(made)


@given(st.lists(trees, min_size=1, max_size=6), st.data(), layouts)
def test_items_of_a_json_list_are_deleted_by_the_numbers_they_had(items, draw, layout):
    numbers = draw.draw(st.lists(st.integers(0, len(items) - 1), unique=True, min_size=1))
    made = change(json.dumps({"l": items}, **layout), "json", NONE._replace(delete=[f"l.{n}" for n in numbers])).text
    assert same(json.loads(made), {"l": [item for n, item in enumerate(items) if n not in numbers]})


@given(st.dictionaries(names, trees, max_size=4), names, trees, layouts)
def test_setting_twice_changes_nothing_the_second_time(data, key, value, layout):
    edits = NONE._replace(set={key: value})
    once = change(json.dumps(data, **layout), "json", edits).text
    assert change(once, "json", edits) == (once, {})


@given(st.integers(1, 10**15), st.floats(1e-6, 10))
def test_a_multiplied_whole_number_is_rounded_down_and_never_to_nothing(number, factor):
    made = change(json.dumps({"n": number}), "json", NONE._replace(multiply={"n": factor})).text
    assert json.loads(made)["n"] == max(1, math.floor(number * Fraction(repr(factor))))


@given(st.integers(-100, 100), st.integers(-100, 100), st.integers(-100, 100))
def test_what_is_clamped_lies_between_the_bounds(number, one, other):
    low, high = sorted([one, other])
    made = change(json.dumps({"n": number}), "json", NONE._replace(min={"n": low}, max={"n": high})).text
    assert json.loads(made)["n"] == min(max(number, low), high)


words = st.text(string.ascii_letters, min_size=1, max_size=8)
plain = words | st.integers(-1000, 1000) | st.booleans()
blocks = st.dictionaries(words, plain | st.dictionaries(words, plain, min_size=1, max_size=3), min_size=1, max_size=4)
values = st.integers(-1000, 1000) | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8) | st.booleans()


@given(blocks, words, words, values)
def test_setting_a_value_of_yaml_leaves_its_comments(data, outer, inner, value):
    data = {**data, outer: {inner: "MARK-9"}}
    lines = yaml.safe_dump(data, default_flow_style=False, sort_keys=False).splitlines()
    text = "# on top\n" + "".join(f"{line}  # about line {number}\n" for number, line in enumerate(lines))
    made = change(text, "yaml", NONE._replace(set={f"{outer}.{inner}": value})).text
    before, after = text.split("MARK-9")
    assert made.startswith(before)
    assert made.endswith(after)
    assert yaml.safe_load(made)[outer][inner] == value


@given(blocks, words, values)
def test_a_new_key_of_yaml_is_only_inserted(data, key, value):
    data.pop(key, None)
    if not data:
        return
    text = yaml.safe_dump(data, default_flow_style=False, sort_keys=False)
    made = change(text, "yaml", NONE._replace(set={key: value})).text
    assert yaml.safe_load(made) == {**yaml.safe_load(text), key: value}
    assert common(text, made) >= len(text)


@given(st.dictionaries(words, st.dictionaries(words, plain, max_size=3), max_size=3), words, words, values)
def test_setting_a_value_of_toml_leaves_its_comments(tables, outer, inner, value):
    tables = {**tables, outer: {inner: "MARK-9"}}
    lines = []
    for table, pairs in tables.items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(item)}" for key, item in pairs.items())]
    text = "".join(f"{line}  # about line {number}\n" for number, line in enumerate(lines))
    made = change(text, "toml", NONE._replace(set={f"{outer}.{inner}": value})).text
    before, after = text.split(json.dumps("MARK-9"))
    assert made.startswith(before)
    assert made.endswith(after)
    assert language("toml").read(made)[outer][inner] == value


@pytest.mark.parametrize("kind", ["json", "yaml", "toml"])
@given(
    text=st.text(st.sampled_from("{}[]\"':,.#= \n\\&*-|>ab01\t\r\ufeff\x00")),
    key=st.sampled_from(["a", "a.b", "0", "b.0.a"]),
)
@example(text="{0}", key="a")  # a key without a colon, and none behind it
@example(text="{0}\nb: 1", key="a")
@example(text="{0 # :\n}", key="a")
def test_any_text_is_changed_as_told_or_refused_with_a_reason(kind, text, key):
    try:
        made = change(text, kind, NONE._replace(set={key: 7}))
    except Failed:
        return
    data = language(kind).read(made.text.removeprefix("\ufeff"))
    for part in key.split("."):
        item = int(part) if part == "0" and (isinstance(data, list) or part not in data) else part
        data = data[item]
    assert data == 7


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("json", "[" * 100_000),
        ("json", '{"a":' * 500 + "1" + "}" * 500),
        ("json", '{"a": ' + "9" * 5000 + "}"),
        ("yaml", "[" * 3000),
        ("yaml", "a: &a [*a]"),
        ("yaml", "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
            f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 10)}]\n" for n in range(8)
        )),
        ("yaml", "a: 1\n---\na: 2\n"),
        ("yaml", "a: !!python/object/apply:os.system [id]\n"),
        ("toml", "a = " + "[" * 3000),
    ],
    ids=["open", "deep", "long number", "open yaml", "loop", "exploding", "documents", "object", "open toml"],
)  # fmt: skip
def test_a_hostile_text_ends_in_a_change_or_a_reason(kind, text):
    with contextlib.suppress(Failed):
        change(text, kind, NONE._replace(set={"new": 1}))


def test_a_text_that_may_be_a_secret_is_not_reported(tmp):
    path = Path(tmp) / "c.json"
    path.write_text('{"token": "old secret", "keys": ["old secret"], "port": 1}')
    step = EditConfig(path=str(path), set={"token": "new secret", "port": 2}, delete=("keys",))
    host = FakeHost(writable=(tmp,))
    step.plan(host)
    assert step.report(host) == {"keys": ["token", "port", "keys"], "before": {"port": 1}, "after": {"port": 2}}


def paths(data, above=()):
    """Yield the paths of all that lies in a structure."""
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for name, item in pairs:
        yield (*above, name)
        yield from paths(item, (*above, name))


def dotted(path):
    return ".".join(str(part).replace(".", "\\.") for part in path)


nested = st.recursive(
    plain,
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(words, inner, min_size=1, max_size=3),
    max_leaves=10,
)
layers = st.dictionaries(words, nested, min_size=1, max_size=4)


def commented(data, indented):
    """Write YAML over several lines, with a comment behind each and another between them."""

    class Dumper(yaml.SafeDumper):
        def increase_indent(self, flow=False, indentless=False):
            return super().increase_indent(flow, indentless and not indented)

    lines = yaml.dump(data, Dumper=Dumper, default_flow_style=False, sort_keys=False).splitlines()
    return "".join(f"{line}  # about line {number}\n# between {number}\n" for number, line in enumerate(lines))


@settings(max_examples=60)
@given(layers, st.data(), st.booleans())
def test_removing_anything_of_yaml_takes_its_lines_and_no_others(data, draw, indented):
    path = draw.draw(st.sampled_from(list(paths(data))))
    text = commented(data, indented)
    try:
        made = change(text, "yaml", NONE._replace(delete=[dotted(path)])).text
    except Failed:  # a comment stands between it and what would take its place
        reject()
    expected = yaml.safe_load(text)
    parent = expected
    for part in path[:-1]:
        parent = parent[part]
    del parent[path[-1]]
    assert yaml.safe_load(made) == expected
    lines = text.splitlines()
    assert len([line for line in made.splitlines() if line not in lines]) <= 1


@settings(max_examples=60)
@given(layers, st.data(), st.booleans(), nested)
def test_replacing_anything_of_yaml_leaves_all_before_and_behind_it(data, draw, indented, value):
    path = draw.draw(st.sampled_from(list(paths(data))))
    text = commented(data, indented)
    made = change(text, "yaml", NONE._replace(set={dotted(path): value})).text
    expected = yaml.safe_load(text)
    parent = expected
    for part in path[:-1]:
        parent = parent[part]
    before, parent[path[-1]] = parent[path[-1]], value
    assert yaml.safe_load(made) == expected
    taken = len(yaml.safe_dump(before, default_flow_style=False).splitlines())
    lines = text.splitlines()
    assert sum(line in made.splitlines() for line in lines) >= len(lines) - 2 * (1 + taken)  # its key's line too
