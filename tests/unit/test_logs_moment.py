"""When a line was written, by what it begins with."""

import time

import pytest

from runbook.modules.logs.moment import written

NOW = 1_769_900_000.0  # 2026-01-31T22:53:20Z


@pytest.fixture(autouse=True)
def _utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("line", "moment"),
    [
        ("2026-01-31T12:00:01Z step 1", 1769860801),
        ("2026-01-31T12:00:01.500+01:00 x", 1769857201.5),
        ("[2026-01-31 12:00:01,250] INFO", 1769860801.25),
        ("[rank0]:[E131 12:00:01.5 ProcessGroupNCCL.cpp:616] x", None),
        ("2026/01/31 12:00:01 [error]", 1769860801),
        ("Jan 31 12:00:01 node1 kernel: NVRM", 1769860801),
        ("[Sat Jan 31 12:00:01 2026] NVRM: Xid", 1769860801),
        ("Dec 31 12:00:01 node1 kernel: last year's", 1767182401),
        ("E0131 12:00:01.500000 123 x.cc:1] y", 1769860801.5),
        ("INFO 01-31 12:00:01 [core.py:5] vLLM", 1769860801),
        ('10.0.0.1 - - [31/Jan/2026:12:00:01 +0000] "GET /"', 1769860801),
        ("1769860801.25 epoch", 1769860801.25),
        ("99/99/2026 nothing", None),
        ("2026-02-31T12:00:01Z no such day", None),
        ("step 12:00:01 of nothing", None),
        ("", None),
        ("x" * 1000 + " 2026-01-31T12:00:01Z", None),
    ],
)
def test_the_time_a_line_begins_with(line, moment):
    assert written(line, NOW) == moment


def test_a_time_without_a_zone_is_the_hosts_own(monkeypatch):
    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    assert written("2026-01-31 12:00:01 x", NOW) == 1769860801 - 7200
