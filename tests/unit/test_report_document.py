"""The reports for programs: DESIGN's document, and the facts line by line."""

import io
import json

import pytest

from runbook.engine.journal.facts import Fact
from runbook.engine.model import UNKNOWN
from runbook.engine.report.reporter import reporter

ABOUT = {"host": "gpu04", "detector": "server down", "subject": "vllm", "incident": "7f2c9e01"}


def fact(kind, at=0.0, run="r1", **about):
    data = about.pop("data", {})
    return Fact(kind, 1000.0 + at, run, **about, data=data)


PASS = (
    fact("run.begun", data={"runbook": "llm", "hosts": ["gpu04", "gpu05"], "detectors": 3}),
    fact(
        "incident.opened",
        1.0,
        **ABOUT,
        data={
            "severity": "high",
            "since": 990.0,
            "when": "status != 200",
            "fields": {"status": 0, "share": float("nan"), "body": UNKNOWN},
        },
    ),
    fact(
        "step.ended",
        2.0,
        **ABOUT,
        data={
            "module": "restart_daemon",
            "status": "done",
            "changed": True,
            "duration": 1.5,
            "actions": [{"action": "run", "what": "systemctl restart vllm"}],
            "diff": "-a\n+b\n",
        },
    ),
    fact("incident.ended", 4.0, **ABOUT, data={"to": "cured"}),
    fact("look.unknown", 4.0, host="gpu05", detector="kernel log", data={"reason": "timeout \x1b[2J"}),
    fact("look.absent", 4.0, host="gpu05", detector="gpu ill", data={"reason": "no driver"}),
    fact(
        "operation.ended",
        5.0,
        host="gpu05",
        operation="serve",
        data={"state": "failed", "attempts": 2, "duration": 3.25, "error": "x"},
    ),
)


def told(form, *facts, redact=str):
    stream = io.StringIO()
    one = reporter(form, stream, redact=redact)
    for each in facts:
        one.fact(each)
        one.progress("gpu04", "x", "y")
    one.finish()
    return stream.getvalue()


def test_the_document_is_the_one_of_the_design():
    document = json.loads(told("json", *PASS))
    assert (document["schema"], document["exit_code"]) == (1, 2)
    (run,) = document["runs"]
    assert (run["runbook"], run["run_id"], run["started"], run["duration_s"]) == ("llm", "r1", 1000.0, 5.0)
    assert {name: host["state"] for name, host in run["hosts"].items()} == {"gpu04": "healed", "gpu05": "unhealthy"}
    (incident,) = run["hosts"]["gpu04"]["incidents"]
    shown = ("id", "detector", "subject", "state", "severity", "evidence", "reason")
    assert [incident[name] for name in shown] == [
        *("7f2c9e01", "server down", "vllm", "cured", "high", "status 0"),
        None,
    ]
    (step,) = incident["steps"]
    shown = ("module", "state", "changed", "duration_s", "error", "diff")
    assert [step[name] for name in shown] == ["restart_daemon", "done", True, 1.5, None, "-a\n+b\n"]
    other = run["hosts"]["gpu05"]
    assert other["unknown"] == [{"detector": "kernel log", "reason": "timeout \x1b[2J"}]
    assert other["absent"] == [{"detector": "gpu ill", "reason": "no driver"}]
    (operation,) = other["operations"]
    shown = ("name", "state", "attempts", "duration_s", "error")
    assert [operation[name] for name in shown] == ["serve", "failed", 2, 3.25, "x"]


def test_a_pass_over_nothing_is_a_document_too():
    assert json.loads(told("json")) == {
        "schema": 1,
        "exit_code": 0,
        "summary": "nothing to do: no host was looked at",
        "runs": [],
    }


def test_events_are_lines_and_the_summary_is_the_last():
    lines = [json.loads(line) for line in told("jsonl", *PASS).splitlines()]
    assert [line["event"] for line in lines] == [*(one.kind for one in PASS), "summary"]
    assert lines[1]["host"] == "gpu04"
    assert lines[1]["data"]["fields"] == {"status": 0, "share": None, "body": None}
    assert lines[-1]["exit_code"] == 2
    assert lines[-1]["counts"] == {"cured": 1, "failed": 1, "unknown": 1}


def test_an_event_is_written_when_it_happens():
    stream = io.StringIO()
    one = reporter("jsonl", stream)
    one.fact(PASS[0])
    assert json.loads(stream.getvalue())["event"] == "run.begun"


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_programs_get_ascii_without_secrets_or_terminal_codes(form):
    text = told(form, *PASS, redact=lambda text: text.replace("systemctl", "***"))
    assert text.isascii()
    assert "\x1b" not in text
    assert "systemctl" not in text
    assert "NaN" not in text


def incident(state):
    return fact("incident.changed", **ABOUT, data={"to": state})


UNKNOWN_LOOK = fact("look.unknown", host="gpu05", detector="x", data={"reason": "y"})
FAILED = fact("operation.ended", host="gpu05", operation="serve", data={"state": "failed"})


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ([], 0),
        ([incident("cured")], 0),
        ([fact("incident.pending", host="gpu05", data={"detector_pending": "x", "since": 990.0})], 0),
        ([fact("look.absent", host="gpu05", detector="x")], 0),
        ([fact("operation.ended", host="gpu05", operation="serve", data={"state": "skipped"})], 0),
        ([incident("waiting")], 3),
        ([incident("verifying")], 3),
        ([fact("operation.ended", host="gpu05", operation="serve", data={"state": "waiting"})], 3),
        ([incident("waiting"), UNKNOWN_LOOK], 4),
        ([fact("host.unreachable", host="gpu05", data={"reason": "x"})], 4),
        *(
            ([incident(state), UNKNOWN_LOOK], 2)
            for state in ("open", "unhealed", "unverified", "interrupted", "observed")
        ),
        ([incident("suppressed")], 2),
        ([FAILED, UNKNOWN_LOOK], 2),
    ],
)
def test_the_exit_code_is_the_first_that_applies(facts, code):
    begun = fact("run.begun", data={"runbook": "llm", "hosts": ["gpu04", "gpu05"]})
    assert json.loads(told("json", begun, *facts))["exit_code"] == code


def test_a_pending_incident_has_its_severity_category_and_fields():
    data = {"since": 990.0, "severity": "high", "category": "disk", "when": "size > 1", "fields": {"size": 2},
            "counted": 2, "count": 3}  # fmt: skip
    document = json.loads(told("json", PASS[0], fact("incident.pending", host="gpu04", detector="x", data=data)))
    (incident,) = document["runs"][0]["hosts"]["gpu04"]["incidents"]
    shown = ("state", "severity", "category", "when", "fields", "count")
    assert [incident[name] for name in shown] == ["pending", "high", "disk", "size > 1", {"size": 2}, 2]


def test_operations_of_a_check_are_planned_and_never_attempted():
    begun = fact("run.begun", data={"runbook": "llm", "hosts": ["gpu04"], "check": True})
    about = {"host": "gpu04", "operation": "serve"}
    document = json.loads(told(
        "json",
        begun,
        fact("attempt.begun", **about, data={"attempt": 1}),
        fact("attempt.ended", **about, data={"ok": True, "module": "command", "status": "planned", "attempt": 1}),
        fact("operation.ended", **about, data={"state": "succeeded", "attempts": 1}),
    ))  # fmt: skip
    (operation,) = document["runs"][0]["hosts"]["gpu04"]["operations"]
    assert (operation["state"], operation["attempts"]) == ("planned", 0)


class Broken(io.StringIO):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, text):
        raise self.error


@pytest.mark.parametrize("form", ["json", "jsonl", "text"])
def test_a_report_that_can_not_be_written_is_said_and_stops_nothing(form, capsys):
    one = reporter(form, Broken(OSError(28, "No space left on device")))
    for each in PASS:
        one.fact(each)
    assert one.finish().exit_code == 2
    assert capsys.readouterr().err.count("the output can't be written: No space left on device") == 1
    one = reporter(form, Broken(BrokenPipeError(32, "Broken pipe")))
    one.finish()
    assert capsys.readouterr().err == ""


def test_incidents_come_in_the_order_of_the_file_and_then_of_their_subjects():
    def opened(name, detector, subject, kind="incident.opened"):
        return fact(kind, host="gpu04", detector=detector, subject=subject, incident=name)

    begun = fact("run.begun", data={"runbook": "llm", "hosts": ["gpu04"], "order": ["first", "second", "third"]})
    facts = (opened("i1", "third", "", "incident.resumed"), opened("i2", "first", "b"), opened("i3", "first", "a"))
    document = json.loads(told("json", begun, *facts))
    shown = [(one["detector"], one["subject"]) for one in document["runs"][0]["hosts"]["gpu04"]["incidents"]]
    assert shown == [("first", "a"), ("first", "b"), ("third", "")]
