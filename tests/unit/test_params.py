from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.engine.language import params
from runbook.engine.language.expression import parse
from runbook.modules.declare import (
    Argv,
    Condition,
    Duration,
    Impact,
    Invalid,
    Kind,
    Path,
    Percent,
    Probe,
    ProbeCall,
    Record,
    Regex,
    Script,
    SignalName,
    Size,
    Step,
    Time,
)


@dataclass(frozen=True)
class Looked(Record):
    """What was seen."""

    exists: bool  # it is there
    state: Literal["on", "off"] = "off"  # as its manager says


@dataclass(frozen=True)
class Look(Probe):
    """Look."""

    record = Looked
    paths: list[Path] = dataclass_field(default_factory=list)  # where to look


@dataclass(frozen=True)
class Tail(Probe):
    """Follow."""

    from_: Literal["end", "start"]  # where it begins


@dataclass(frozen=True)
class Tidy(Step):
    """Tidy a tree.

    More about it.

    Example:
        - tidy: {path: /x, older_than: 7d}
        - tidy: /y
    """

    impact = Impact.LOW

    path: Path  # the tree
    older_than: Duration | None = None  # only files older than this
    free: Size | None = None
    percent: Percent | None = None
    color: Literal["red", "green"] = "red"
    argv: Argv = ()
    script: Script = ""
    pattern: Regex | None = None
    when: Condition | None = None
    probe: ProbeCall | None = None
    signal: SignalName = "TERM"
    at: Time | None = None
    count: int = 1
    ratio: float = 0.5
    deep: bool = False
    only: str | list[str] | None = None
    sizes: tuple[Size, ...] = ()
    values: Mapping[str, Any] | None = None
    limits: dict[str, Duration] | None = None

    def check(self):
        if self.older_than and self.free:
            raise Invalid("write older_than or free, not both")


def wrong(match, /, **given):
    with pytest.raises(params.Wrong, match=match) as caught:
        params.coerce(Tidy, {"path": "/x", **given})
    return caught.value


def coerced(**given):
    made = params.coerce(Tidy, {"path": "/x", **given})
    return made[next(iter(given))]


@pytest.mark.parametrize(
    ("name", "raw", "typed"),
    [
        ("older_than", "1h30m", 5400.0),
        ("older_than", 0, 0.0),
        ("older_than", None, None),
        ("free", "50GB", 50 * 10**9),
        ("percent", "85%", 85.0),
        ("percent", 85, 85.0),
        ("color", "green", "green"),
        ("argv", "make -C 'a b' x", ("make", "-C", "a b", "x")),
        ("argv", ["kill", 5], ("kill", "5")),
        ("when", "a > 5m and b", "a > 5m and b"),
        ("when", ["a", "b or c"], "(a) and (b or c)"),
        ("when", True, "true"),
        ("signal", "sighup", "HUP"),
        ("signal", 9, "KILL"),
        ("at", "2026-01-31T12:00:00Z", 1769860800.0),
        ("count", 3.0, 3),
        ("ratio", 1, 1.0),
        ("deep", True, True),
        ("only", "a", "a"),
        ("only", ["a", "b"], ["a", "b"]),
        ("only", None, None),
        ("sizes", ["1kB", "2kB"], (1000, 2000)),
        ("sizes", "1kB", (1000,)),
        ("values", {"a": [1]}, {"a": [1]}),
        ("limits", {"a": "5m"}, {"a": 300.0}),
        ("probe", {"port": 8000}, {"port": {"address": "8000"}}),
    ],
)
def test_a_value_is_typed_by_its_annotation(name, raw, typed):
    made = coerced(**{name: raw})
    assert made == typed
    assert type(made) is type(typed)


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("older_than", "2 minuts", "older_than: '2 minuts' is not a duration: write it as 30s, 10m, 1h30m or 7d"),
        ("older_than", 30, "30 has no unit: write it as 30s, 10m"),
        ("older_than", True, "expected a duration, not true"),
        ("older_than", [], "expected a duration, not a list"),
        ("free", "10m", "'10m' is not a size"),
        ("free", -5, "can't be negative"),
        ("percent", 120, "between 0 and 100, not 120"),
        ("color", "grean", r"expected one of red, green, not 'grean'; did you mean green\?"),
        ("color", None, "expected one of red, green, not null"),
        ("argv", "a 'b", "can't be split into words: no closing quotation"),
        ("argv", [""], "a command can't be empty"),
        ("argv", {"a": 1}, "expected a command, not a mapping"),
        ("argv", ["a", ["b"]], "item 2: expected text, not a list"),
        ("argv", ["a", "b\0"], "NUL"),
        ("path", "", "a path can't be empty"),
        ("path", None, "expected text, not null"),
        ("pattern", "(a", r"'\(a' is no regular expression: .* at character 1"),
        ("pattern", 5, "expected a regular expression, not 5 "),
        ("when", "a >", "'a >' is no condition: the expression ends too early"),
        ("when", [], "expected a condition, not a list"),
        ("probe", {"prot": 8000}, r"there is no probe 'prot'; did you mean port\?"),
        ("probe", {"port": 1, "http": 2}, "expected one probe"),
        ("probe", {"port": {"adress": 1}}, r"adress: is no parameter here; did you mean address\?"),
        ("signal", "TREM", r"'TREM' is no signal; did you mean TERM\?"),
        ("at", "soon", "'soon' is not a time: write it as 2026"),
        ("count", "5", r"expected a whole number, not '5' \(leave the quotes out\)"),
        ("count", 1.5, "expected a whole number, not 1.5"),
        ("count", True, "expected a whole number, not true"),
        ("ratio", "much", "expected a number, not 'much'"),
        ("ratio", float("nan"), "expected a number"),
        ("deep", "yes", "expected true or false, not 'yes'"),
        ("only", True, r"expected text, not true \(put it in quotes\)"),
        ("sizes", ["1kB", 5], "item 2: 5 has no unit"),
        ("sizes", {"a": 1}, "expected a list, not a mapping"),
        ("values", [1], "expected a mapping, not a list"),
        ("limits", {"a": "x"}, "limits: a: 'x' is not a duration"),
        ("oldr_than", "7d", r"oldr_than: is no parameter here; did you mean older_than\?"),
        ("zzz", 1, "is no parameter here; there are path, older_than"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(name, raw, message):
    assert wrong(message, **{name: raw}).parameter == name


def test_a_missing_parameter_is_named_with_its_description():
    with pytest.raises(params.Wrong, match=r"path: is required \(the tree\)"):
        params.coerce(Tidy, {})


def test_every_problem_is_told_and_not_only_the_first():
    found = list(params.problems(Tidy, {"pth": 1, "free": "x", "count": "y"}))
    assert [problem.parameter for problem in found] == ["pth", "free", "count", "path"]


@pytest.mark.parametrize(
    ("name", "value", "typed"),
    [
        ("older_than", 90, 90.0),
        ("older_than", "90", 90.0),
        ("free", 5_000_000, 5_000_000),
        ("count", "80", 80),
        ("ratio", "0.5", 0.5),
        ("deep", "true", True),
        ("path", 5, "5"),
        ("only", True, "true"),
    ],
)
def test_values_out_of_templates_may_be_bare_numbers_and_texts_of_them(name, value, typed):
    assert params.coerce(Tidy, {"path": "/x", name: value}, rendered=True)[name] == typed


def test_a_size_does_not_pass_for_a_duration():
    value = parse("50GB", template=False).evaluate({})
    with pytest.raises(params.Wrong, match="expected a duration, not 50GB"):
        params.coerce(Tidy, {"path": "/x", "older_than": value}, rendered=True)


def test_templates_pass_untouched_also_inside_lists_and_mappings():
    template = parse("{{ x }}", template=True)
    given = {"path": template, "argv": ["a", template], "values": {"k": template}, "sizes": ["1kB", template]}
    made = params.coerce(Tidy, given)
    assert made["path"] is template
    assert made["argv"] == ("a", template)
    assert made["sizes"] == (1000, template)
    assert made["values"] == {"k": template}
    with pytest.raises(params.Wrong, match="can't hold a template here"):
        params.coerce(Tidy, given, literal_only=True)


def test_a_condition_reaches_a_module_as_text():
    assert coerced(when=parse("a > 5", template=False)) == "a > 5"


def test_a_runbook_writes_names_that_python_keeps_for_itself_without_an_underscore():
    assert params.fields(Tail)["from"].attribute == "from_"
    assert params.fields(Tail)["from"].description == "where it begins"
    assert params.coerce(Tail, {"from": "end"}) == {"from": "end"}
    assert params.build(Tail, {"from": "end"}).from_ == "end"
    with pytest.raises(params.Wrong, match=r"from_: is no parameter here; did you mean from\?"):
        params.coerce(Tail, {"from_": "end"})
    with pytest.raises(params.Wrong, match=r"^from: is required"):
        params.coerce(Tail, {})


def test_building_checks_what_contradicts():
    made = params.build(Tidy, {"path": "/x", "older_than": 5.0})
    assert (made.path, made.older_than, made.color) == ("/x", 5.0, "red")
    with pytest.raises(params.Wrong, match="older_than or free, not both"):
        params.build(Tidy, {"path": "/x", "older_than": "5m", "free": "1GB"})


def test_a_scalar_stands_for_the_first_parameter_and_a_list_only_where_it_is_one():
    assert params.spread(Tidy, "/x") == {"path": "/x"}
    assert params.spread(Tidy, None) == {}
    assert params.spread(Look, ["/a", "/b"]) == {"paths": ["/a", "/b"]}
    with pytest.raises(params.Wrong, match="path: is one value, not a list"):
        params.spread(Tidy, ["/a"])


def test_a_class_tells_all_about_its_parameters():
    fields = params.fields(Tidy)
    assert list(fields)[:3] == ["path", "older_than", "free"]
    assert (fields["path"].required, fields["path"].kind) == (True, Kind.PATH)
    assert (fields["older_than"].required, fields["older_than"].kind, fields["older_than"].optional) == (
        False,
        Kind.DURATION,
        True,
    )
    assert fields["color"].choices == ("red", "green")
    assert fields["sizes"].kind is Kind.SIZE
    assert [name for name in fields if fields[name].many] == ["argv", "only", "sizes"]
    assert params.fields(Look)["paths"].default == []


def test_descriptions_come_from_the_source():
    fields = params.fields(Tidy)
    assert fields["path"].description == "the tree"
    assert fields["older_than"].description == "only files older than this"
    assert fields["free"].description == fields["percent"].description == ""
    assert params.description(Tidy) == "Tidy a tree.\n\nMore about it."
    assert params.example(Tidy) == "- tidy: {path: /x, older_than: 7d}\n- tidy: /y"
    assert params.example(Look) == ""


def test_a_probes_record_tells_about_its_fields():
    fields = params.record_fields(Look)
    assert list(fields) == ["exists", "state"]
    assert fields["state"].choices == ("on", "off")
    assert fields["exists"].description == "it is there"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*params.fields(Tidy), "x"]), JSON, max_size=4), st.booleans())
def test_any_yaml_is_typed_or_refused_in_words(given_values, rendered):
    problems = list(params.problems(Tidy, given_values, rendered=rendered))
    assert all(problem.message for problem in problems)
    if not problems:
        once = params.coerce(Tidy, given_values, rendered=rendered)
        assert params.coerce(Tidy, once, rendered=True) == once
