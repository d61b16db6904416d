"""What is to be seen of many hosts on a terminal while a pass runs."""

import io
import os
import pty
import re
import subprocess
import sys

import pytest

from runbook.engine.report import words
from runbook.engine.report.board import Board
from runbook.engine.report.gather import Gather
from runbook.engine.report.paint import Paint
from runbook.engine.report.passes import HostReport
from runbook.engine.report.screen import Screen
from tests.unit.many_hosts import a_pass, begun, fact, names


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def following(facts, clock):
    board, gather = Board(io.StringIO(), Paint(), clock), Gather()
    for one in facts:
        gather.add(one)
        if one.kind == "run.begun":
            board.begin("gpu-health", one.data["hosts"])
        elif one.host:
            board.follow(one, gather.host(one))
    return board


def test_hosts_at_work_come_first_then_what_is_wrong_and_the_rest_is_counted(clock):
    hosts = names(20)
    facts = [
        begun(hosts),
        *(fact("host.looked", 0.1, host) for host in hosts[:15]),
        fact("look.unknown", 0.1, "gpu02", detector="disk", reason="timed out"),
        *(fact("host.unreachable", 0.1, host, reason=f"{host}: no route") for host in hosts[15:18]),
        fact("step.begun", 1.0, "gpu01", ("i1", "server down", "vllm"), title="restart vllm"),
    ]
    board = following(facts, clock)
    board.update("gpu01", "restart vllm", "waiting for the port", share=0.5)
    clock.now = 72.0
    assert board.lines(80, 24) == [
        "gpu-health                                                                1m12s",
        "  ✔ 13 well  ? 1 unknown  ! 3 unreachable  … 1 at work",
        "… gpu01    server down: restart vllm: waiting for the port    █████░░░░░  1m12s",
        "! 3 hosts  gpu18: no route",
        "? gpu02    disk: timed out",
        "  awaited: 2 hosts, gpu19, gpu20",
    ]
    board.end()


@pytest.mark.parametrize(("columns", "rows"), [(60, 15), (80, 24), (200, 50), (40, 8), (20, 3)])
def test_five_hundred_hosts_fit_whatever_the_terminal(clock, columns, rows):
    board = following(a_pass(500), clock)
    for host in names(500)[:300]:
        board.follow(fact("attempt.begun", 0, host, operation="download", title="hf_download"), HostReport(host))
    board.end()
    lines = board.lines(columns, rows)
    assert len(lines) < rows
    assert all(words.width(line) < columns for line in lines)


def test_a_frame_is_drawn_in_place_and_nothing_is_left_at_the_end():
    stream = io.StringIO()
    screen = Screen(stream)
    screen.draw(["one", "two"], (80, 24))
    screen.draw(["one", "three"], (80, 24))
    screen.draw(["one"], (60, 15))
    screen.leave()
    screen.leave()
    text = stream.getvalue()
    assert text.count("\x1b[?1049h") == text.count("\x1b[?1049l") == 1
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1
    frames = text.split("\x1b[?2026h")[1:]
    assert "\x1b[2J" not in frames[1]  # nothing flickers
    assert frames[1].startswith("\x1b[Hone\x1b[K\nthree\x1b[K\x1b[J")
    assert frames[2].startswith("\x1b[H\x1b[J\x1b[H")  # a terminal of another size is cleared first


PROGRAM = """
import sys, time
from runbook.engine.journal.facts import Fact
from runbook.engine.report import board
from runbook.engine.report.text import TextReporter
board._MOMENT = 0.0
told = TextReporter(sys.stdout)
told.fact(Fact("run.begun", 1.0, "r1", data={"runbook": "x", "hosts": ["a", "b"]}))
time.sleep(0.5)
print("a warning", file=sys.stderr)
if sys.argv[1] == "dies":
    sys.exit(3)
told.fact(Fact("host.unreachable", 2.0, "r1", "a", data={"reason": "no route"}))
told.fact(Fact("host.looked", 2.0, "r1", "b"))
told.finish()
"""


@pytest.mark.parametrize("how", ["ends", "dies"])
def test_the_terminal_is_given_back_and_what_stderr_was_told_is_not_lost(how):
    main, other = pty.openpty()
    command = [sys.executable, "-c", PROGRAM, how]
    with subprocess.Popen(
        command, stdin=other, stdout=other, stderr=other, env={**os.environ, "TERM": "xterm"}
    ) as child:
        os.close(other)
        text = b""
        while True:
            try:
                text += os.read(main, 65536)
            except OSError:
                break
    os.close(main)
    before, _, after = text.decode().partition("\x1b[?1049l")
    assert before.count("\x1b[?1049h") == 1
    assert "awaited: 2 hosts, a, b" in before
    assert "a warning\r\n" in after
    if how == "ends":
        shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", after)
        assert re.search(r"! a +unreachable\r\n    why   no route", shown)
    assert child.returncode == (3 if how == "dies" else 0)
