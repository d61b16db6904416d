"""Order of cause: which of the things that were seen led to which others."""

import itertools
import sys
import time
from dataclasses import dataclass

import pytest

from runbook.engine.detect import cascade
from runbook.engine.detect.sightings import Seen
from runbook.engine.model import Severity


@dataclass(frozen=True)
class Sign:
    id: str
    role: str = "root"
    severity: Severity = Severity.HIGH
    scope: str = "app"
    category: str = "unknown"
    causes: tuple[str, ...] = ()


XID = Sign("kmsg.xid", severity=Severity.CRITICAL, scope="kernel", causes=("cuda.*", "nccl.*", "torch.*"))
MEMORY = Sign("kmsg.oom_kill", severity=Severity.CRITICAL, scope="kernel", causes=("slurm.oom", "torch.sigkill"))
CUDA = Sign("cuda.launch", causes=("nccl.*", "torch.*"))
FULL = Sign("cuda.oom", causes=("nccl.*", "torch.*"))
WATCHDOG = Sign("nccl.watchdog", "cascade", Severity.MEDIUM, causes=("nccl.abort", "torch.*"))
ABORT = Sign("nccl.abort", "cascade", Severity.MEDIUM)
CHILD = Sign("torch.child_failed", "cascade", Severity.MEDIUM)
SIGKILL = Sign("torch.sigkill", "cascade")
STEP = Sign("slurm.oom", "confirmation", scope="job", causes=("torch.sigkill",))
RETRY = Sign("hub.timeout", severity=Severity.LOW)
HINT = Sign("cuda.hint", "advice", Severity.LOW)


def seen(*rows, source="a.log", **about):
    """Sightings of one file: (sign, line) or (sign, line, time)."""
    return [Seen(row[0], source, *row[1:], **about) for row in rows]


def told(*found):
    """Return each incident as `root: cascades`, with counts beyond one."""

    def name(one):
        kind = f"{one.sign.id}{':' + one.first.variant if one.first.variant else ''}"
        return kind if one.count == 1 else f"{kind} x{one.count}"

    incidents = cascade.incidents([one for some in found for one in some])
    return [
        name(one.root) + (": " + ", ".join(name(each) for each in one.cascades) if one.cascades else "")
        for one in incidents
    ]


def test_what_follows_from_a_root_is_folded_under_it():
    assert told(seen((FULL, 1), (WATCHDOG, 2), (ABORT, 3), (ABORT, 4), (CHILD, 5))) == [
        "cuda.oom: nccl.watchdog, nccl.abort x2, torch.child_failed"
    ]


def test_a_root_printed_after_its_consequences_is_the_root_still():
    assert told(seen((ABORT, 1), (CHILD, 30), (FULL, 60))) == ["cuda.oom: nccl.abort, torch.child_failed"]


def test_a_root_long_after_a_cascade_did_not_bring_it_about():
    assert told(seen((ABORT, 1, 0.0), (FULL, 60, 300.0))) == ["cuda.oom", "nccl.abort"]


def test_the_deeper_cause_wins_over_the_driver_the_library_and_the_wrapper():
    app = seen((CUDA, 10, 100.0), (WATCHDOG, 11, 105.0), (CHILD, 12, 106.0))
    assert told(app, seen((XID, 900, 99.0), source="kern.log")) == [
        "kmsg.xid: cuda.launch, nccl.watchdog, torch.child_failed"
    ]


def test_the_kernel_may_write_its_line_after_the_application():
    assert told(seen((CUDA, 10, 100.0)), seen((XID, 900, 130.0), source="kern.log")) == ["kmsg.xid: cuda.launch"]


def test_a_kernels_line_of_another_hour_is_another_incident():
    assert told(seen((CUDA, 10, 9000.0)), seen((XID, 900, 100.0), source="kern.log")) == ["kmsg.xid", "cuda.launch"]


def test_the_confirmation_of_a_root_is_folded_whichever_comes_first():
    kernel = seen((MEMORY, 5, 100.0), source="kern.log")
    for at in (90.0, 110.0):
        assert told(seen((STEP, 1, at), (SIGKILL, 2, 111.0)), kernel) == ["kmsg.oom_kill: slurm.oom, torch.sigkill"]


def test_a_confirmation_without_its_root_leads():
    assert told(seen((STEP, 1), (SIGKILL, 2))) == ["slurm.oom: torch.sigkill"]


def test_a_cascade_without_a_root_is_an_incident():
    assert told(seen((ABORT, 3), (CHILD, 4))) == ["nccl.abort: torch.child_failed"]


def test_of_cascades_without_a_root_the_one_that_brings_about_the_other_leads():
    for found in (seen((ABORT, 3), (WATCHDOG, 4)), seen((WATCHDOG, 3), (ABORT, 4))):
        assert told(found) == ["nccl.watchdog: nccl.abort"]


def test_a_named_cause_of_an_earlier_run_does_not_go_before_a_likely_one_close_by():
    other = Sign("app.thing")
    assert told(seen((FULL, 1), (other, 90000), (CHILD, 90010))) == ["app.thing: torch.child_failed", "cuda.oom"]


HANG = Sign("nccl.watchdog", severity=Severity.CRITICAL, category="timeout", causes=("torch.*",))


def test_a_hang_that_is_told_before_its_cause_is_a_consequence_still():
    assert told(seen((HANG, 1), (FULL, 60))) == ["cuda.oom: nccl.watchdog"]
    assert told(seen((HANG, 1, 0.0), (FULL, 60, 30.0))) == ["cuda.oom: nccl.watchdog"]
    assert told(seen((HANG, 1, 0.0), (FULL, 60, 90.0))) == ["nccl.watchdog", "cuda.oom"]


def test_a_hang_brings_nothing_about_that_can_bring_it_about():
    shared = Sign("torch.shm", causes=("nccl.*",))
    for found in (seen((HANG, 1), (shared, 9)), seen((shared, 1), (HANG, 9))):
        assert told(found) == ["torch.shm: nccl.watchdog"]


def test_a_hang_follows_from_what_killed_a_rank_close_by_even_where_the_catalogue_does_not_say_so():
    broken = Sign("ckpt.corrupt")
    for found in (seen((HANG, 1), (broken, 60)), seen((broken, 1), (HANG, 60))):
        assert told(found) == ["ckpt.corrupt: nccl.watchdog"]
    small = Sign("hub.slow", severity=Severity.MEDIUM)
    assert told(seen((small, 1), (HANG, 60))) == ["nccl.watchdog", "hub.slow"]


def test_a_root_that_was_seen_first_does_not_follow_from_a_lesser_one():
    worse = Sign("disk.full", causes=("cuda.*",))
    lesser = Sign("net.closed", severity=Severity.MEDIUM, causes=("cuda.*",))
    assert told(seen((FULL, 1), (worse, 9))) == ["disk.full: cuda.oom"]
    assert told(seen((FULL, 1), (lesser, 9))) == ["cuda.oom", "net.closed"]


def test_of_roots_that_may_each_bring_about_the_other_the_first_is_the_root():
    one, other = Sign("net.reset", causes=("worker.died",)), Sign("worker.died", causes=("net.reset",))
    assert told(seen((one, 1), (other, 9))) == ["net.reset: worker.died"]
    assert told(seen((other, 1), (one, 9))) == ["worker.died: net.reset"]


def test_advice_is_no_incident():
    assert told(seen((HINT, 1), (HINT, 2))) == []


def test_two_roots_are_two_incidents_the_worse_first():
    low = Sign("disk.slow", severity=Severity.LOW)
    assert told(seen((low, 1), (FULL, 5000))) == ["cuda.oom", "disk.slow"]


def test_of_equal_roots_the_one_that_did_harm_comes_first():
    other = Sign("fs.perm")
    assert told(seen((other, 1), (FULL, 5000), (CHILD, 5001))) == ["cuda.oom: torch.child_failed", "fs.perm"]


def test_of_equal_roots_the_earliest_comes_first():
    other = Sign("fs.perm")
    assert told(seen((FULL, 1, 200.0)), seen((other, 1, 100.0), source="b.log")) == ["fs.perm", "cuda.oom"]


def test_a_trouble_that_was_overcome_does_not_take_the_crash_that_follows():
    assert told(seen((RETRY, 1), (FULL, 9000), (CHILD, 9001))) == ["cuda.oom: torch.child_failed", "hub.timeout"]


def test_a_likely_cause_stands_close_by():
    other = Sign("app.thing")
    assert told(seen((other, 1), (CHILD, 900))) == ["app.thing: torch.child_failed"]
    assert told(seen((other, 1), (CHILD, 2000))) == ["app.thing", "torch.child_failed"]


def test_a_cause_that_the_catalogue_names_goes_before_one_that_only_stands_nearer():
    other = Sign("app.thing", severity=Severity.LOW)
    assert told(seen((FULL, 1), (other, 8), (CHILD, 10))) == ["cuda.oom: torch.child_failed", "app.thing"]


def test_each_consequence_belongs_to_the_nearest_cause():
    found = seen((FULL, 1, 0.0), (CHILD, 2, 5.0), (CUDA, 50, 4000.0), (CHILD, 51, 4005.0))
    assert told(found) == ["cuda.oom: torch.child_failed", "cuda.launch: torch.child_failed"]


def test_a_collective_that_timed_out_was_waiting_for_a_rank_that_fell_long_before():
    fell = seen((FULL, 1, 1000.0), source="rank3.log")
    hung = Seen(WATCHDOG, "rank0.log", 1, 2800.0, reach=1920.0)
    assert told(fell, [hung]) == ["cuda.oom: nccl.watchdog"]
    assert told(fell, [Seen(WATCHDOG, "rank0.log", 1, 2800.0)]) == ["cuda.oom", "nccl.watchdog"]


def test_the_same_root_on_several_ranks_is_one_incident_from_the_first_that_fell():
    ranks = [seen((FULL, 7, 100.0 - rank), (ABORT, 9, 101.0), source=f"rank{rank}.log") for rank in range(4)]
    (one,) = cascade.incidents([each for rank in ranks for each in rank])
    assert (one.root.first.source, one.root.count) == ("rank3.log", 4)
    assert sorted(one.root.sources) == [f"rank{rank}.log" for rank in range(4)]
    assert [(each.sign.id, each.count) for each in one.cascades] == [("nccl.abort", 4)]


def test_one_rank_out_of_memory_aborts_the_others():
    assert told(
        seen((ABORT, 1, 103.0), source="rank0.log"),
        seen((FULL, 1, 100.0), source="rank1.log"),
        seen((ABORT, 1, 102.0), source="rank2.log"),
    ) == ["cuda.oom: nccl.abort x2"]


def test_ranks_without_times_belong_together_by_their_directory():
    fell = seen((FULL, 7), source="run/rank1.log", near="run")
    assert told(seen((ABORT, 3), source="run/rank0.log", near="run"), fell) == ["cuda.oom: nccl.abort"]
    assert told(seen((ABORT, 3), source="old/rank0.log", near="old"), fell) == ["cuda.oom", "nccl.abort"]


def test_without_times_a_root_follows_from_another_file_only_where_both_were_named():
    kernel, app = seen((XID, 5, 100.0), source="kern.log"), seen((CUDA, 7), source="train.log")
    assert told(kernel, app) == ["kmsg.xid: cuda.launch"]
    kernel, app = seen((XID, 5), source="d/kern.log", near="d"), seen((CUDA, 7), source="d/train.log", near="d")
    assert told(kernel, app) == ["kmsg.xid", "cuda.launch"]


def test_a_root_does_not_follow_from_a_cascade():
    reset = Sign("net.reset", "cascade", causes=("worker.*",))
    assert told(seen((reset, 1), (Sign("worker.died"), 20))) == ["worker.died: net.reset"]


def test_kinds_of_one_signature_are_troubles_of_their_own():
    lost = Seen(Sign("kmsg.xid", scope="kernel", causes=("kmsg.xid:45",)), "k", 1, variant="79")
    cleanup = Seen(Sign("kmsg.xid", scope="kernel"), "k", 2, variant="45")
    other = Seen(Sign("kmsg.xid", scope="kernel"), "k", 3, variant="31")
    assert told([lost, cleanup, other]) == ["kmsg.xid:79: kmsg.xid:45", "kmsg.xid:31"]


def test_what_a_device_reports_follows_from_nothing_that_another_reports():
    lost = Sign("kmsg.xid", scope="kernel", causes=("kmsg.xid:45",))
    other = Sign("kmsg.xid", scope="kernel")
    switch = Sign("kmsg.sxid", scope="kernel", causes=("kmsg.xid",))
    ours = Seen(lost, "k", 1, variant="79", device="3b")
    assert told([ours, Seen(other, "k", 2, variant="45", device="3b")]) == ["kmsg.xid:79: kmsg.xid:45"]
    assert told([ours, Seen(other, "k", 2, variant="45", device="5e")]) == ["kmsg.xid:79", "kmsg.xid:45"]
    both = [Seen(other, "k", line, variant="74", device=device) for line, device in ((2, "3b"), (3, "5e"))]
    assert told([Seen(switch, "k", 1), *both]) == ["kmsg.sxid: kmsg.xid:74, kmsg.xid:74"]


def test_what_two_files_say_of_one_job_is_one_incident_and_of_two_jobs_two():
    kernel = [Seen(MEMORY, "d/kern.log", 9, 100.0, near="d", job=job) for job in ("7", "8")]
    step = Sign("slurm.oom", "root", scope="job")
    assert told(kernel, [Seen(step, "d/7.out", 5, near="d", job="7")])[0] == "kmsg.oom_kill x2: slurm.oom"
    assert len(told(kernel[1:], [Seen(step, "d/7.out", 5, near="d", job="7")])) == 2
    assert len(told(kernel[1:], [Seen(step, "d/7.out", 5, 101.0, near="d", job="7")])) == 2
    late = Seen(step, "d/7.out", 5, 9000.0, near="d", job="7")  # Slurm tells of it when the step ends
    assert told(kernel[:1], [late]) == ["kmsg.oom_kill: slurm.oom"]


def test_what_was_printed_above_the_root_is_told_from_what_followed():
    (one,) = cascade.incidents(seen((ABORT, 1), (FULL, 60), (CHILD, 61)))
    assert [each.sign.id for each in one.earlier] == ["nccl.abort"]
    assert [each.sign.id for each in one.later] == ["torch.child_failed"]
    (one,) = cascade.incidents([*seen((CUDA, 10, 100.0)), *seen((XID, 900, 130.0), source="kern.log")])
    assert one.earlier == ()


def test_what_comes_again_and_again_stays_with_its_root():
    dead = Sign("vllm.dead", "cascade")
    root = Sign("cuda.oom", causes=("vllm.*",))
    hours = [(dead, 10 + number, 10.0 + 60 * number) for number in range(300)]
    assert told(seen((root, 1, 0.0), *hours)) == ["cuda.oom: vllm.dead x300"]


def test_what_was_only_counted_goes_with_the_sighting_before_it():
    found = [*seen((FULL, 1, 0.0)), Seen(ABORT, "a.log", 2, 1.0, count=980), *seen((ABORT, 5000, 9000.0))]
    assert told(found) == ["cuda.oom: nccl.abort x981"]


def test_no_circle_of_causes_keeps_it_from_ending():
    one, other = Sign("a", "cascade", causes=("b",)), Sign("b", "cascade", causes=("a",))
    assert told(seen((one, 1), (other, 2), (one, 3))) == ["a x2: b"]


@pytest.mark.parametrize("order", ["given", "turned"])
def test_it_does_not_matter_in_which_order_files_are_read(order):
    files = [
        seen((ABORT, 1, 103.0), source="r0"),
        seen((FULL, 1, 100.0), source="r1"),
        seen((CHILD, 1, 110.0), source="agent"),
    ]
    assert told(*(files if order == "given" else files[::-1])) == ["cuda.oom: nccl.abort, torch.child_failed"]


def test_a_hundred_thousand_sightings_take_seconds():
    found = [
        each
        for rank in range(1000)
        for each in seen(
            *((sign, line, float(line)) for line, sign in enumerate([FULL, WATCHDOG, ABORT, CHILD] * 25)),
            source=f"r{rank}",
        )
    ]
    begun = time.process_time()
    assert len(cascade.incidents(found)) == 1
    assert time.process_time() - begun < 20


def test_a_fleets_gpus_cost_as_much_each_as_one_hosts():
    def cost(hosts):
        found = [
            Seen(XID, f"host{host}", gpu, 1e9 + 37.0 * host, variant=code, device=f"host{host} gpu{gpu}")
            for host in range(hosts)
            for gpu in range(8)
            for code in ("48", "63", "79")
        ]
        calls = itertools.count()
        sys.setprofile(lambda _frame, event, _about: next(calls) if event == "call" else None)
        try:
            assert len(cascade.incidents(found)) == len(found)
        finally:
            sys.setprofile(None)
        return next(calls)

    assert cost(160) < 16 * cost(20)  # eight times as many; it was the square


def test_what_came_again_and_again_belongs_to_what_began_it_however_often_it_came():
    storm = [Seen(FULL, "a.log", 1, 1000.0), *(Seen(ABORT, "a.log", line, 1000.0 + line) for line in range(2, 20_000))]
    assert told(storm) == ["cuda.oom: nccl.abort x19998"]


def test_what_a_cascade_is_said_to_bring_about_is_not_its_cause():
    """A program called MPI_Abort, and Slurm confirmed that the step was cancelled."""
    abort = Sign("mpi.abort", "cascade", causes=("slurm.cancelled",))
    assert told(seen((abort, 1), (Sign("slurm.cancelled", "confirmation"), 2))) == ["mpi.abort: slurm.cancelled"]
