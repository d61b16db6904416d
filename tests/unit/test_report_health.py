"""The health report of `check`, to the letter."""

import io

from runbook.engine.report.health import HealthReporter
from runbook.engine.report.paint import Paint
from tests.unit.test_report_text import begun, fact, opened


def told(*facts, verbosity=0, **paint):
    stream = io.StringIO()
    reporter = HealthReporter(stream, verbosity=verbosity, paint=Paint(**paint))
    for one in facts:
        reporter.fact(one)
    report = reporter.finish()
    return stream.getvalue(), report.exit_code


def well(detector, subject="", *, host="localhost", **data):
    return fact("look.well", host=host, about=("", detector, subject), **data)


DISK = {"fields": {"disk_free": 90e9, "path": "/data"}, "when": "disk_free < 50GB"}
FULL = {"fields": {"disk_free": 2e9, "path": "/"}, "when": "disk_free < 50GB"}


def test_a_table_of_all_that_was_looked_at_in_the_order_of_the_file():
    text, code = told(
        begun(order=["disk", "server", "gpu", "crash"], check=True),
        fact("look.absent", about=("", "gpu", ""), reason="no NVIDIA driver"),
        well("crash"),
        well("disk", "/data", **DISK),
        opened(("7f2c9e01", "disk", "/"), since=1000.0 - 240, **FULL),
        fact("look.unknown", about=("", "server", ""), reason="the look did not end within 30 s"),
    )
    assert code == 2
    head, rest = text.split("\n\n", 1)
    assert head == "llm-deploy on localhost  check: nothing is changed"
    lines = rest.splitlines()
    assert lines[0].split() == ["STATE", "WHAT", "WHERE", "SAW", "SINCE"]
    assert lines[1].startswith("! open     disk    /          disk free 2 GB")
    assert lines[1].endswith(", 4m")
    assert lines[2] == "✔ well     disk    /data      disk free 90 GB"
    assert lines[3] == "? unknown  server  localhost  the look did not end within 30 s"
    assert lines[4] == "- absent   gpu     localhost  no NVIDIA driver"
    assert lines[5] == "✔ well     crash   localhost  nothing new"
    assert lines[-1] == "1 open, 1 unknown: see why above, then run it again"


def test_quiet_shows_only_what_is_wrong_and_nothing_when_all_is_well():
    calm = [begun(order=["disk"], check=True), well("disk", "/data", **DISK)]
    assert told(*calm, verbosity=-1) == ("", 0)
    text, code = told(*calm, opened(("7f2c9e01", "disk", "/"), **FULL), verbosity=-1)
    assert "disk free 2 GB" in text
    assert "90 GB" not in text
    assert code == 2


def test_a_part_of_a_correlation_is_no_fault_and_nothing_that_is_well():
    text, code = told(
        begun(order=["idle", "fresh"], check=True),
        well("idle", "0", holds=True, input=True, fields={"utilization": 1}),
        well("fresh", "last.pt", holds=False, input=True, fields={"age": 90}),
    )
    assert "- holds   idle" in text
    assert "- not so  fresh" in text
    assert "✔" not in text
    assert code == 0


def test_the_last_line_tells_of_absent_detectors_and_of_operations_that_nobody_looked_at():
    lacking = [fact("look.absent", about=("", name, ""), reason="no NVIDIA driver") for name in ("gpu lost", "gpu hot")]
    text, code = told(begun(detectors=6, aside=8), *lacking, well("disk", "/data", **DISK))
    said = "nothing wrong seen; 2 of 6 detectors absent, 8 operations not looked at: `apply --check` shows them"
    assert (" ".join(text.splitlines()[-2:]), code) == (said, 0)
    text, _ = told(begun(detectors=1, aside=1), well("disk", "/data", **DISK))
    assert text.endswith("localhost is well, 1 operation not looked at (1 detector):\n`apply --check` shows it\n")


def test_what_was_seen_has_room_and_paths_break_at_their_slashes():
    reason = "/srv/training/checkpoints/status/training_status.json is not there: nothing has begun yet, so ask again"
    about = ("", "the configuration has rested for long enough", "")
    seen = well("directory missing", "/srv/training/checkpoints/checkpoint-*", **DISK)
    text, _ = told(begun(check=True), fact("look.absent", about=about, reason=reason), seen)
    lines = text.splitlines()
    what, where, saw = (lines[2].index(head) for head in ("WHAT", "WHERE", "SAW"))
    begin = next(place for place, line in enumerate(lines) if line.startswith("- absent"))
    shown = [line[saw:].strip() for line in lines[begin : begin + 6]]
    assert shown[:3] == ["/srv/training/", "checkpoints/status/", "training_status.json"]
    assert " ".join(shown[2:]).strip() == "training_status.json is not there: nothing has begun yet, so ask again"
    names = [line[what:where].strip() for line in lines[begin : begin + 6]]
    assert " ".join(names).strip() == about[1]
    assert max(map(len, lines)) <= 80


def test_what_would_be_done_stands_below_the_table():
    step = fact("step.ended", about=("7f2c9e01", "disk", "/"), module="notify", status="planned", error="mail")
    text, _ = told(begun(order=["disk"], check=True), opened(("7f2c9e01", "disk", "/"), **FULL), step)
    assert text.index("STATE") < text.index("would")


def test_several_hosts_are_named_where_somebody_wants_to_know():
    facts = (
        begun("n1", "n2", order=["disk"], check=True), well("disk", "/data", host="n1", **DISK), well("disk", host="n2")
    )  # fmt: skip
    text, _ = told(*facts, verbosity=1)
    assert "n1: /data" in text
    assert "n2  " in text


def test_host_text_cannot_act_on_the_terminal():
    text, _ = told(begun(order=["disk"], check=True), well("disk", "\x1b[2J/data", **DISK))
    assert "\x1b" not in text
    assert "\\x1b[2J/data" in text


def test_no_line_is_wider_than_the_terminal():
    long = {"fields": {"line": "word " * 80}, "when": "true"}
    text, _ = told(begun(order=["a" * 60], check=True), opened(("7f2c9e01", "a" * 60, "/s" * 60), **long), columns=60)
    assert max(map(len, text.splitlines())) <= 60


def test_detectors_in_a_row_that_lack_the_same_thing_are_one_row():
    lacking = [fact("look.absent", about=("", name, ""), reason="no NVIDIA driver") for name in ("gpu lost", "gpu hot")]
    text, _ = told(begun(order=["gpu lost", "gpu hot"], check=True), *lacking)
    assert text.count("no NVIDIA driver") == 1
    assert "gpu lost, 1 more" in text
