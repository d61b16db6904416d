"""Orphans as they are named for a signal: what ended since they were found is left out."""

from __future__ import annotations

from runbook.modules.daemons.orphans import targets
from runbook.modules.daemons.processes import Table
from runbook.modules.host import Host, Process


def process(pid):
    return Process(pid=pid, parent=1, started=7, state="S", uid=0, argv=("worker",))


def test_an_orphan_that_ended_since_it_was_found_is_no_target():
    left, ended = process(101), process(102)
    now = Table(by_pid={101: left}, children={}, ours=frozenset())
    assert [one.pid for one in targets(Host(), now, (), [left, ended])] == [101]
