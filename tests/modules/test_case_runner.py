"""That the judge of golden cases notices what is not as the case says."""

import case as golden
import pytest

DELETES = {"case": "clear", "params": {"path": "{tmp}/c"}, "files": {"c/a": "a", "c/b": {"content": "bb", "age": "1h"}}}
ASKS = {"case": "ask", "params": {"argv": ["make"], "unless": ["test", "-s", "/x"]}}
MAKES = {"case": "make", "params": {"argv": ["make"]}, "actions": [{"run": {"argv": ["make"]}}]}


def judged(module, tmp, body, **more):
    case = golden.Case("steps", module, {**body, **more})
    params, host = golden.prepare(case, tmp)
    golden.judge(case, params, host, tmp)


def test_a_case_that_holds_is_silent(tmp):
    judged("clear_cache", tmp, DELETES, actions=[{"delete": {"entries": ["b", "a"]}}], report={"freed": 3})


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"actions": []}, "0 expected, 1 given"),
        ({"actions": [{"delete": {"entries": ["a", "b"]}}]}, r"actions\[0\].delete.entries\[0\] is"),
        ({"actions": [{"delete": {"entries": ["b"]}}]}, "has 2 items, not 1"),
        ({"actions": [{"own": {}}]}, r"actions\[0\] has no `own`"),
        ({"actions": [{"delete": {"rot": "x"}}]}, "has no `rot`"),
        ({"report": {"freed": 4}}, "report.freed is 3, not 4"),
        ({"refused": "nothing is writable"}, "should end with refused"),
        ({"writable": [], "actions": []}, "ends with Refused"),
        ({"writable": [], "refused": "another reason"}, "should say: another reason"),
        ({"writable": [], "failed": "nothing is writable"}, "ends with Refused"),
    ],
)
def test_a_difference_is_told(tmp, more, message):
    with pytest.raises(golden.Mismatch, match=message):
        judged("clear_cache", tmp, DELETES, **more)


def test_a_program_without_an_answer_is_told(tmp):
    with pytest.raises(AssertionError, match="the module runs `test -s /x`, which the case does not answer"):
        judged("command", tmp, ASKS, actions=[])


def test_answers_come_one_after_the_other_and_the_last_one_stays(tmp):
    case = golden.Case("steps", "command", {**ASKS, "host": {"run": {"test -s /x": ["one", {"exit_code": 3}]}}})
    _, host = golden.prepare(case, tmp)
    assert [host.run("test", "-s", "/x").exit_code for _ in range(3)] == [0, 3, 3]


def test_true_is_not_one_in_an_expectation(tmp):
    judged("command", tmp, MAKES, again=False)
    with pytest.raises(golden.Mismatch, match="again is false, not 0"):
        judged("command", tmp, MAKES, again=0)


def test_a_case_without_an_expectation_is_refused(tmp, monkeypatch):
    monkeypatch.setattr(golden, "HERE", golden.Path(tmp))
    (golden.Path(tmp) / "steps").mkdir()
    (golden.Path(tmp) / "steps/wait.yaml").write_text("- case: nothing\n  params: 3s\n")
    with pytest.raises(ValueError, match="case `nothing` expects nothing"):
        golden.load("steps")
    (golden.Path(tmp) / "steps/wait.yaml").write_text("- case: odd\n  parms: 3s\n  values: {}\n")
    with pytest.raises(ValueError, match="keys that mean nothing"):
        golden.load("steps")
