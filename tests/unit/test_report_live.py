"""The moving line of a terminal: it shows what takes a while, and leaves nothing behind."""

import io
import re

import pytest

from runbook.engine.journal.facts import Fact
from runbook.engine.report.live import Live
from runbook.engine.report.text import TextReporter


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def fact(kind, **data):
    return Fact(kind, 1000.0, "r1", "localhost", "server down", "vllm", "i1", data=data)


def test_a_step_in_hand_is_shown_until_it_ends(terminal):
    live = Live(terminal)
    live.follow(fact("step.begun", title="restart vllm"))
    live.update("localhost", "restart vllm", "waiting for the port")
    live.follow(fact("step.ended", title="restart vllm"))
    assert "server down: restart vllm" in terminal.getvalue()
    assert terminal.getvalue().count("\x1b[?25l") == terminal.getvalue().count("\x1b[?25h") == 1


def test_a_step_that_knows_how_far_it_is_has_a_bar(terminal):
    live = Live(terminal)
    live.follow(fact("step.begun", title="download"))
    live.update("localhost", "download", "1.5 GB of 3 GB", share=0.5)
    live.hide()
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    assert re.search(r"━{6}.*server down: download: 1.5 GB of 3 GB", shown)


def test_a_step_that_does_not_know_has_none(terminal):
    live = Live(terminal)
    live.follow(fact("step.begun", title="download"))
    live.update("localhost", "download", "1.5 GB of 3 GB")
    live.hide()
    assert "━" not in terminal.getvalue()


def test_a_verification_is_shown(terminal):
    live = Live(terminal)
    live.follow(fact("incident.changed", to="verifying"))
    live.hide()
    assert "server down: looking whether it is cured" in terminal.getvalue()


def test_host_text_in_the_moving_line_is_harmless(terminal):
    reporter = TextReporter(terminal)
    reporter.fact(Fact("run.begun", 1000.0, "r1", data={"runbook": "x", "hosts": ["localhost"]}))
    reporter.fact(fact("step.begun", title="a\x1b]0;owned\x07[red]"))
    reporter.progress("localhost", "a\x1b]0;owned\x07[red]", "b\x1b]0;owned\x07")
    reporter.fact(fact("step.ended", title="a\x1b]0;owned\x07[red]"))
    reporter.finish()
    assert "\x1b]0" not in terminal.getvalue()
    assert r"a\x1b]0;owned\x07[red]" in terminal.getvalue()


def test_nothing_moves_where_nobody_looks(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    reporter = TextReporter(terminal)
    reporter.fact(fact("step.begun", title="restart vllm"))
    assert terminal.getvalue() == ""
