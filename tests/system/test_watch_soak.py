"""The short form of `bench/soak.py`: faults and troubles in a world of a few hosts, at a hundred times normal speed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).resolve().parents[2] / "bench" / "soak.py"


def test_no_fault_is_missed_none_is_acted_on_twice_and_nothing_is_left_behind():
    """It takes 20 s and what its healing takes: the long form takes a quarter of an hour."""
    argv = [sys.executable, str(SOAK), "--minutes", "0.33", "--hosts", "3", "--rate", "1.5", "--seed", "7"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "acted on" in done.stdout
