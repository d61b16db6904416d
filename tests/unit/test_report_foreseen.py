"""What `--yes` is about to allow on many hosts, before it is done."""

from runbook.engine.report import foreseen
from runbook.engine.report.gather import Gather
from runbook.engine.report.paint import Paint
from tests.unit.many_hosts import begun, fact, names, opened


def waiting(host, number, module, **step):
    about = (f"{number:08x}", "disk full", "/data")
    yield opened(host, 0.0, about)
    yield fact("step.ended", 0.1, host, about, module=module, title=module, status="planned", phase="recover", **step)
    yield fact("incident.changed", 0.2, host, about, to="waiting", reason="waits for approval")


def test_it_counts_recoveries_and_tells_each_step_with_its_impact_and_its_hosts_the_worst_first():
    gather = Gather()
    hosts = names(64)
    gather.add(begun(hosts, check=True))
    for number, host in enumerate(hosts[:14]):
        for one in waiting(host, number, "restart_daemon" if number < 3 else "clear_cache"):
            gather.add(one)
    assert list(foreseen.lines(Paint(), gather.report())) == [
        "--yes allows 14 recoveries on 14 hosts:",
        "  ! clear_cache (destructive) on 11 hosts: gpu04-gpu14",
        "  ! restart_daemon (disruptive) on 3 hosts: gpu01-gpu03",
    ]


def test_it_says_nothing_where_nothing_would_wait():
    gather = Gather()
    gather.add(begun(names(3), check=True))
    assert list(foreseen.lines(Paint(), gather.report())) == []
