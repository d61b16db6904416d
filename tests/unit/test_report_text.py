"""The report for people, to the letter: what somebody woken at night reads in an 80-column terminal."""

import io
import re
import subprocess
import sys

import pytest

from runbook.engine.journal.facts import Fact
from runbook.engine.report import words
from runbook.engine.report.paint import Paint
from runbook.engine.report.text import TextReporter

START = 1000.0


def fact(kind, at=0.0, *, host="localhost", about=None, operation="", **data):
    """One fact at so many seconds; `about` is (incident, detector, subject)."""
    incident, detector, subject = about or ("", "", "")
    data = {name.removesuffix("_"): value for name, value in data.items()}
    return Fact(kind, START + at, "r1", host, detector, subject, incident, operation, "", data)


def begun(*hosts, **data):
    return fact(
        "run.begun", host="", **{"runbook": "llm-deploy", "hosts": list(hosts) or ["localhost"], "detectors": 7, **data}
    )


def told(*facts, verbosity=0, redact=str, **paint):
    stream = io.StringIO()
    reporter = TextReporter(stream, verbosity=verbosity, redact=redact, paint=Paint(**paint))
    for one in facts:
        reporter.fact(one)
    report = reporter.finish()
    return stream.getvalue(), report.exit_code


DOWN = ("7f2c9e01", "server down", "vllm")


def opened(about=DOWN, at=0.0, host="localhost", **data):
    known = {"severity": "high", "since": START, "when": "status != 200", "fields": {"status": 0, "latency": 0.003}}
    return fact("incident.opened", at, host=host, about=about, **{**known, **data})


def stepped(at=0.0, about=DOWN, host="localhost", **data):
    known = {"module": "restart_daemon", "title": "restart_daemon", "status": "done", "changed": True, "duration": 1.9}
    return fact("step.ended", at, host=host, about=about, **{**known, **data})


def moved(to, at=0.0, about=DOWN, host="localhost", **data):
    return fact("incident.changed", at, host=host, about=about, to=to, **data)


def ended(to, at=0.0, about=DOWN, host="localhost", **data):
    return fact("incident.ended", at, host=host, about=about, to=to, **data)


RESTART = [{"action": "run", "what": "systemctl restart vllm", "changed": True}]
HEALED = (
    opened(),
    stepped(2.0, actions=RESTART),
    moved("verifying", 2.0),
    ended("cured", 4.5, fields={"status": 200}, when="status != 200"),
)


def test_a_healthy_host_is_one_line():
    assert told(begun(), fact("run.ended", 0.2, host="")) == (
        "localhost is well, nothing to do (7 detectors, 0.2s)\n",
        0,
    )


def test_a_healed_incident_says_what_was_seen_done_and_seen_again():
    assert told(begun(), *HEALED) == (
        """\
llm-deploy on localhost

✔ server down · vllm                                               cured in 4.5s
    saw   status 0
    did   restart_daemon: run systemctl restart vllm (1.9s)
    now   well again: status 200, watched for 2.5s

1 healed: nothing is left to do
""",
        0,
    )


def test_a_healed_incident_is_only_counted_when_quiet():
    assert told(begun(), *HEALED, verbosity=-1) == ("1 healed: nothing is left to do\n", 0)


@pytest.mark.parametrize(
    "facts",
    [(), (fact("operation.ended", 0.1, operation="deploy", state="succeeded", attempts=1, duration=0.1),)],
    ids=["nothing to do", "operation done"],
)
def test_nothing_is_said_of_a_healthy_host_when_quiet(facts):
    assert told(begun(), *facts, fact("run.ended", 0.2, host=""), verbosity=-1) == ("", 0)


def test_what_could_not_be_seen_is_said_when_quiet():
    text, _ = told(begun(), fact("look.unknown", about=("", "server down", ""), reason="no rights"), verbosity=-1)
    assert "1 unknown" in text


def test_more_is_said_when_asked_for_more():
    text, _ = told(begun(), *HEALED[:1], stepped(2.0, output="Started vllm.\n", exit_code=0), *HEALED[2:], verbosity=1)
    assert "          │ Started vllm.\n" in text
    assert "    when  status != 200\n" in text
    assert "    id    7f2c9e01, severity high\n" in text


def test_an_unhealed_incident_says_what_was_tried_and_that_it_needs_a_person():
    error = "Job for vllm.service failed.\nSee journalctl -u vllm."
    assert told(
        begun(),
        opened(),
        stepped(31.0, status="failed", changed=False, error=error, duration=30.2, output="line one\nline two\n"),
        ended("unhealed", 31.5, reason=f"restart_daemon: {error}"),
    ) == (
        """\
llm-deploy on localhost

✘ server down · vllm                                          unhealed after 32s
    saw   status 0
    tried restart_daemon: failed: Job for vllm.service failed. See journalctl -u
          vllm. (30s)
          │ line one
          │ line two

1 unhealed: this needs a person; see `runbook history` too
""",
        2,
    )


def test_a_recovery_that_did_not_help_says_what_is_still_seen():
    text, code = told(
        begun(),
        opened(),
        stepped(2.0, actions=RESTART),
        moved("verifying", 2.0),
        ended("unhealed", 302.0, reason="not well after the recovery", fields={"status": 503}),
    )
    assert code == 2
    assert "    now   still status 503\n    why   not well after the recovery\n" in text


def test_a_waiting_incident_says_how_to_approve():
    reason = "clear_cache is destructive and wants approval"
    assert told(
        begun(),
        opened(("i1", "disk full", "/data"), when="disk_used_percent > 95", fields={"disk_used_percent": 97.31}),
        moved("waiting", about=("i1", "disk full", "/data"), reason=reason),
    ) == (
        """\
llm-deploy on localhost

… disk full · /data                                         waiting for approval
    saw   disk used 97.3%
    why   clear_cache is destructive and wants approval

1 waiting: runbook approve i1
""",
        3,
    )


def test_a_suppressed_incident_says_why():
    reason = "3 recoveries in the last 5m, the limit is 3 per 5m; again at 02:14"
    assert told(begun(), opened(), moved("suppressed", reason=reason)) == (
        """\
llm-deploy on localhost

! server down · vllm                                                  suppressed
    saw   status 0
    why   3 recoveries in the last 5m, the limit is 3 per 5m; again at 02:14

1 suppressed: see why above
""",
        2,
    )


def test_a_detector_that_could_not_look_is_unknown_and_one_without_its_target_absent():
    reason = "permission denied: /dev/kmsg (add `become: true`)"
    assert told(
        begun(),
        fact("look.unknown", detector="kernel log", reason=reason),
        fact("look.absent", detector="gpu ill", reason="no NVIDIA driver"),
    ) == (
        """\
llm-deploy on localhost

? kernel log                                                             unknown
    why   permission denied: /dev/kmsg (add `become: true`)

- absent: gpu ill (no NVIDIA driver)

1 unknown: see why above, then run it again
""",
        4,
    )


def test_what_was_unknown_and_then_seen_is_well():
    text, code = told(begun(), fact("look.unknown", detector="x", reason="timeout"), fact("look.seen", detector="x"))
    assert (text, code) == ("localhost is well, nothing to do (7 detectors)\n", 0)


def test_check_says_what_would_be_done_and_shows_the_diff():
    about = ("i1", "batch too big", "")
    diff = "--- /srv/serve.yaml\n+++ /srv/serve.yaml\n@@ -1,2 +1,2 @@\n model: x\n-batch: 64\n+batch: 32\n"
    assert told(
        begun(check=True),
        opened(about, when="", fields={"line": "RuntimeError: CUDA out of memory", "path": "/var/log/x", "line_no": 3}),
        stepped(about=about, module="edit_config", title="halve the batch", status="planned", diff=diff,
                actions=[{"action": "write", "what": "/srv/serve.yaml"}]),
        stepped(about=about, status="planned", changed=False),
        moved("open", about=about, reason="check"),
    ) == (
        """\
llm-deploy on localhost  check: nothing is changed

! batch too big                                                             open
    saw   RuntimeError: CUDA out of memory
    at    /var/log/x:3
    would halve the batch: write /srv/serve.yaml
          --- /srv/serve.yaml
          +++ /srv/serve.yaml
          @@ -1,2 +1,2 @@
           model: x
          -batch: 64
          +batch: 32
    would restart_daemon: change nothing

1 open: `runbook apply` would try to heal it
""",
        2,
    )  # fmt: skip


def test_check_says_what_approval_would_add():
    planned = [opened(), stepped(status="planned"), moved("open", reason="check")]
    waiting = ("i2", "disk full", "/data")
    parked = [opened(waiting), moved("waiting", about=waiting, reason="destructive")]
    text, code = told(begun(check=True), *planned, *parked)
    assert (text.splitlines()[-1], code) == ("1 open, 1 waiting: `runbook apply` would try to heal 1, with --yes 2", 2)
    text, code = told(begun(check=True), *parked)
    assert (text.splitlines()[-1], code) == ("1 waiting: `runbook apply --yes` would try to heal it", 3)


HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe\r\n\x9bx \x00 {bold}[red]"


def test_host_text_never_reaches_the_terminal_raw():
    about = ("i1", HOSTILE, HOSTILE)
    text, _ = told(
        begun(HOSTILE, "other", runbook=HOSTILE),
        opened(about, host=HOSTILE, when="", fields={"line": HOSTILE}),
        stepped(about=about, host=HOSTILE, title=HOSTILE, status="failed", error=HOSTILE, output=HOSTILE, diff=HOSTILE,
                actions=[{"action": HOSTILE, "what": HOSTILE}]),
        ended("unhealed", 1.0, about, HOSTILE, reason=HOSTILE, evidence=HOSTILE),
        fact("look.unknown", host=HOSTILE, detector=HOSTILE, reason=HOSTILE),
        fact("attempt.ended", host=HOSTILE, operation=HOSTILE, ok=False, error=HOSTILE),
        fact("operation.ended", host=HOSTILE, operation=HOSTILE, state="failed", attempts=1, error=HOSTILE),
        fact("notified", message=HOSTILE),
        verbosity=1,
    )  # fmt: skip
    assert re.findall(r"[^\n -~✔✘…·│!?⏎]", text) == []
    assert r"\x1b]0;owned\x07\x1b[2J\u202egnp.exe" in text


def test_secrets_are_not_shown():
    text, _ = told(
        begun(),
        opened(fields={"line": "token hf_s3cret"}),
        stepped(
            status="failed",
            error="401 for hf_s3cret",
            output="hf_s3cret",
            actions=[{"action": "run", "what": "hf_s3cret"}],
        ),
        ended("unhealed", 1.0, reason="hf_s3cret"),
        verbosity=1,
        redact=lambda text: text.replace("hf_s3cret", "***"),
    )
    assert "hf_s3cret" not in text
    assert "401 for ***" in text


def test_of_several_hosts_the_ill_ones_are_named_and_the_healthy_fold_into_a_line():
    hosts = [f"gpu{number:02}" for number in range(1, 6)]
    assert told(
        begun(*hosts),
        opened(("i1", "gpu overheating", "GPU-3"), host="gpu04", when="temperature > 85", fields={"temperature": 91}),
        stepped(1.0, ("i1", "gpu overheating", "GPU-3"), "gpu04", module="gpu_power_limit", title="gpu_power_limit"),
        ended("cured", 2.0, ("i1", "gpu overheating", "GPU-3"), "gpu04"),
        fact(
            "incident.pending", 1.0, host="gpu02", detector_pending="slow", subject_pending="", since=990.0, hold=120.0
        ),
        fact("host.unreachable", 1.0, host="gpu05", reason="ssh: connect to host gpu05 port 22: No route to host"),
    ) == (
        """\
llm-deploy on 5 hosts

✔ gpu overheating · GPU-3 on gpu04                                   cured in 2s
    saw   temperature 91 °C
    did   gpu_power_limit (1.9s)
    now   well again

- slow on gpu02                                               pending, 11s of 2m

! gpu05                                                              unreachable
    why   ssh: connect to host gpu05 port 22: No route to host

✔ well         2  gpu01, gpu03
✔ healed       1  gpu04
- pending      1  gpu02
! unreachable  1  gpu05

1 healed, 1 pending, 1 host unreachable: see why above, then run it again
""",
        4,
    )


def test_a_failed_operation_tells_each_attempt():
    def attempt(number, error, output=""):
        data = {
            "attempt": number,
            "ok": False,
            "error": error,
            "duration": 12.0,
            "module": "command",
            "status": "failed",
        }
        return fact("attempt.ended", number * 12.0, operation="build vllm", output=output, **data)

    assert told(
        begun(),
        attempt(1, "cc1plus: out of memory"),
        fact("attempt.delayed", 12.0, operation="build vllm", delay=5.0, attempt=2),
        attempt(2, "exit code 2", "make: *** [all] Error 1\n"),
        fact(
            "operation.ended",
            29.0,
            operation="build vllm",
            state="failed",
            attempts=2,
            duration=29.0,
            error="exit code 2",
        ),
        fact(
            "operation.ended",
            29.0,
            operation="serve",
            state="skipped",
            attempts=0,
            duration=0.0,
            error="`build vllm` failed",
        ),
    ) == (
        """\
llm-deploy on localhost

✘ build vllm                                                 failed 2 times, 29s
    try 1 cc1plus: out of memory (after 12s, then 5s of waiting)
    try 2 exit code 2 (after 12s)
          │ make: *** [all] Error 1

- serve                                             skipped: `build vllm` failed

1 operation failed: mend what is shown above, then run it again
""",
        2,
    )


def test_attempts_that_all_failed_alike_are_told_once():
    attempts = [
        fact("attempt.ended", operation="serve", attempt=number, ok=False, error="exit code 2", duration=12.0)
        for number in (1, 2, 3)
    ]
    text, _ = told(
        begun(), *attempts, fact("operation.ended", operation="serve", state="failed", attempts=3, error="exit code 2")
    )
    assert "    tried 3 times, each time: exit code 2 (after 12s)\n" in text
    assert "why" not in text


def test_an_operation_that_succeeded_at_last_says_what_went_wrong_before():
    text, code = told(
        begun(),
        fact("attempt.ended", operation="download", attempt=1, ok=False, error="Connection reset", duration=12.0),
        fact("attempt.ended", operation="download", attempt=2, ok=True, duration=235.0),
        fact("operation.ended", 252.0, operation="download", state="succeeded", attempts=2, duration=252.0),
    )
    assert code == 0
    assert (
        text
        == """\
llm-deploy on localhost

✔ download                                     done in 4m12s, at the 2nd attempt
    try 1 Connection reset (after 12s)

localhost is well (1 operation done, 7 detectors, 4m12s)
"""
    )


def test_operations_that_went_well_are_a_line_each():
    text, _ = told(
        begun(),
        fact("operation.ended", 2.0, operation="download", state="succeeded", attempts=1, duration=2.0),
        fact("operation.ended", 3.0, operation="serve", state="succeeded", attempts=1, duration=1.0),
        *HEALED,
    )
    assert text.startswith("""\
llm-deploy on localhost

✔ download                                                            done in 2s
✔ serve                                                               done in 1s

✔ server down""")


def test_an_incident_of_an_earlier_run_is_told_though_nothing_happened_to_it():
    text, code = told(
        begun(),
        fact(
            "incident.resumed", about=DOWN, state="waiting", reason="wants approval", opened=900.0, fields={"status": 0}
        ),
    )
    assert code == 3
    assert "… server down · vllm                                        waiting for approval\n" in text


def test_a_condition_that_ended_by_itself_is_said_so():
    text, code = told(begun(), opened(), ended("cured", 60.0, reason="cleared by itself"))
    assert code == 0
    assert "over by itself" in text


def test_what_was_stopped_says_so_and_what_is_left():
    stream = io.StringIO()
    reporter = TextReporter(stream, paint=Paint())
    for one in (begun(), opened(), moved("recovering")):
        reporter.fact(one)
    assert reporter.finish(stopped=True).exit_code == 130
    assert stream.getvalue().endswith("stopped, 1 recovering: run it again to go on\n")


def test_two_runbooks_have_their_own_headings():
    def of(run, one):
        return Fact(one.kind, one.at, run, one.host, one.detector, one.subject, one.incident, data=one.data)

    facts = [of("r1", one) for one in (begun(), *HEALED)] + [of("r2", one) for one in (begun(runbook="gpu"), *HEALED)]
    text, _ = told(*facts)
    assert [line for line in text.splitlines() if " on localhost" in line] == [
        "llm-deploy on localhost",
        "gpu on localhost",
    ]
    assert text.endswith("2 healed: nothing is left to do\n")


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_no_line_is_wider_than_the_terminal(columns):
    about = ("i1", "a detector with a name that is much too long for any terminal " * 2, "/a/path/" + "x" * 200)
    text, _ = told(
        begun(*(f"host{number}.example.org" for number in range(40))),
        opened(about, host="host1.example.org", when="", fields={"line": "日本語のログ " * 30}),
        stepped(about=about, host="host1.example.org", status="failed", error="E" * 300),
        moved("suppressed", about=about, host="host1.example.org", reason="because " * 40),
        columns=columns,
    )
    assert max(words.width(line) for line in text.splitlines()) <= columns


def test_a_stream_that_knows_only_ascii_gets_only_ascii():
    text, _ = told(begun(), *HEALED, opened(("i2", "x", "ü")), unicode=False)
    assert text.isascii()
    assert "\n+ server down - vllm" in text


def test_colours_are_for_terminals():
    assert "\x1b[" not in told(begun(), *HEALED)[0]
    assert "\x1b[32m✔\x1b[0m \x1b[1mserver down · vllm\x1b[0m" in told(begun(), *HEALED, colour=True)[0]


def test_a_healthy_run_does_not_load_rich():
    code = """
import sys
from runbook.engine.journal.facts import Fact
from runbook.engine.report.reporter import reporter
told = reporter("text", sys.stdout)
told.fact(Fact("run.begun", 1.0, "r1", data={"runbook": "x", "hosts": ["localhost"]}))
told.finish()
assert not [name for name in sys.modules if name.split(".")[0] == "rich"]
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, timeout=60)


@pytest.mark.parametrize("form", ["text", "json", "jsonl"])
def test_a_reader_that_goes_away_does_not_stop_the_pass(form):
    code = f"""
import sys, time
from runbook.engine.journal.facts import Fact
from runbook.engine.report.reporter import reporter
told = reporter("{form}", sys.stdout)
sys.stdin.read()
for number in range(100):
    data = {{"state": "failed", "error": "x" * 1000}}
    told.fact(Fact("operation.ended", 1.0, "r1", "localhost", operation=f"o{{number}}", data=data))
print(told.finish().exit_code, file=sys.stderr)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    process.stdin.close()
    try:
        assert (process.stderr.read(), process.wait(timeout=60)) == ("2\n", 0)
    finally:
        process.stderr.close()


def test_what_check_can_not_promise_is_not_counted_as_healed():
    observed = ("i3", "gpu ill", "GPU-0")
    planned = [opened(), stepped(status="planned"), moved("open", reason="check")]
    looked = [opened(observed), moved("observed", about=observed, reason="mode is observe")]
    text, code = told(begun(check=True), *planned, *looked)
    assert (text.splitlines()[-1], code) == ("1 open, 1 observed: `runbook apply` would try to heal 1 of them", 2)


def test_check_with_fix_changes_things_and_does_not_say_otherwise():
    waiting = [opened(), moved("waiting", reason="destructive")]
    text, _ = told(begun(command="check", check=False), *waiting)
    assert text.startswith("llm-deploy on localhost\n")
    assert text.endswith("1 waiting: runbook approve 7f2c9e01\n")


def test_operations_that_check_looks_at_would_run():
    planned = {"module": "command", "status": "planned", "ok": True, "actions": [{"action": "run", "what": "true"}]}
    text, code = told(
        begun(check=True),
        fact("attempt.begun", operation="serve", attempt=1),
        fact("attempt.ended", operation="serve", attempt=1, **planned),
        fact("operation.ended", operation="serve", state="succeeded", attempts=1),
    )
    assert code == 0
    assert (
        text
        == """\
llm-deploy on localhost  check: nothing is changed

- serve                                                                would run
    would run true

localhost is well (1 operation would run, 7 detectors)
"""
    )


def test_operations_that_are_skipped_for_one_reason_fold_into_a_line():
    def skipped(name, error):
        return fact("operation.ended", operation=name, state="skipped", attempts=0, error=error)

    failed = fact("operation.ended", operation="build", state="failed", attempts=1, error="exit code 2")
    one = "`build` failed"
    text, _ = told(begun(), failed, skipped("serve", one), skipped("upload", one), skipped("x", "left out by --tags"))
    assert f"\n- serve, upload{'skipped: `build` failed':>65}\n" in text
    assert "--tags" not in text
    text, _ = told(begun(), failed, *(skipped(f"an operation, the {number}th", one) for number in range(9)))
    assert f"\n- 9 operations{'skipped: `build` failed':>66}\n" in text


def test_a_run_that_was_stopped_says_what_it_left_and_did_not_reach():
    stream = io.StringIO()
    reporter = TextReporter(stream, paint=Paint())
    for one in (
        begun(operations=["fetch", "build", "serve", "announce"]),
        fact("operation.ended", 1.0, operation="fetch", state="succeeded", attempts=1, duration=1.0),
        fact("attempt.begun", 1.0, operation="build", attempt=1),
    ):
        reporter.fact(one)
    assert reporter.finish(stopped=True).exit_code == 130
    assert (
        stream.getvalue()
        == """\
llm-deploy on localhost

✔ fetch                                                               done in 1s
! build                                                                  stopped
- serve, announce                                   skipped: the run was stopped

stopped: run it again to go on
"""
    )


def test_a_finally_step_that_failed_is_told_by_its_name():
    sweep = {"module": "command", "title": "sweep", "phase": "finally", "duration": 0.4}
    text, code = told(begun(), fact("step.ended", **sweep, status="failed", error="exit code 1", output="a\nb\n"))
    assert code == 2
    assert "✘ finally · sweep                                                         failed\n    why   exit" in text
    assert "          │ a\n          │ b\n" in text
    assert "finally" not in told(begun(), fact("step.ended", **sweep, status="done"))[0]
    assert "✔ finally · sweep" in told(begun(), fact("step.ended", **sweep, status="done"), verbosity=1)[0]


def test_what_was_over_by_itself_is_not_called_healed():
    text, code = told(begun(), *HEALED, opened(("i2", "x", "")), ended("cured", 9.0, ("i2", "x", ""),
                      reason="cleared by itself"))  # fmt: skip
    assert (text.splitlines()[-1], code) == ("1 healed, 1 over by itself: nothing is left to do", 0)


def test_what_is_counted_says_how_many_times_it_was_seen():
    pending = fact("incident.pending", detector="oops", subject="", since=START, hold=0.0, counted=2, count=3,
                   fields={"line": "oops"})  # fmt: skip
    text, _ = told(begun(), pending)
    assert "- oops                                                     pending, 2 of 3 times\n    saw   oops\n" in text


def test_what_the_engine_itself_did_reads_as_a_sentence():
    def engine(module, action, what, **data):
        return stepped(module=module, title=module, actions=[{"action": action, "what": what}], **data)

    text, _ = told(
        begun(),
        opened(),
        engine("wait", "wait", "1s", duration=1.0),
        engine("wait_for", "wait until", "open", duration=3.0),
        engine("notify", "tell", "vllm is back", duration=0.0),
        ended("cured", 5.0),
    )
    assert "    did   wait: waited 1s\n    did   wait_for: waited until open (3s)\n" in text
    assert '    did   notify: reported "vllm is back"\n' in text
    text, _ = told(begun(check=True), opened(), engine("wait", "wait", "1s", status="planned"))
    assert "    would wait 1s\n" in text


def test_output_that_the_error_repeats_is_shown_once():
    text, _ = told(begun(), opened(), stepped(status="failed", error="exit code 1: no broom", output="no broom\n"),
                   ended("unhealed", 1.0))  # fmt: skip
    assert text.count("no broom") == 1


def test_absent_detectors_stand_in_one_sentence_for_each_reason_behind_the_faults():
    names = [f"a kind of crash number {number}" for number in range(6)]
    logs = [fact("look.absent", about=("", name, ""), reason="no file at /srv/*.log") for name in names]
    gpu = fact("look.absent", about=("", "gpu hot", ""), reason="no NVIDIA driver")
    text, _ = told(begun(detectors=9), *logs[:3], gpu, *logs[3:], *HEALED)
    _, after = text.split("watched for 2.5s\n\n")
    first, second, last = (*after.split("- absent: ")[1:], after.splitlines()[-1])
    assert " ".join(first.split()) == ", ".join(names) + " (no file at /srv/*.log)"
    assert second.splitlines()[0] == "gpu hot (no NVIDIA driver)"
    assert last == "1 healed: nothing is left to do"
    assert max(map(len, text.splitlines())) <= 80


def test_with_absent_detectors_nothing_wrong_was_seen_which_is_less_than_well():
    gone = fact("look.absent", about=("", "gpu hot", ""), reason="no NVIDIA driver")
    assert told(begun(detectors=6), gone)[0].endswith("nothing wrong seen; 1 of 6 detectors absent\n")


def message(status, channel="dead"):
    return fact("channel.told", 0.2, channel=channel, status=status, reason="refused" if status == "failed" else "")


def test_a_channel_that_was_not_told_is_counted_in_the_last_line():
    text, code = told(begun(), *HEALED, message("failed"), message("sent", "mail"))
    assert (text.splitlines()[-1], code) == ("1 healed, 1 channel not told: see why above", 0)


NOTIFIED = fact(
    "attempt.ended", operation="notify", module="notify", status="done", ok=True,
    actions=[{"action": "tell", "what": "hi", "changed": True}],
)  # fmt: skip


@pytest.mark.parametrize(
    ("statuses", "code", "last"),
    [
        ([], 0, "1 step done"),
        (["sent"], 0, "1 step done"),
        (["failed"], 2, "1 channel not told: see why above"),
        (["held"], 2, "no channel took the message: see why above"),
        (["failed", "sent"], 0, "1 channel not told: see why above"),
    ],
)
def test_a_message_by_itself_is_in_vain_where_no_channel_takes_it(statuses, code, last):
    tried = [message(status, f"channel {number}") for number, status in enumerate(statuses)]
    done = fact("operation.ended", operation="notify", state="succeeded", attempts=1)
    text, came = told(begun(runbook="run", command="run", detectors=0), NOTIFIED, done, *tried, verbosity=1)
    assert 'did   reported "hi"' in text
    assert (text.splitlines()[-1].removesuffix(" (0.2s)"), came) == (last, code)


@pytest.mark.parametrize(
    ("check", "actions", "head", "last"),
    [
        (False, RESTART, "done", "1 step done"),
        (False, [], "done", "1 step done, nothing changed"),
        (True, RESTART, "would run", "1 step would run"),
        (True, [], "nothing to do", "nothing to do"),
    ],
)
def test_a_step_by_itself_says_nothing_of_the_host(check, actions, head, last):
    status = "planned" if check else "done"
    step = fact("attempt.ended", operation="chown", module="chown", status=status, ok=True, actions=actions)
    done = fact("operation.ended", operation="chown", state="succeeded", attempts=1)
    text, code = told(begun(runbook="run", command="run", detectors=0, check=check), step, done, verbosity=1)
    assert re.search(rf"chown +{head}$", text, re.MULTILINE)
    assert "change nothing" not in text
    assert (text.splitlines()[-1], code) == (last, 0)
