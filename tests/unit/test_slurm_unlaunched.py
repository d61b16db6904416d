"""Jobs that Slurm could not launch: called cancelled or pending, and nobody's doing but a node's."""

from __future__ import annotations

import pytest
from test_slurm_versions import END, START, sacct, squeue

from runbook.modules.golden.host import FakeHost
from runbook.modules.host import Completed
from runbook.modules.probes.slurm import Slurm

DRAINED = "gpu01|gpu01|drained|{since}|{why}\ngpu02|gpu02|idle|Unknown|none\n"


def look(queue="", accounts="", why="Prolog error", since=START, state=None):
    """Look at a Slurm of two nodes, of which one was drained."""

    class Cluster(FakeHost):
        def run(self, *argv, **_):
            told = {"squeue": queue, "sacct": accounts, "sinfo": DRAINED.format(since=since, why=why)}
            return Completed(0, told[argv[0]]) if argv[0] in told else Completed(1, "", "Invalid job id specified")

    host = Cluster(
        answers={"which": dict.fromkeys(("squeue", "sacct", "scontrol", "sinfo"), "/x"), "now": END + 60.0},
        remembered=state or {"began": START - 3600.0}, env={"PATH": "/usr/bin"},
    )  # fmt: skip
    host.uid = lambda: 0
    return list(Slurm(healthy=False).look(host)), host


def cancelled(by, **told):
    given = {"User": "nobody", "State": f"CANCELLED by {by}", "Start": str(START), "End": str(START + 1)}
    return sacct("7", **{**given, "ElapsedRaw": "1", "NodeList": "gpu[01-02]", **told})


@pytest.mark.parametrize("why", ["Prolog error", "batch job complete failure", "Duplicate jobid"])
def test_a_job_that_could_not_be_launched_is_its_nodes_and_that_node_is_named(why):
    (record,), _ = look(accounts=cancelled("0"), why=why)
    assert (record.verdict, record.state, record.ill_nodes) == ("node", "cancelled", ("gpu01",))
    assert record.evidence == ("CANCELLED 0:0", f"gpu01: {why}, as it was to start there")


@pytest.mark.parametrize(
    ("told", "where"),
    [
        (cancelled("65534"), {}),  # its own user's doing
        (cancelled("0"), {"since": START - 3600}),  # on a node that was drained long before
        (cancelled("0"), {"why": "a person's reason"}),
        (cancelled("0", ElapsedRaw="600"), {}),  # it ran
        (cancelled("0", Start="Unknown", ElapsedRaw="0"), {}),  # it never came so far
        (cancelled("0", NodeList="gpu02"), {}),
        (cancelled("0") + sacct("7.batch", MaxRSS="100M", State="CANCELLED"), {}),
    ],
)
def test_a_cancelled_job_is_a_persons_where_it_could_have_been_launched(told, where):
    (record,), _ = look(accounts=told, **where)
    assert record.verdict == "human"


@pytest.mark.parametrize(("by", "verdict"), [("0", "unknown"), ("65534", "human")])
def test_a_job_that_slurm_cancelled_with_what_it_waited_for_is_told_and_a_persons_is_not(by, verdict):
    told = cancelled(by, Reason="DependencyNeverSatisfied", Start="Unknown", NodeList="None assigned", ElapsedRaw="0")
    (record,), _ = look(accounts=told)
    assert record.verdict == verdict


@pytest.mark.parametrize("reason", ["launch failed requeued held", "launch_failed_requeued_held", "JobHoldMaxRequeue"])
def test_a_job_that_slurm_holds_for_ever_is_told_and_no_longer_when_it_is_released(reason):
    (record,), host = look(queue=squeue("7", "PENDING", reason=reason))
    assert (record.verdict, record.state, record.ended) == ("unknown", "pending", None)
    assert record.evidence == (f"PENDING ({reason})", "held: `scontrol release 7`")
    (record,), _ = look(queue=squeue("7", "PENDING", reason="Priority"), state=host.kept)
    assert (record.verdict, record.reason) == (None, "Priority")


@pytest.mark.parametrize("reason", ["JobHeldUser", "JobHeldAdmin", "Dependency", "BeginTime", "Resources"])
def test_a_job_that_a_person_holds_or_that_has_its_turn_later_is_no_fault(reason):
    assert look(queue=squeue("7", "PENDING", reason=reason))[0] == []
