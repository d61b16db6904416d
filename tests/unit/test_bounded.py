"""A question in a process of its own: it is ended in time, and does not outlive whoever asked."""

import os
import re
import signal
import subprocess
import sys
import time

from runbook.engine.fleet.bounded import within

ENDLESS = "(a+)+$", "a" * 64 + "b"


def test_an_answer_comes_back():
    assert within(5.0, lambda: True) is True
    assert within(5.0, lambda: False) is False


def test_a_question_that_takes_too_long_has_no_answer():
    assert within(0.2, lambda: bool(re.match(*ENDLESS))) is None


def test_a_question_ends_though_its_asker_was_killed(tmp_path):
    code = (
        "import os, re, sys\nfrom runbook.engine.fleet.bounded import within\n"
        "def question():\n    print(os.getpid(), flush=True)\n    return bool(re.match('(a+)+$', 'a' * 64 + 'b'))\n"
        "within(0.5, question)\n"
    )
    asker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(asker.stdout.readline())
    asker.kill()
    asker.communicate()
    deadline = time.monotonic() + 20
    try:
        while os.path.exists(f"/proc/{child}"):  # noqa: PTH110 -- a name of the kernel's
            assert time.monotonic() < deadline, "it goes on without its asker, with its locks"
            time.sleep(0.02)
    finally:
        if time.monotonic() >= deadline:
            os.kill(child, signal.SIGKILL)
