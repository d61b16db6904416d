"""A log is rotated every 50 ms while it is written, and the scanner is killed at random: every line once."""

import json
import os
import subprocess
import sys

import log_torture
import pytest

LINES = int(os.environ.get("RUNBOOK_TEST_LINES", "8000"))  # 200000 is the full size


@pytest.mark.timeout(60 + LINES // 1000)
@pytest.mark.parametrize("method", ["rename", "copytruncate", "recreate", *log_torture.PACKERS, "any"])
def test_every_line_that_rotation_has_left_comes_up_once_though_the_scanner_is_killed(method):
    seconds = LINES / 8000  # at full size 25 s, in which it is rotated some 400 times
    argv = [log_torture.__file__, method, f"--lines={LINES}", f"--seconds={seconds}", "--seed=3"]
    done = subprocess.run(
        [sys.executable, *argv, *(["--glob"] if method == "any" else [])], capture_output=True, text=True, check=False
    )
    told = json.loads(done.stdout or "{}")
    assert told, done.stderr
    assert (told["lost"], told["twice"]) == ([], []), told
    assert told["kills"] > 2
    assert told["rotations"] > 2
    assert told["standing"] >= 100
