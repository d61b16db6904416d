"""`runbook scan` on real files: what it reads, what it leaves out, how it ends."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

SIGNATURES = """\
signatures:
  - id: test.flux
    title: the flux capacitor is empty
    pattern: 'flux capacitor empty(?:, code (?P<xcode>\\d+))?'
    severity: high
    category: hardware
    role: root
    causes: [test.halt]
    meaning: Nothing moves in time without it.
    advice: Fill it with 1.21 gigawatts.
  - id: test.halt
    title: the time machine stopped
    pattern: 'time machine halted'
    severity: medium
    category: unknown
    role: cascade
    meaning: Something else stopped it.
    advice: Look above.
  - id: test.hint
    title: a hint
    pattern: 'consider plutonium'
    severity: low
    category: unknown
    role: advice
    meaning: It says so each time.
    advice: None.
"""
CRASH = "driving\nflux capacitor empty\ntime machine halted\n"


@pytest.fixture
def scan(cli):
    """Scan with signatures of our own; what the catalogue says may change."""
    known = cli.write("signatures.yaml", SIGNATURES)
    cli.env["XDG_CONFIG_HOME"] = str(cli.home / "config")

    def run(*words, **more):
        return cli("scan", *words, "--signatures", known, **more)

    run.cli, run.write, run.home = cli, cli.write, cli.home
    run.incidents = lambda *words, **more: [
        one["signature"] for one in run(*words, "--format", "json", **more).json["incidents"]
    ]
    return run


def test_a_crash_is_exit_2_and_a_clean_log_exit_0(scan):
    scan.write("bad.log", CRASH)
    scan.write("good.log", "driving\narrived\n")
    assert scan("bad.log").exit_code == 2
    clean = scan("good.log")
    assert (clean.exit_code, clean.err) == (0, "")
    assert clean.out.startswith("nothing wrong found in 1 file (2 lines, 16 B, ")


def test_an_empty_log_is_clean(scan):
    scan.write("empty.log", "")
    done = scan("empty.log")
    assert (done.exit_code, done.out[:27]) == (0, "nothing to read in 1 file (")


def test_lines_of_advice_alone_are_clean(scan):
    scan.write("hint.log", "consider plutonium\n" * 5)
    assert scan("hint.log").exit_code == 0


def test_the_document_is_as_promised(scan):
    scan.write("bad.log", "2026-11-22T01:00:00Z flux capacitor empty, code 7\ntime machine halted\n" * 2)
    done = scan("bad.log", "--format", "json")
    assert done.exit_code == 2
    document = done.json
    assert (document["schema"], document["files"], document["lines"]) == (1, 1, 4)
    (incident,) = document["incidents"]
    assert {key: incident[key] for key in ("signature", "severity", "category", "count")} == {
        "signature": "test.flux",
        "severity": "high",
        "category": "hardware",
        "count": 2,
    }
    root = {key: incident["root"][key] for key in ("path", "line_no", "line", "time")}
    assert root == {
        "path": "bad.log",
        "line_no": 1,
        "line": "2026-11-22T01:00:00Z flux capacitor empty, code 7",
        "time": 1795309200.0,
    }
    assert incident["root"]["fields"] == {"xcode": 7}
    (cascade,) = incident["cascades"]
    assert (cascade["signature"], cascade["count"]) == ("test.halt", 2)
    assert incident["meaning"] == "Nothing moves in time without it."
    assert incident["advice"] == "Fill it with 1.21 gigawatts."
    assert "matches" not in document


def test_matches_are_every_line_folded_or_not(scan):
    scan.write("bad.log", CRASH + "consider plutonium\n")
    expected = [(2, "test.flux", "root"), (3, "test.halt", "cascade"), (4, "test.hint", "advice")]
    document = scan("bad.log", "--matches", "--format", "json").json
    assert [(one["line_no"], one["signature"], one["role"]) for one in document["matches"]] == expected
    assert {one["path"] for one in document["matches"]} == {"bad.log"}
    assert [one["signature"] for one in document["incidents"]] == ["test.flux"]
    lines = [json.loads(line) for line in scan("bad.log", "--matches", "--format", "jsonl").out.splitlines()]
    assert [line["event"] for line in lines] == ["match"] * 3 + ["incident", "summary"]
    assert [(one["line_no"], one["signature"], one["role"]) for one in lines[:3]] == expected
    assert [one["line"] for one in lines[:3]] == ["flux capacitor empty", "time machine halted", "consider plutonium"]
    assert scan("bad.log", "--matches", "--quiet").out.splitlines()[:3] == [
        "bad.log:2: test.flux (root): flux capacitor empty",
        "bad.log:3: test.halt (cascade): time machine halted",
        "bad.log:4: test.hint (advice): consider plutonium",
    ]


def test_no_match_is_an_empty_list(scan):
    scan.write("good.log", "driving\n")
    document = scan("good.log", "--matches", "--format", "json").json
    assert (document["matches"], document["incidents"]) == ([], [])


@pytest.mark.parametrize(("suffix", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_packed_logs_are_read(scan, suffix, pack):
    (scan.home / f"old.log.{suffix}").write_bytes(pack(CRASH.encode()))
    done = scan(f"old.log.{suffix}", "--format", "json").json
    assert (done["incidents"][0]["root"]["line_no"], done["lines"]) == (2, 3)


def test_a_damaged_packed_log_tells_what_it_has_and_that_it_is_damaged(scan):
    text = "".join(f"{number} {os.urandom(8).hex()}\n" for number in range(9000))
    (scan.home / "old.log.gz").write_bytes(gzip.compress((CRASH + text).encode())[:-2000])
    done = scan("old.log.gz")
    assert done.exit_code == 2
    assert "? old.log.gz is damaged" in done.out
    assert re.search(r"1 incident in 1 file \([^)]*\), 1 read in part:\n", done.out)
    clean = scan.home / "clean.log.gz"
    clean.write_bytes(gzip.compress(text.encode())[:-2000])
    found = scan(clean)
    assert found.exit_code == 4
    assert "nothing found in what could be read in 1 file (" in found.out
    assert "nothing wrong" not in found.out
    assert [one["read_in_part"] for one in scan(clean, "--format", "json").json["unreadable"]] == [True]


def test_the_standard_input_is_read(scan):
    argv = [sys.executable, "-m", "runbook", "scan", "-", "--signatures", "signatures.yaml", "--format", "json"]
    done = subprocess.run(
        argv, cwd=scan.home, env=scan.cli.env, input=CRASH, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    root = json.loads(done.stdout)["incidents"][0]["root"]
    assert (root["path"], root["line_no"]) == ("-", 2)


def test_what_the_shell_opens_is_read(scan):
    script = f"{sys.executable} -m runbook scan <(printf '{CRASH}') --signatures signatures.yaml -q"
    done = subprocess.run(
        ["bash", "-c", script], cwd=scan.home, env=scan.cli.env, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (2, "")
    assert "test.flux" in done.stdout


def test_a_directory_is_read_with_all_below_it_once_in_spite_of_links(scan):
    scan.write("logs/a/one.log", CRASH)
    scan.write("logs/b/two.log", CRASH)
    scan.write("elsewhere/three.log", CRASH)
    (scan.home / "logs/a/round").symlink_to(scan.home / "logs")
    (scan.home / "logs/b/self").symlink_to(".")
    (scan.home / "logs/more").symlink_to(scan.home / "elsewhere")
    (scan.home / "logs/again.log").symlink_to("a/one.log")
    (scan.home / "logs/nothing.log").symlink_to("gone.log")
    document = scan("logs", "--format", "json").json
    assert document["files"] == 3
    assert document["incidents"][0]["count"] == 3
    assert document["unreadable"] == []


def test_a_file_that_is_named_twice_is_read_once(scan):
    scan.write("logs/bad.log", CRASH)
    assert scan("logs/bad.log", "logs", "logs/bad.log", "--format", "json").json["files"] == 1


def test_what_is_no_log_is_left_out_with_a_word(scan):
    scan.write("logs/bad.log", CRASH)
    os.mkfifo(scan.home / "logs/pipe")
    (scan.home / "logs/model.safetensors").write_bytes(b'{"a":1} flux capacitor empty')
    (scan.home / "logs/core").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(4000) + b"\nflux capacitor empty\n")
    (scan.home / "logs/noise").write_bytes(os.urandom(100_000))
    (scan.home / "logs/noise.gz").write_bytes(gzip.compress(os.urandom(100_000)))
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(scan.home / "logs")
        try:
            listening.bind("socket")
        finally:
            os.chdir(here)
        document = scan("logs", "--format", "json", timeout=30).json
    skipped = {Path(one["path"]).name: one["reason"].partition(":")[0] for one in document["skipped"]}
    assert skipped == {
        "core": "a program or a core dump",
        "model.safetensors": "a binary file",
        "noise": "a binary file",
        "noise.gz": "a binary file",
        "pipe": "a pipe",
        "socket": "a socket",
    }
    assert (document["files"], document["incidents"][0]["count"]) == (1, 1)


def test_a_pipe_that_is_named_is_not_waited_for(scan):
    os.mkfifo(scan.home / "pipe")
    done = scan("pipe", timeout=30)
    assert done.exit_code == 1
    assert (done.out, done.err) == ("", "error: pipe: a pipe: `cat FILE | runbook scan -` reads one\n")


def test_devices_and_the_kernels_files_are_left_out(scan):
    done = scan("/dev/zero", "/proc/self", timeout=30)
    assert done.exit_code == 1
    assert done.err == "error: /dev/zero: a device\n  /proc/self: not logs, but the kernel's own files\n"


def test_a_log_with_some_strange_bytes_is_a_log_still(scan):
    content = b"\x1b[31mstart\x1b[0m\r\n50%\r100%\r\n" + bytes(5000) + b"\nflux capacitor \x1b[1mempty\xff\xfe\n"
    (scan.home / "bad.log").write_bytes(content)
    (scan.home / "hole.log").write_bytes(bytes(100_000) + CRASH.encode())
    assert scan.incidents("bad.log") == ["test.flux"]
    assert scan.incidents("hole.log") == ["test.flux"]


def test_names_that_are_no_text_are_spelled_out(scan):
    name = os.fsencode(scan.home) + b"/logs/\xff\n\x1b[2J.log"
    (scan.home / "logs").mkdir()
    Path(os.fsdecode(name)).write_text(CRASH)
    shown = scan("logs", "--matches")
    assert shown.exit_code == 2
    assert "logs/\\udcff\\n\\x1b[2J.log:2" in shown.out
    path = scan("logs", "--format", "json", "--matches").json["matches"][0]["path"]
    assert os.fsencode(path) == b"logs/\xff\n\x1b[2J.log"
    assert scan("logs").err == ""  # the journal takes it, too


def test_an_engine_that_is_not_there_is_a_message(scan):
    scan.write("bad.log", CRASH)
    done = scan("bad.log", env={"RUNBOOK_SCANNER": "magic"})
    assert (done.exit_code, done.out) == (1, "")
    assert done.err.startswith("error: RUNBOOK_SCANNER=magic names no engine")


def test_patterns_that_the_shell_did_not_expand_are(scan):
    scan.write("logs/a/rank0.log", CRASH)
    scan.write("logs/b/rank1.log", CRASH)
    scan.write("logs/b/other.txt", CRASH)
    assert scan("logs/*/rank*.log", "--format", "json").json["files"] == 2
    assert scan("logs/**/*.txt", "--format", "json").json["files"] == 1
    assert scan("logs/*.none").err == "error: logs/*.none: nothing matches\n"


def test_of_directories_only_what_is_asked_for_is_read(scan):
    scan.write("logs/a/rank0.err", CRASH)
    scan.write("logs/a/rank0.out", CRASH)
    scan.write("logs/b/rank1.err", CRASH)
    assert scan("logs", "--only", "*.err", "--format", "json").json["files"] == 2
    assert scan("logs", "--only", "a/*", "--only", "*1.err", "--format", "json").json["files"] == 3


def test_what_cannot_be_read_is_named_and_the_rest_is_read(scan):
    scan.write("bad.log", CRASH)
    scan.write("good.log", "driving\n")
    found = scan("gone.log", "bad.log")
    assert found.exit_code == 2
    assert "? gone.log: there is no such file or directory\n" in found.out
    assert scan("gone.log", "good.log").exit_code == 4
    nothing = scan("gone.log", "nor-this.log")
    why = "there is no such file or directory"
    assert (nothing.exit_code, nothing.out) == (1, "")
    assert nothing.err == f"error: gone.log: {why}\n  nor-this.log: {why}\n"
    document = scan("gone.log", "--format", "json")
    unread = {"path": "gone.log", "reason": why, "read_in_part": False}
    assert (document.exit_code, document.json["unreadable"]) == (1, [unread])


def test_a_log_without_permission_is_named(scan):
    scan.write("logs/bad.log", CRASH).chmod(0o000)
    scan.write("logs/good.log", "driving\n")
    scan.write("logs/closed/bad.log", CRASH)
    (scan.home / "logs/closed").chmod(0o000)
    mortal = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    argv = [*mortal, sys.executable, "-m", "runbook", "scan"]

    def run(*words):
        return subprocess.run(
            [*argv, *words],
            cwd=scan.home, env=scan.cli.env, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    try:
        done = run("logs")
        named = run("logs/bad.log", "logs/good.log", "logs/closed/bad.log")
        alone = run("logs/bad.log")
    finally:
        (scan.home / "logs/closed").chmod(0o700)
    assert (done.returncode, done.stderr) == (4, "")
    assert "? logs/bad.log: permission denied\n" in done.stdout
    assert "? logs/closed: permission denied\n" in done.stdout
    assert done.stdout.endswith("2 could not be read:\nsee why above, and scan again\n")
    assert (named.returncode, named.stderr) == (4, "")
    assert "? logs/bad.log: permission denied\n? logs/closed/bad.log: permission denied\n" in named.stdout
    assert (alone.returncode, alone.stdout) == (1, "")
    assert alone.stderr == "error: logs/bad.log: permission denied\n"


def test_a_directory_without_logs_is_nothing_read(scan):
    (scan.home / "logs").mkdir()
    done = scan("logs")
    assert done.exit_code == 1
    assert done.err == "error: nothing was read: there is no log\n  name logs, or directories that hold some\n"


def test_only_the_last_lines_count_when_asked(scan):
    scan.write("bad.log", CRASH + "driving\n" * 50)
    assert scan("bad.log", "--last-lines", "50").exit_code == 0
    assert scan("bad.log", "--last-lines", "52", "--format", "json").json["incidents"][0]["root"]["line_no"] == 2


def test_only_what_was_written_since_counts_when_asked(scan):
    scan.write("bad.log", "2026-11-20T01:00:00 flux capacitor empty\n2026-11-21T01:00:00 time machine halted\n")
    assert scan.incidents("bad.log") == ["test.flux", "test.halt"]
    assert scan.incidents("bad.log", "--since", "2026-11-20T12:00") == ["test.halt"]
    assert scan("bad.log", "--since", "2026-11-22").exit_code == 0
    lately = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() - 5400))
    scan.write("late.log", f"{lately} flux capacitor empty\n")
    assert (scan("late.log", "--since", "2h").exit_code, scan("late.log", "--since", "1h").exit_code) == (2, 0)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "Missing argument 'LOG...'"),
        (["x", "--since", "yesterday"], "Invalid value for '--since'"),
        (["x", "--since", "2026-13-01"], "month must be in 1..12; such as 2026-11-20T10:00"),
        (["x", "--last-lines", "0"], "Invalid value for '--last-lines'"),
        (["x", "--signatures", "nothing.yaml"], "nothing.yaml: there is no such file"),
        (["x", "--format", "xml"], "'xml' is not one of"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_wrong_usage_is_a_message_and_exit_1(cli, words, told):
    done = cli("scan", *words)
    assert (done.exit_code, done.out) == (1, "")
    assert told in done.err


def test_ranks_of_one_run_are_one_incident_with_all_their_files(scan):
    for rank in range(3):
        scan.write(f"run/{rank}/stderr.log", f"2026-11-22 01:00:0{5 - rank} flux capacitor empty\n")
    scan.write("run/agent.log", "2026-11-22 01:00:09 time machine halted\n")
    (incident,) = scan("run", "--format", "json").json["incidents"]
    assert incident["root"]["path"] == "run/2/stderr.log"
    assert sorted(one["path"] for one in incident["files"]) == [f"run/{rank}/stderr.log" for rank in range(3)]
    assert [one["signature"] for one in incident["cascades"]] == ["test.halt"]


def test_ranks_without_times_belong_together(scan):
    scan.write("run/0/stderr.log", "time machine halted\n")
    scan.write("run/1/stderr.log", "flux capacitor empty\n")
    assert scan.incidents("run") == ["test.flux"]


def test_runs_that_ended_at_other_times_do_not_belong_together(scan):
    scan.write("logs/1.out", "time machine halted\n")
    scan.write("logs/2.out", "flux capacitor empty\n")
    assert scan.incidents("logs") == ["test.flux"]
    os.utime(scan.home / "logs/1.out", (0, time.time() - 3600))
    assert scan.incidents("logs") == ["test.flux", "test.halt"]


def test_the_bundled_catalogue_names_the_root_of_a_run(cli):
    cli.write(
        "train.log",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79 GiB\n"
        "torch.distributed.elastic.multiprocessing.errors.ChildFailedError:\n",
    )
    document = cli.json("scan", "train.log").json
    assert document["incidents"][0]["signature"] == "cuda.oom"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_tells_what_was_found_so_far(scan, number):
    scan.write("one.log", CRASH)
    scan.write("two.log", "time machine halted\n")
    words = ["one.log", "two.log", "-", "--matches", "--signatures", "signatures.yaml"]
    env = {**scan.cli.env, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "runbook", "scan", *words],
        cwd=scan.home, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as scanning:  # fmt: skip
        while not scanning.stdout.readline().startswith("two.log"):
            pass  # behind it, it waits for the input
        scanning.send_signal(number)
        out, err = scanning.communicate(timeout=60)
    assert (scanning.returncode, err) == (130, "")
    assert "test.flux" in out
    assert "stopped, 1 incident in " in out


@pytest.mark.parametrize("text", [CRASH, "driving\nconsider plutonium\n"])
def test_an_interrupt_tells_what_was_found_in_the_file_that_was_being_read(scan, text):
    words = ["-", "--matches", "--signatures", "signatures.yaml"]
    with subprocess.Popen(
        [sys.executable, "-m", "runbook", "scan", *words],
        cwd=scan.home, env={**scan.cli.env, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as scanning:  # fmt: skip
        for given in (text, "consider plutonium\n"):  # once the second is told, the first was taken in
            scanning.stdin.write(given)
            scanning.stdin.flush()
            for _ in range(given.count("empty") + given.count("halted") + given.count("plutonium")):
                assert scanning.stdout.readline().startswith("standard input:")
        scanning.send_signal(signal.SIGINT)
        out, err = scanning.communicate(timeout=60)
    assert (scanning.returncode, err) == (130, "")
    if text == CRASH:
        assert "test.flux" in out
        assert "stopped, 1 incident in 1 file (" in out
    else:
        assert out.startswith("stopped before any file was read to its end:\nnothing found so far (")
        assert "nothing wrong" not in out


def test_the_oom_of_a_job_in_the_kernels_log_and_in_its_own_is_one_incident(cli):
    kernel = (
        "2026-11-22T02:10:01.1+00:00 n1 kernel: oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,"
        "mems_allowed=0-1,oom_memcg=/slurm/uid_1000/job_{0},task_memcg=/slurm/uid_1000/job_{0}/step_0,task=python,"
        "pid=91012,uid=1000\n"
    )
    cli.write("one/kern.log", kernel.format(4211))
    cli.write(
        "one/slurm-4211.out",
        "epoch 3/3: loss 1.9\nslurmstepd: error: Detected 1 oom_kill event in StepId=4211.batch. "
        "Some of the step tasks have been OOM Killed.\n",
    )
    assert [one["signature"] for one in cli.json("scan", "one").json["incidents"]] == ["kmsg.oom_context"]
    cli.write("one/kern.log", kernel.format(4212))
    assert len(cli.json("scan", "one").json["incidents"]) == 2
    cli.write(
        "two/job.err",
        "epoch 3/3: loss 1.9\nslurmstepd: error: Detected 1 oom_kill event in the step. "
        "Some of the step tasks have been OOM Killed.\n"
        "slurmstepd: error: *** STEP 4211.0 ON n1 CANCELLED AT 2026-11-22T02:10:11 ***\n",
    )
    cli.write("two/kern.log", kernel.format(4211))
    cli.env["TZ"] = "UTC"
    assert [one["signature"] for one in cli.json("scan", "two").json["incidents"]] == ["kmsg.oom_context"]


def test_the_list_of_matches_names_the_code_of_an_xid_and_its_gpu(cli):
    line = "NVRM: Xid (PCI:0000:3B:00): 79, pid=1, name=python, GPU has fallen off the bus."
    cli.write("kern.log", line + " " + "x" * 900 + "\n")
    shown = cli("scan", "kern.log", "--matches", "-q").out.splitlines()[0]
    assert shown.startswith(f"kern.log:1: kmsg.xid 79 on GPU 0000:3b:00 (root): {line}")
    assert len(shown) < 300
    (match,) = [
        one for one in cli.json("scan", "kern.log", "--matches").json["matches"] if one["signature"] == "kmsg.xid"
    ]
    assert (match["xid"], match["gpu"], match["line"][: len(line)]) == (79, "0000:3b:00", line)
    assert len(match["line"]) == 400


def test_the_standard_input_has_one_name_for_people(scan):
    argv = [sys.executable, "-m", "runbook", "scan", "-", "--signatures", "signatures.yaml", "--matches"]
    done = subprocess.run(
        argv, cwd=scan.home, env=scan.cli.env, input=CRASH, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.startswith("standard input:2: test.flux")
    assert "where   standard input:2\n" in done.stdout


def test_a_reader_that_leaves_ends_it_quietly(scan):
    scan.write("bad.log", CRASH * 100_000)
    script = f"{sys.executable} -m runbook scan bad.log --matches --signatures signatures.yaml | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],
        cwd=scan.home, env=scan.cli.env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == (
        "bad.log:2: test.flux (root): flux capacitor empty\n",
        "",
        141,
    )
