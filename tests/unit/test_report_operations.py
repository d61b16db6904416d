"""What the reports say of operations: who answered, which fallback did it, what a breaker held back, what was undone."""

from __future__ import annotations

import io
import json

import pytest

from runbook.engine.journal.facts import Fact
from runbook.engine.report.paint import Paint
from runbook.engine.report.reporter import reporter
from runbook.engine.report.text import TextReporter

NAME = "answer a prompt"


def fact(kind: str, **data: object) -> Fact:
    return Fact(kind, 1000.0, "r1", "localhost", operation=NAME if "run." not in kind else "", data=data)


BEGUN = fact("run.begun", runbook="llm", hosts=["localhost"], detectors=0, operations=[NAME])


def attempt(number: int, member: str, error: str = "", *, ok: bool = False) -> Fact:
    about = {"attempt": number, "member": member, "ok": ok, "error": error, "duration": 0.5}
    return fact("attempt.ended", module="command", title=NAME, status="done" if ok else "failed", **about)


def ended(state: str, attempts: int, error: str = "", **more: object) -> Fact:
    return fact("operation.ended", state=state, attempts=attempts, duration=3.0, error=error, **more)


HELD = fact(
    "attempt.refused",
    guard="breaker",
    component="endpoints.c",
    member="c",
    reason="the breaker of `endpoints.c` is open",
    until=2000.0,
)
FALLBACK = {"module": "command", "title": "mirror", "phase": "fallback", "duration": 0.0}
WROTE = {"action": "undo write", "what": "/srv/llm/x.json", "changed": True}
CASES = {
    "member": (
        (attempt(1, "a", "connection refused"), attempt(2, "b", ok=True), ended("succeeded", 2, member="b")),
        {"state": "succeeded", "member": "b"},
        """\
✔ answer a prompt                          done in 3s by b, at the 2nd attempt
    try 1 a: connection refused (after 0.5s)
""",
    ),
    "held": (
        (HELD, attempt(1, "a", "refused"), ended("failed", 1, "refused")),
        {
            "state": "failed",
            "refused": [
                {"component": "endpoints.c", "reason": "the breaker of `endpoints.c` is open", "until": 2000.0}
            ],
        },
        """\
✘ answer a prompt                                                   failed, 3s
    why   refused
    held  the breaker of `endpoints.c` is open
""",
    ),
    "fallback": (
        (
            attempt(1, "", "refused"),
            fact("step.ended", **FALLBACK, status="failed", error="404"),
            fact("step.ended", **{**FALLBACK, "title": "tape"}, status="done", changed=True),
            ended("succeeded", 1, fallback="tape", after="refused"),
        ),
        {"state": "succeeded", "fallback": "tape", "after": "refused"},
        """\
✔ answer a prompt                             done in 3s, by its fallback tape
    tried refused
    tried mirror: failed: 404
    did   tape
""",
    ),
    "undone": (
        (
            attempt(1, "", "refused"),
            ended(
                "failed",
                1,
                "refused",
                undone=[
                    {"status": "done", "error": "", "actions": [WROTE]},
                    {"status": "refused", "error": "/srv/llm/y was changed since", "actions": []},
                ],
            ),
        ),
        {
            "state": "failed",
            "undone": [
                {"state": "done", "error": None, "actions": [WROTE]},
                {"state": "refused", "error": "/srv/llm/y was changed since", "actions": []},
            ],
        },
        """\
✘ answer a prompt                                                   failed, 3s
    why   refused
    undid write /srv/llm/x.json
    undid /srv/llm/y was changed since
""",
    ),
    "interrupted": (
        (ended("interrupted", 1, "nobody knows how it ended"),),
        {"state": "interrupted"},
        """\
✘ answer a prompt                                                  interrupted
    why   nobody knows how it ended
""",
    ),
    "no majority": (
        (*(attempt(1, name, ok=True) for name in "abc"), ended("failed", 1, "no majority: a said 1; b said 2")),
        {"state": "failed"},
        """\
✘ answer a prompt                                                   failed, 3s
    why   no majority: a said 1; b said 2
""",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_document_tells_it(name):
    facts, expected, _ = CASES[name]
    stream = io.StringIO()
    report = reporter("json", stream)
    for one in (BEGUN, *facts):
        report.fact(one)
    code = report.finish().exit_code
    (operation,) = json.loads(stream.getvalue())["runs"][0]["hosts"]["localhost"]["operations"]
    usual = {"name", "state", "attempts", "duration_s", "error", "steps"}
    assert set(operation) == usual | set(expected)
    assert {key: operation[key] for key in expected} == expected
    assert code == (0 if expected["state"] == "succeeded" else 2)


@pytest.mark.parametrize("name", CASES)
def test_the_text_tells_it(name):
    facts, _, expected = CASES[name]
    stream = io.StringIO()
    report = TextReporter(stream, paint=Paint(columns=78))
    for one in (BEGUN, *facts):
        report.fact(one)
    report.finish()
    assert expected in stream.getvalue()


def test_an_interrupted_operation_is_no_success():
    stream = io.StringIO()
    report = TextReporter(stream, paint=Paint(columns=78))
    for one in (BEGUN, *CASES["interrupted"][0]):
        report.fact(one)
    assert report.finish().exit_code == 2
    last = "1 interrupted: look whether the step took effect, then `runbook release` it"
    assert stream.getvalue().splitlines()[-1] == last


def test_the_steps_of_a_switch_are_told_by_its_failover_alone():
    stream = io.StringIO()
    report = reporter("json", stream)
    for one in (BEGUN, fact("step.ended", module="command", title="reload", phase="switch", status="failed")):
        report.fact(one)
    assert report.finish().exit_code == 0
