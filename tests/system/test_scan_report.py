"""What `runbook scan` shows, to the letter: it is read at night, on a terminal of 80 columns."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

SIGNATURES = """\
signatures:
  - id: test.flux
    title: the flux capacitor is empty
    pattern: 'flux capacitor empty'
    severity: high
    category: hardware
    role: root
    causes: [test.halt, test.child]
    meaning: Nothing moves in time without it, and it loses a little each day even where nobody drives at all.
    advice: Fill it with 1.21 gigawatts (`plutonium --fill`), then start the run again from its last checkpoint.
  - id: test.halt
    title: the time machine stopped
    pattern: 'time machine halted'
    severity: medium
    category: unknown
    role: cascade
  - id: test.child
    title: the launcher gave up
    pattern: 'launcher gave up'
    severity: medium
    category: unknown
    role: cascade
  - id: test.rust
    title: rust
    pattern: 'rust on the door'
    severity: low
    category: hardware
    role: root
    meaning: It is old.
    advice: Oil it.
"""
ESCAPE = re.compile(r"\x1b\[[\d;]*m")


@pytest.fixture
def scan(cli):
    known = cli.write("signatures.yaml", SIGNATURES)
    cli.env |= {"XDG_CONFIG_HOME": str(cli.home / "config"), "TZ": "UTC"}

    def run(*words, **more):
        done = cli("scan", *words, "--signatures", known, **more)
        return re.sub(r", [\d.]+m?s\)", ", TIME)", done.out)

    run.cli, run.write, run.home = cli, cli.write, cli.home
    return run


def test_an_incident_says_what_where_why_and_what_to_do(scan):
    scan.write("run/rank0.log", "step 1\nstep 2\ntime machine halted\n")
    scan.write(
        "run/rank1.log",
        "2026-11-22 01:02:01 step 1\n2026-11-22 01:02:02 step 2\n"
        "2026-11-22 01:02:03 flux capacitor empty: " + "it needs 1.21 gigawatts and has 0.00 gigawatts, " * 3 + "bye\n"
        "2026-11-22 01:02:09 time machine halted\n2026-11-22 01:02:10 cleaning up\n2026-11-22 01:02:11 bye\n",
    )
    scan.write("run/launch.log", "2026-11-22 01:02:12 launcher gave up\n2026-11-22 01:02:13 launcher gave up\n")
    assert (
        scan("run")
        == """\
✘ the flux capacitor is empty                                   high · test.flux
  where   run/rank1.log:3 at 2026-11-22 01:02:03
          1 │ 2026-11-22 01:02:01 step 1
          2 │ 2026-11-22 01:02:02 step 2
          3 │ 2026-11-22 01:02:03 flux capacitor empty: it needs 1.21 gigawatts
            │ and has 0.00 gigawatts, it needs 1.21 gigawatts and has 0.00
            │ gigawatts, it needs 1.21 gigawatts and has 0.00 gigawatts, bye
          4 │ 2026-11-22 01:02:09 time machine halted
          5 │ 2026-11-22 01:02:10 cleaning up
  means   Nothing moves in time without it, and it loses a little each day even
          where nobody drives at all.
  do      Fill it with 1.21 gigawatts (`plutonium --fill`), then start the run
          again from its last checkpoint.
  led to  test.halt: the time machine stopped (run/rank1.log:4, 2 times in 2
          files)
          test.child: the launcher gave up (run/launch.log:1, 2 times)

1 incident in 3 files (11 lines, 448 B, TIME):
`runbook doc test.flux` says more
"""
    )


def test_what_was_printed_above_the_root_did_not_follow_from_it(scan):
    scan.write("bad.log", "time machine halted\nflux capacitor empty\nlauncher gave up\n")
    shown = scan("bad.log")
    assert "  led to  test.child: the launcher gave up (bad.log:3)\n" in shown
    assert "  earlier test.halt: the time machine stopped (bad.log:1)\n" in shown
    assert scan("bad.log", "-q").endswith("bad.log:2, led to test.child\n")
    told = scan.cli.json("scan", "bad.log", "--signatures", "signatures.yaml").json["incidents"][0]
    assert {one["signature"]: one["earlier"] for one in told["cascades"]} == {"test.halt": True, "test.child": False}


def test_an_incident_is_shown_as_bad_as_the_worst_in_it(scan):
    scan.write("signatures.yaml", SIGNATURES.replace("severity: medium", "severity: critical"))
    scan.write("bad.log", "flux capacitor empty\ntime machine halted\n")
    scan.write("other.log", "rust on the door\n")
    shown = scan("bad.log", "other.log")
    assert shown.startswith("✘ the flux capacitor is empty                               critical · test.flux\n")
    assert "2 incidents (1 critical, 1 low) in 2 files" in shown
    assert scan("bad.log", "-q").startswith("✘ critical test.flux: ")


def test_several_files_and_times_are_summed_up(scan):
    for rank in range(6):
        scan.write(f"run/rank{rank}.log", f"2026-11-22 01:00:0{rank} flux capacitor empty\n" * 2)
    shown = scan("run")
    assert (
        """\
  where   run/rank0.log:1 at 2026-11-22 01:00:00, the first of 12 in 6 files,
          the last at 01:00:05
"""
        in shown
    )
    assert "  also    run/rank1.log:1, run/rank2.log:1, run/rank3.log:1 and 2 files more\n" in shown
    assert "run/rank5.log:1" in scan("run", "-v")


def test_several_incidents_stand_in_order_of_cause(scan):
    scan.write("bad.log", "rust on the door\n" + "driving\n" * 5000 + "flux capacitor empty\ntime machine halted\n")
    shown = scan("bad.log")
    assert shown.index("test.flux") < shown.index("test.rust")
    assert shown.endswith("""\
2 incidents (1 high, 1 low) in 1 file (5003 lines, 40 kB, TIME):
begin with the first, `runbook doc test.flux` says more
""")


def test_quiet_is_a_line_for_each_incident(scan):
    scan.write("bad.log", "2026-11-22 01:00:00 flux capacitor empty\n" * 2)
    scan.write("old.log", "rust on the door\n")
    assert (
        scan("bad.log", "old.log", "-q")
        == """\
✘ 2026-11-22 01:00:00 high test.flux: the flux capacitor is empty, bad.log:1, 2 times
- low test.rust: rust, old.log:1
"""
    )


def test_quiet_says_nothing_of_a_clean_log(scan):
    scan.write("good.log", "driving\n")
    assert scan("good.log", "-q") == ""


def test_quiet_names_what_could_not_be_read(scan):
    scan.write("good.log", "driving\n")
    assert scan("good.log", "gone.log", "-q").startswith("? gone.log: there is no such file or directory\n")


def test_ranks_are_named_and_those_that_are_silent(scan):
    for rank in (0, 1, 3):
        scan.write(f"rank{rank}.log", f"[rank{rank}]: flux capacitor empty\n" * 30 + "time machine halted\n")
    logs = ("rank0.log", "rank1.log", "rank3.log")
    assert "\n  who     ranks 0-1, 3, not 2\n" in scan(*logs, "--no-journal")
    assert ", 90 times, ranks 0-1, 3, not 2, led to test.halt" in scan(*logs, "--no-journal", "--quiet")
    document = json.loads(scan(*logs, "--no-journal", "--format", "json"))
    assert [one["ranks"] for one in document["incidents"]] == [[0, 1, 3]]


def test_what_lines_around_the_root_begin_with_as_it_does_is_left_out(scan):
    lead = "(EngineCore pid=4121) ERROR 11-22 06:01:58 [core.py:400] "
    log = scan.write("deep.log", f"{lead}hidden_states = model(batch, cache)\n{lead}flux capacitor empty\nshort\n")
    rows = [row for row in scan(log, "--no-journal").splitlines() if "│" in row]
    assert [row[12:] for row in rows] == [
        "│ … hidden_states = model(batch, cache)",
        "│ (EngineCore pid=4121) ERROR 11-22 06:01:58 [core.py:400] flux",
        "│ capacitor empty",
        "│ short",
    ]


def test_a_long_line_is_cut_around_what_matched(scan):
    log = scan.write("long.log", "start " * 500 + "flux capacitor empty " + "end " * 500 + "\n")
    shown = scan(log, "--no-journal").splitlines()
    rows = [line[12:] for line in shown if line.startswith(("            │", "          1 │"))]
    assert any("flux capacitor empty" in row for row in rows)
    assert (rows[0][:3], rows[-1][-1]) == ("│ …", "…")
    assert len(rows) <= 5


def test_context_is_as_long_as_asked(scan):
    scan.write("bad.log", "".join(f"step {number}\n" for number in range(9)) + "flux capacitor empty\n")
    assert "step" not in scan("bad.log", "--context", "0")
    assert re.findall(r"│ step (\d)", scan("bad.log", "--context", "4")) == ["5", "6", "7", "8"]


def test_what_a_log_says_cannot_move_the_cursor(scan):
    evil = "\x1b]0;owned\x07\x1b[2J\x08\u202e flux capacitor empty \x9b31m\tend"
    scan.write("bad.log", f"above \x1b[1A\x9bA\n{evil}\nbelow\x07\n")
    scan.write("evil\x1b[2J.log", "flux capacitor empty\n")
    for words in (["bad.log"], ["bad.log", "-q"], ["evil\x1b[2J.log", "--matches"], ["gone\x1b[2J", "bad.log"], ["."]):
        shown = scan(*words)
        assert not [one for one in shown if not one.isprintable() and one != "\n"], words


def test_where_nothing_but_ascii_can_be_shown_it_is(scan):
    scan.write("bad.log", "flux capacitor empty ✘ 字\n")
    shown = scan("bad.log", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert shown.isascii()
    assert "flux capacitor empty x \\u5b57" in shown


def test_what_was_skipped_is_counted_and_named_when_asked(scan):
    scan.write("logs/good.log", "driving\n")
    for number in range(5):
        scan.write(f"logs/{number}.pt", "weights")
    assert "- 5 files skipped: 5 a binary file (-v names them)\n" in scan("logs")
    assert scan("logs", "-v").count("skipped, a binary file") == 5


def on_terminal(cli, columns, *words):
    """Run on a terminal so wide, and return what it shows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = {**cli.env, "TERM": "xterm"}
    for name in ("NO_COLOR", "COLUMNS"):
        env.pop(name, None)
    with subprocess.Popen(
        [sys.executable, "-m", "runbook", "scan", *words], cwd=cli.home, env=env,
        stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
    ) as running:  # fmt: skip
        os.close(theirs)
        shown = b""
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # the other end was closed
                break
            if not chunk:
                break
            shown += chunk
        running.wait(30)
    os.close(ours)
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_terminal_gets_colours_and_lines_that_fit(scan, columns):
    scan.write(
        "some/where/deep/in/a/tree/bad.log",
        "driving " * 60 + "\nflux capacitor empty " + "x" * 300 + "\n字" * 50 + "\n",
    )
    shown = on_terminal(scan.cli, columns, "some", "--signatures", "signatures.yaml")
    assert "\x1b[31m✘\x1b[0m" in shown
    plain = ESCAPE.sub("", shown)
    wide = [line.replace("\x1b[K", "") for line in plain.splitlines()]  # what it was reading stands there no more
    wide = [line for line in wide if len(line) + sum(one == "字" for one in line) > columns]
    assert wide == []


def test_a_terminal_shows_what_is_being_read_when_it_takes_long(scan):
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "runbook", "scan", "-", "--signatures", "signatures.yaml"]
    env = {**scan.cli.env, "TERM": "xterm"}
    with subprocess.Popen(
        argv, cwd=scan.home, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=theirs
    ) as running:
        os.close(theirs)
        shown = b""
        while b"reading the standard input: " not in shown:  # it waits for us as we wait for it
            shown += os.read(ours, 65536)
        out, _ = running.communicate(b"flux capacitor empty\n", timeout=30)
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:  # the other end was closed
            pass
    os.close(ours)
    assert shown.endswith(b"\r\x1b[K")
    assert b"test.flux" in out
    assert b"reading" not in out
