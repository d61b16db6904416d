"""Not waiting longer than one wants to."""

import threading
import time

import pytest

from runbook.modules.outwait import outwait


def test_what_a_call_returns_or_raises_comes_through():
    assert outwait(lambda: 7, 5) == 7
    with pytest.raises(ZeroDivisionError):
        outwait(lambda: 1 // 0, 5)


def test_a_call_that_takes_longer_is_left_behind():
    over = threading.Event()
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        outwait(over.wait, 0.05)
    assert time.monotonic() - begun < 2
    over.set()
