"""Structure problems: specific, in our words, with the nearest valid name."""

import pytest

from runbook.engine.language import schema
from runbook.engine.language.validate import Problem, validate

NAME = {"name": "x"}


def problems(document) -> list[Problem]:
    return validate(document, schema.core())


def only(document) -> Problem:
    [problem] = problems(document)
    return problem


def step(**keys) -> Problem:
    return only({**NAME, "finally": [keys]})


def detector(**keys) -> Problem:
    return only({**NAME, "detectors": [{"name": "d", "port": 1, **keys}]})


@pytest.mark.parametrize(
    ("data", "got"), [([], "a list"), ("text", "'text'"), (None, "nothing"), (5, "5"), (True, "true")]
)
def test_a_runbook_is_a_mapping(data, got):
    problem = only(data)
    assert problem.message == f"expected a mapping, got {got}"
    assert problem.hint or data == []


def test_a_missing_key_is_named():
    assert only({}) == Problem((), "`name` is missing", "write `name:` here", key=True)


def test_a_list_belongs_where_a_mapping_stands():
    problem = only({**NAME, "detectors": {"name": "d"}})
    assert (problem.path, problem.message) == (("detectors",), "expected a list, got a mapping")
    assert problem.hint == "write a list: begin each item with `- `"


def test_a_mapping_belongs_where_a_list_stands():
    assert only({**NAME, "pools": []}).message == "expected a mapping, got a list"


def test_a_number_where_text_belongs_is_to_be_quoted():
    assert only({"name": 5}) == Problem(("name",), "expected text, got 5", 'write "5" in quotes')


def test_an_unknown_key_gets_the_nearest_name():
    problem = only({**NAME, "detecters": []})
    assert (problem.code, problem.key, problem.message) == ("RB007", True, "`detecters` is no key of the runbook")
    assert problem.hint == "did you mean detectors?"


@pytest.mark.parametrize(
    ("keys", "key", "home"),
    [
        ({"wait": "3s", "retry": {}}, "retry", "an operation"),
        ({"wait": "3s", "for": "3s"}, "for", "the runbook or a detector or a verify"),
        ({"wait": "3s", "attempts": 3}, "attempts", "a retry"),
        ({"wait": "3s", "members": []}, "members", "a pool"),
    ],
)
def test_a_misplaced_key_is_told_where_it_belongs(keys, key, home):
    problem = step(**keys)
    assert problem.path == ("finally", 0, key)
    assert home.partition(" or ")[0] in problem.hint or problem.hint.startswith("it belongs to")


def test_a_parameter_beside_its_module_is_told_to_go_below():
    assert step(command="make", creates="/x").hint == "it is a parameter of command: write it below `command:`"


def test_an_unknown_parameter_gets_the_nearest_name():
    problem = step(command={"argv": "make", "creats": "/x"})
    assert (problem.message, problem.hint) == ("`creats` is no parameter of command", "did you mean creates?")


def test_an_unknown_module_gets_the_nearest_name():
    problem = step(comand="make")
    assert (problem.code, problem.message, problem.hint) == (
        "RB008",
        "there is no module `comand`",
        "did you mean command?",
    )


def test_a_module_that_resembles_a_common_key_is_still_a_module():
    assert step(gpu_power_limit_of_mars={}).code == "RB008"


def test_an_unknown_probe_is_called_a_probe():
    assert only({**NAME, "detectors": [{"name": "d", "prot": 1}]}).message == "there is no probe `prot`"


def test_two_modules_in_one_step_are_named():
    problem = step(command="make", wait="3s")
    assert (problem.code, problem.path) == ("RB009", ("finally", 0, "wait"))
    assert problem.message == "a step has one module, and here are 2: command and wait"


def test_a_step_without_a_module_says_so():
    assert (step(name="x").code, step(name="x").message) == ("RB009", "this step names no module")


def test_a_misspelt_common_key_is_no_unknown_module():
    assert sorted(problem.code for problem in problems({**NAME, "finally": [{"tmeout": "3s"}]})) == ["RB007", "RB009"]


def test_a_duration_with_a_wrong_unit_gets_the_right_one():
    problem = detector(**{"for": "2 minuts"})
    assert problem.code == "RB011"
    assert "'2 minuts' is not a duration" in problem.message
    assert "'minuts': m" in problem.message


def test_a_bare_number_is_no_duration():
    assert "a unit is missing: 5s?" in detector(cooldown=5).message


def test_zero_needs_no_unit():
    assert problems({**NAME, "cooldown": 0}) == []


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("limit", "3 per hour", "'3 per hour' is not a limit"),
        ("count", "often", "'often' is not a count"),
        ("count", 3, "expected a count, got 3"),
        ("severity", "hi", "'hi' is none of low, medium, high, critical"),
        ("recover", {}, "expected a list of steps, or the name of a recovery, got a mapping"),
        ("verify", "5m", "expected a mapping, got '5m'"),
        ("tags", 3, "expected text or list of texts, got 3"),
        ("become", "true", "expected true or false, got 'true'"),
        ("subject", "", "the text is empty"),
    ],
)
def test_a_wrong_value_says_what_was_expected(key, value, expected):
    assert detector(**{key: value}).message == expected


def test_a_value_outside_a_closed_set_gets_the_nearest_member():
    assert (detector(mode="aprove").code, detector(mode="aprove").hint) == ("RB014", "did you mean approve?")


def test_a_union_is_judged_by_the_alternative_that_is_meant():
    problem = only({**NAME, "recover": [{"block": [{"wait": "3s"}, {"wait": "3 foo"}]}]})
    assert problem.path == ("recover", 0, "block", 1, "wait")


def test_a_module_beside_a_block_is_refused():
    assert (
        only({**NAME, "recover": [{"block": [{"wait": "3s"}], "wait": "3s"}]}).message == "`wait` is no key of a block"
    )


def test_an_empty_block_is_refused():
    assert only({**NAME, "recover": [{"block": []}]}).message == "the list is empty"


def test_a_secret_comes_from_one_place():
    assert only({**NAME, "secrets": {"a": {}}}).message == "a secret needs one of env, file and keyring"
    both = only({**NAME, "secrets": {"a": {"env": "A", "file": "b"}}})
    assert (both.path, both.hint) == (("secrets", "a", "file"), "keep `env` or `file`")


def test_a_var_must_be_a_name():
    assert only({**NAME, "vars": {"a-b": 1}}).message == "`a-b` can't be read in an expression"


def test_every_problem_is_found():
    document = {"vars": [], "finally": [{"wait": 3}, {"foo": 1}], "pools": {"a": {}}}
    assert len(problems(document)) == 5


@pytest.mark.parametrize(
    ("written", "meant"), [("procces", "process"), ("helth", "health"), ("httpp", "http"), ("commnd", "command")]
)
def test_a_misspelt_probe_is_an_unknown_probe_with_the_nearest_name(written, meant):
    problems = validate({"name": "x", "detectors": [{"name": "d", written: "a"}]}, schema.core())
    assert [(problem.code, meant in problem.hint) for problem in problems] == [("RB008", True)]
