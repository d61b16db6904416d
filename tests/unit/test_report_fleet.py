"""The report of a pass over many hosts, to the letter: what is alike is told once, and every host is counted."""

import io
import json
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.engine.report import host_logs
from runbook.engine.report.board import Board
from runbook.engine.report.gather import Gather
from runbook.engine.report.health import HealthReporter
from runbook.engine.report.paint import Paint
from runbook.engine.report.reporter import reporter
from runbook.engine.report.text import TextReporter
from tests.unit.many_hosts import START, a_pass, begun, fact, names, opened


def told(facts, *, verbosity=0, cls=TextReporter, **paint):
    stream = io.StringIO()
    report = cls(stream, verbosity=verbosity, paint=Paint(**paint))
    for one in facts:
        report.fact(one)
    done = report.finish()
    return stream.getvalue(), done.exit_code


def test_what_is_alike_is_told_once_with_its_hosts_and_every_host_is_counted():
    assert told(a_pass(64)) == (
        """\
gpu-health on 64 hosts

- absent on 2 hosts: gpu overheating (no NVIDIA driver)

✔ server down · vllm on 3 hosts: gpu03-gpu05                         cured in 4s
    saw   status 0
    did   restart_daemon: run systemctl restart vllm (1.9s)
    now   well again: status 200

- server down · vllm on gpu58                                pending, 11s of 30s
    saw   status 0

… old checkpoints · /data/run on 2 hosts                    waiting for approval
    saw   gpu33: count 43
    saw   gpu34: count 44
    why   prune_checkpoints is destructive: approve it
    next  runbook approve 00000021 00000022

! disk full · /data on 13 hosts: gpu20-gpu28, gpu30, gpu40-gpu42      suppressed
    saw   disk free 47 MB to 95 MB
    why   limit: 3 recoveries per 1h are used up; the next at 14:32

! gpu overheating on 3 hosts                                       observed only
    saw   gpu44 · GPU-4: temperature 93 °C
    saw   gpu45 · GPU-5: temperature 85 °C
    saw   gpu46 · GPU-6: temperature 86 °C
    why   its mode is observe: nothing is done about it

✘ server down · vllm on gpu17                                  unhealed after 5m
    saw   status 0
    tried restart_daemon: failed: Job for vllm.service failed because the
          control process exited with error code (9s)
          │ vllm: CUDA out of memory

? gpus present on 2 hosts: gpu48, gpu49                                  unknown
    why   nvidia-smi on gpu48 did not answer within 10s

! 4 hosts: gpu50-gpu53                                               unreachable
    why   gpu50: no answer from 10.0.0.50:22 within 10s

! gpu60                                                              unreachable
    why   its host key has changed: SHA256:abc

✔ well         34  gpu01, gpu02, gpu06-gpu16, gpu18, gpu19, gpu29, 18 more
✔ healed        3  gpu03-gpu05
- pending       1  gpu58
… waiting       2  gpu33, gpu34
? unknown       2  gpu48, gpu49
! unreachable   5  gpu50-gpu53, gpu60
✘ unhealthy    17  gpu17, gpu20-gpu28, gpu30, gpu40-gpu42, gpu44-gpu46

3 healed, 1 unhealed, 13 suppressed, 3 observed, 2 waiting, 1 pending, 5 hosts
unreachable, 2 unknown:
this needs a person; see `runbook history` too
""",
        2,
    )


def test_hosts_that_are_all_well_are_one_line():
    facts = [begun(names(64)), *(fact("host.looked", 0.1, host) for host in names(64)), fact("run.ended", 0.4)]
    assert told(facts) == ("64 hosts are well, nothing to do (5 detectors, 0.4s)\n", 0)
    assert told(facts, verbosity=-1) == ("", 0)


def test_verbose_tells_each_host_by_itself_and_names_all():
    text, _ = told(a_pass(64), verbosity=1)
    assert text.count("✔ server down · vllm on gpu0") == 3
    well = text.partition("✔ well         34  ")[2].partition("✔ healed")[0]
    assert " ".join(well.split()) == (
        "gpu01, gpu02, gpu06-gpu16, gpu18, gpu19, gpu29, gpu31, gpu32, gpu35-gpu39, gpu43, gpu47, gpu54-gpu57, gpu59, "
        "gpu61-gpu64"
    )


def test_quiet_tells_only_what_is_wrong():
    text, code = told(a_pass(64), verbosity=-1)
    assert code == 2
    assert "cured" not in text
    assert "pending, 11s" not in text
    assert "absent" not in text
    assert "✔ well" not in text
    assert "✘ unhealthy    17  gpu17, gpu20-gpu28" in text


def test_a_host_that_nobody_came_to_is_not_called_well():
    facts = [begun(names(3)), fact("host.looked", 0.1, "gpu01"), fact("run.halted", 0.2, reason="2 of 3 hosts failed")]
    text, code = told(facts)
    assert "- not looked at  2  gpu02, gpu03\n" in text
    assert re.search("^! the pass +stopped\n    why   2 of 3 hosts failed$", text, re.MULTILINE)
    assert code == 4


def test_a_host_that_is_reached_again_is_not_unreachable():
    facts = [
        begun(names(2)), fact("host.unreachable", 0.1, "gpu01", reason="reset"), fact("host.reached", 0.2, "gpu01"),
        *(fact("host.looked", 0.3, host) for host in names(2)), fact("run.ended", 0.4),
    ]  # fmt: skip
    assert told(facts) == ("2 hosts are well, nothing to do (5 detectors, 0.4s)\n", 0)


def test_messages_that_are_alike_are_told_once():
    facts = [begun(names(20)), *(fact("notified", 0.1, host, message=f"{host}: vllm stays down") for host in names(9))]
    text, _ = told(facts)
    assert "> gpu01: vllm stays down\n> (and the like of 8 other hosts)\n" in text


def test_operations_are_told_once_for_all_hosts_on_which_they_went_alike():
    facts = [begun(names(12), operations=["download model"])]
    for number, host in enumerate(names(12)):
        error = f"{host}: connection reset after {number} s" if number in {3, 4} else ""
        facts += [
            fact("attempt.begun", 0.0, host, operation="download model", attempt=1),
            fact("attempt.ended", 5.0, host, operation="download model", attempt=1, ok=not error, error=error,
                 module="hf_download", status="failed" if error else "done", duration=5.0 + number),
            fact("operation.ended", 5.0, host, operation="download model", state="failed" if error else "succeeded",
                 attempts=1, duration=5.0 + number, error=error),
        ]  # fmt: skip
    text, code = told(facts)
    assert code == 2
    assert "✔ download model on 10 hosts: gpu01-gpu03, gpu06-gpu12         done in 5s to 16s\n" in text
    assert "✘ download model on 2 hosts: gpu04, gpu05" in text
    assert "    why   gpu04: connection reset after 3 s\n" in text


def test_a_step_by_itself_is_told_with_what_it_printed_once_for_all_that_printed_the_same():
    facts = [begun(names(6), runbook="run", command="run", operations=["command"])]
    for number, host in enumerate(names(6)):
        step = {"module": "command", "status": "done", "changed": True, "output": "6.1.0\n" if number < 4 else "5.15\n"}
        facts += [
            fact("attempt.ended", 0.2, host, operation="command", attempt=1, ok=True, duration=0.2, **step),
            fact("operation.ended", 0.2, host, operation="command", state="succeeded", attempts=1, duration=0.2),
        ]
    text, code = told([*facts, fact("run.ended", 0.3)], verbosity=1)
    assert code == 0
    assert "✔ command on 4 hosts: gpu01-gpu04                                   done in 0.2s\n" in text
    assert text.count("│ 6.1.0") == text.count("│ 5.15") == 1
    assert text.endswith("\n1 step done on 6 hosts (0.3s)\n")


def test_check_folds_the_hosts_of_a_detector_into_a_row():
    text, code = told(a_pass(64, check=True, command="check"), cls=HealthReporter)
    assert code == 2
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "✔ well disk full 46 hosts /data: disk free 61 GB to" in rows
    assert "! suppressed disk full 13 hosts /data: disk free 47 MB to" in rows
    assert "95 MB (gpu20-gpu28, gpu30," in rows
    assert "✔ well new errors 59 hosts" in rows
    assert sum("gpu overheating" in row for row in rows) == 3  # well, observed, absent


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_programs_get_every_host(form):
    stream = io.StringIO()
    report = reporter(form, stream)
    for one in a_pass(64):
        report.fact(one)
    report.finish()
    if form == "json":
        hosts = json.loads(stream.getvalue())["runs"][0]["hosts"]
        assert list(hosts) == names(64)
        assert {hosts["gpu03"]["state"], hosts["gpu50"]["state"], hosts["gpu01"]["state"]} == {
            "healed",
            "unreachable",
            "well",
        }
    else:
        lines = [json.loads(line) for line in stream.getvalue().splitlines()]
        assert sum(line["event"] == "host.looked" for line in lines) == 59
        assert lines[-1]["counts"]["suppressed"] == 13


EVIL = st.text(alphabet="\x1b]0;[2J\x07\x9b\r\n\u202e\u0085\x00 abc%{1", max_size=24)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(EVIL, min_size=3, max_size=3, unique=True),
    st.lists(EVIL, min_size=8, max_size=8),
    st.integers(-1, 1),
    st.booleans(),
)
def test_no_text_of_a_host_acts_on_the_terminal(hosts, said, verbosity, health):
    detector, subject, reason, output, error, title, value, message = said
    about = ("7f2c9e01", detector, subject)
    facts = [begun(hosts, order=[detector])]
    for host in hosts[:2]:
        facts += [
            opened(host, 0.0, about, when="line != ''", fields={"line": value, "path": value, value: value}),
            fact("step.ended", 1.0, host, about, module=title, title=title, status="failed", error=error, output=output,
                 diff=f"--- {output}", actions=[{"action": title, "what": value}]),
            fact("incident.ended", 2.0, host, about, to="unhealed", reason=reason, fields={"line": value}),
            fact("look.unknown", 2.0, host, detector=detector, reason=reason),
            fact("look.absent", 2.0, host, detector=title, reason=reason),
            fact("notified", 2.0, host, message=message),
            fact("channel.told", 2.0, host, channel=title, status="failed", reason=reason, message=message),
            fact("attempt.ended", 3.0, host, operation=title, attempt=1, ok=False, module=title, error=error),
            fact("operation.ended", 3.0, host, operation=title, state="failed", attempts=1, error=error),
        ]  # fmt: skip
    facts.append(fact("host.unreachable", 2.0, hosts[2], reason=reason))
    text, _ = told(facts, verbosity=verbosity, cls=HealthReporter if health else TextReporter)
    gather, board = Gather(), Board(io.StringIO(), Paint())
    board.begin(title, hosts)
    for one in facts:
        gather.add(one)
        board.follow(one, gather.host(one))
    board.update(hosts[0], title, output)
    shown = [*text.split("\n"), *board.lines(80, 24), *(line for one in facts for line in host_logs.lines(one))]
    board.end()
    assert all(line.isprintable() for line in shown)


def test_the_time_for_a_fact_does_not_grow_with_the_number_of_hosts():
    def spent(count):
        facts = list(a_pass(count))
        took = []
        for _ in range(2):
            report = TextReporter(io.StringIO(), paint=Paint())
            begin = time.process_time()
            for one in facts:
                report.fact(one)
            report.finish()
            took.append(time.process_time() - begin)
        return min(took) / len(facts)

    assert spent(3000) < 3 * spent(300)  # it was 10 times where each fact copied the table of hosts


def test_programs_are_not_told_that_a_host_is_well_to_which_nobody_came():
    stream = io.StringIO()
    report = reporter("json", stream)
    for one in (begun(names(2)), fact("host.looked", 0.1, "gpu01"), fact("run.halted", 0.2, reason="too many failed")):
        report.fact(one)
    report.finish()
    (run,) = json.loads(stream.getvalue())["runs"]
    assert {name: host["state"] for name, host in run["hosts"].items()} == {"gpu01": "well", "gpu02": "not looked at"}
    assert run["halted"] == "too many failed"


def test_what_follows_from_another_host_names_that_and_is_given_no_advice_of_its_own():
    def crashed(host, number):
        about = (f"0000000{number}", "crash", "")
        line = f"12:00:0{number} [rank{number}] remote process exited"
        fields = {"signature": "nccl.watchdog", "role": "root", "line": line, "line_no": 4, "time": START, "path": "/l"}
        yield opened(host, 0.0, about, fields=fields)
        if number:
            yield fact("incident.folded", 0.1, host, about, root="00000000", root_host="n0", root_detector="crash")
        yield fact("incident.ended", 2.0, host, about, to="cured", reason="with `crash` on n0" if number else "")

    hosts = [f"n{number}" for number in range(8)]
    text, _ = told([begun(hosts), *(each for number, host in enumerate(hosts) for each in crashed(host, number))])
    root, followers = text.split("✔ crash on ")[1:]
    assert followers.splitlines()[1:4] == [
        "    saw   12:00:01 [rank1] remote process exited (and the like)",
        "    from  crash on n0 (00000000)",
        "",
    ]
    assert followers.startswith("7 hosts: n1-n7 ")
    assert "    do    " in root
    assert "    from  " not in root
