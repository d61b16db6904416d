"""Why a job ended, of everything that is known: what agrees is believed, and a job's own output never against Slurm."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.engine.language import chosen, signatures
from runbook.modules.logs.entries import Entry
from runbook.modules.probes.slurm import Slurm
from runbook.modules.slurm import evidence, kernel, said, units, verdict
from runbook.modules.slurm.job import Job, Part
from runbook.modules.slurm.said import Line

CATALOGUE = signatures.catalogue().patterns(Slurm.signatures)
TRAVELS = chosen.resolved(Slurm, {})["_catalogue"]
G = 1 << 30
NO_JOB = Job("7", "7", "ml", "failed", "", "gpu", "lab", 3600, 600, 8 * G, 4, 1, "n1", 0, 1000, 1600, "", "t", 1, 0)
STEPS = (Part("batch", "failed", 1, 0, G), Part("0", "failed", 1, 0, G))
OOM_LINE = (
    "slurmstepd: error: Detected 1 oom_kill event in StepId=7.batch. Some of the step tasks have been OOM Killed."
)
OOM_OLD = (
    "slurmstepd-n1: error: Detected 2 oom-kill event(s) in StepId=7.0 cgroup. Some of your processes may have been "
    "killed by the cgroup out-of-memory handler."
)
LATE = "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-11-22T10:00:00 DUE TO TIME LIMIT ***"
PREEMPTED = LATE.replace("TIME LIMIT", "PREEMPTION")
NODE = LATE.replace("TIME LIMIT", "NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS")
CUDA = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB"
XID = "NVRM: Xid (PCI:0000:3b:00): 79, pid=4711, name=python3, GPU has fallen off the bus."


def job(**told):
    return NO_JOB._replace(**{"parts": STEPS, **told})


def judged(one, output="", **clues):
    lines = tuple(said.telling(output, {one.id, one.raw}, CATALOGUE))
    return verdict.judge(one, verdict.Clues(lines=lines, **clues))


OOM_STEP = (Part("batch", "completed", 0, 0, None), Part("0", "out_of_memory", 0, 125, None))


@pytest.mark.parametrize(
    ("told", "output", "name", "sure"),
    [
        ({"state": "out_of_memory", "exit_code": 0, "signal": 125}, "", "oom_host", 97),
        ({"state": "completed", "exit_code": 0, "parts": OOM_STEP}, "", "oom_host", 75),
        ({"state": "failed", "exit_code": 1, "parts": OOM_STEP}, "", "oom_host", 90),
        ({"state": "timeout", "exit_code": 0, "parts": OOM_STEP}, LATE, "oom_host", 80),  # the others waited for it
        ({"state": "completed", "parts": (Part("batch", "out_of_memory", 0, 125, None),)}, "", None, 0),
        ({"state": "completed", "exit_code": 0}, OOM_LINE, None, 0),
        ({"state": "failed", "parts": ()}, OOM_LINE, "oom_host", 65),
        ({"state": "failed", "exit_code": 137, "parts": ()}, OOM_OLD, "oom_host", 75),
        ({"exit_code": 0, "signal": 9}, "slurmstepd: error: StepId=7.batch exceeded memory limit (73 > 64), being killed", "oom_host", 85),
        ({"exit_code": 0, "signal": 9, "parts": (Part("batch", "failed", 0, 9, round(7.9 * G)),)}, "", "oom_host", 65),
        ({"parts": (Part("batch", "failed", 1, 0, 7 * G),)}, "Traceback (most recent call last):\nMemoryError", "oom_host", 75),
        ({}, "numpy.core._exceptions._ArrayMemoryError: Unable to allocate 298. GiB for an array with shape (1, 2)", "oom_host", 55),
        ({"exit_code": 137}, "", "killed_unknown", 50),
        ({"exit_code": 0, "signal": 15}, "", "killed_unknown", 50),
        ({"exit_code": 9, "parts": (Part("0", "cancelled", 0, 9, None),)}, "", "killed_unknown", 50),
        ({"exit_code": 9}, "", "failed", 90),
        ({"exit_code": 1}, "ValueError: bad config", "failed", 90),
        ({"exit_code": 0, "signal": 11}, "", "failed", 90),
        ({"state": "timeout"}, LATE, "timeout", 80),
        ({"state": "deadline"}, "", "failed", 80),
        ({"state": "failed", "elapsed": 3600}, LATE, "timeout", 80),
        ({"state": "node_fail"}, NODE, "node", 95),
        ({"state": "boot_fail"}, "", "node", 95),
        ({"state": "preempted"}, "", "preempt", 95),
        ({"state": "failed", "exit_code": 0, "signal": 15}, PREEMPTED, "preempt", 70),
        ({"state": "running"}, OOM_LINE, None, 0),
        ({"state": "completed", "exit_code": 0}, "", None, 0),
    ],
)  # fmt: skip
def test_a_verdict_fuses_what_is_known(told, output, name, sure):
    found = judged(job(**told), output)
    assert (found and found.name, found.sure if found else 0) == (name, sure)
    assert found is None or found.evidence[0].startswith(told.get("state", "failed").upper())


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (OOM_LINE, "no step of the accounting does"),
        (OOM_OLD, "no step of the accounting does"),
        ("srun: error: n1: task 0: Out Of Memory", "no step of the accounting does"),
        ("slurmstepd: error: Job 7 exceeded memory limit (8390176 > 8388608), being killed", "it was not killed"),
        (LATE, "which it had not reached"),
        (PREEMPTED, "it ended by itself"),
        (NODE, "its nodes are well"),
    ],
)
def test_what_a_job_itself_writes_is_not_believed_against_slurm(output, told):
    found = judged(job(exit_code=1), f"step 1\n{output}\nstep 2\n")
    assert (found.name, found.sure) == ("failed", 90)
    assert any(told in line and "not believed" in line for line in found.evidence)


@pytest.mark.parametrize("output", [OOM_LINE, OOM_OLD, LATE, PREEMPTED, NODE, CUDA, XID])
def test_a_person_who_cancelled_a_job_stays_its_reason_whatever_it_printed(output):
    found = judged(job(state="cancelled", by="1000"), output, who=evidence.person("1000000123", "ml"))
    assert (found.name, found.sure) == ("human", 95)
    assert found.evidence[-1] == "cancelled by the uid 1000000123"


def test_who_cancelled_is_told_in_words():
    assert evidence.person("0", "ml") == "root"
    assert evidence.person("0", "root") == evidence.person("root", "root") == "root, whose job it is"
    assert evidence.person("ann", "ml") == "ann"
    assert evidence.person(None, "ml") == ""
    assert judged(job(state="cancelled")).sure == 60
    assert judged(job(state="cancelled", by="0"), PREEMPTED).name == "preempt"
    assert judged(job(state="cancelled", reason="DependencyNeverSatisfied")).name == "unknown"


@pytest.mark.parametrize(
    "line", [OOM_LINE.replace("=7.", "=8."), LATE.replace("JOB 7", "JOB 77"), 'grep "' + OOM_LINE + '"']
)
def test_what_slurm_said_of_another_job_is_no_evidence(line):
    assert said.telling(line, {"7"}) == []


def test_a_task_of_an_array_is_known_by_both_its_numbers():
    ids = {"10711368_4", "10711372"}
    for told in ("STEP 10711368_4.batch ON", "JOB 10711372 ON", "STEP 10711372.0 ON"):
        line = f"0: slurmstepd-c0617: error: *** {told} c0617 CANCELLED AT 2026-09-30T16:00:24 DUE TO TIME LIMIT ***"
        assert [one.kind for one in said.telling(line, ids)] == ["timeout"]
    glued = " 52%|#####     | 13/25 [00:10<00:09]slurmstepd: error: *** JOB 10711372 ON c1 CANCELLED AT x DUE TO TIME LIMIT ***"
    assert [one.kind for one in said.telling(glued, ids)] == ["timeout"]


@pytest.mark.parametrize(
    "line",
    [
        CUDA,
        "RuntimeError: CUDA error: out of memory",
        "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 3.31 GiB. GPU 0 has a total capacity of 128.00 GiB",
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 144817.04 MiB on device 0: cudaMalloc failed: out of memory",
        "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 7406166528 bytes.",
        "[rank3]: RuntimeError: CUDA out of memory. Tried to allocate 12.50 MiB (GPU 0; 10.92 GiB total capacity; 8.57 GiB already",
        "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "tensorflow.python.framework.errors_impl.ResourceExhaustedError: OOM when allocating tensor with shape[2304,384]",
        "cupy.cuda.memory.OutOfMemoryError: Out of memory allocating 4,294,967,296 bytes (allocated so far: 0 bytes).",
    ],
)  # fmt: skip
def test_the_gpus_memory_is_told_from_the_hosts_by_what_programs_say(line):
    found = judged(job(exit_code=1), f"step 3\n{line}\n")
    assert (found.name, found.sure) == ("oom_gpu", 90)
    assert line[:40] in found.evidence[-1]


def test_a_gpu_that_was_full_long_before_the_end_is_not_what_ended_it():
    found = judged(job(exit_code=1), CUDA + "\n" + "step\n" * 1000 + "AssertionError\n")
    assert (found.name, found.sure) == ("oom_gpu", 60)
    assert judged(job(state="completed", exit_code=0), CUDA) is None


@pytest.mark.parametrize(
    "line",
    ["max_memory: 'CUDA out of memory' is retried", "# catch CUDA OOM", "torch.cuda.OutOfMemoryError handler on"],
)
def test_words_about_a_full_gpu_are_no_full_gpu(line):
    assert judged(job(exit_code=1), line).name == "failed"


def victim(path, limit=None, comm="python3"):
    limited = "global_oom" if limit is None else f"oom_memcg={limit}"
    constraint = "CONSTRAINT_NONE" if limit is None else "CONSTRAINT_MEMCG"
    return f"oom-kill:constraint={constraint},nodemask=(null),cpuset=/,mems_allowed=0,{limited},task_memcg={path},task={comm},pid=9,uid=5"


V1, V2 = "/slurm_n1/uid_5/job_7", "/system.slice/slurmstepd.scope/job_7"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (victim(f"{V1}/step_batch/task_0", V1), "oom_host"),
        (victim(f"{V1}/step_0", f"{V1}/step_0"), "oom_host"),
        (victim(f"{V2}/step_0/user/task_3", f"{V2}/step_0/user"), "oom_host"),
        (victim("/system.slice/n1_slurmstepd.scope/job_7/step_0", "/system.slice/n1_slurmstepd.scope/job_7"), "oom_host"),
        ("Task in /slurm/uid_5/job_7/step_batch killed as a result of limit of /slurm/uid_5/job_7", "oom_host"),
        (victim(f"{V2}/step_0/user/task_3"), "oom_node"),
        (victim(f"{V1}/step_0", "/slurm_n1"), "oom_node"),
        (victim(f"{V1}7/step_0", f"{V1}7"), None),
        (victim("/user.slice/user-5.slice/slurmstepd.scope/job_7/x", "/user.slice"), None),
        (victim("/docker/abc", "/docker/abc", comm="/uid_5/job_7/"), None),
        (victim("/a", comm=",task_memcg=/slurm/uid_5/job_7/,task="), None),
        ("python3 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL)", None),
    ],
)  # fmt: skip
def test_the_kernels_victim_is_known_by_a_control_group_that_only_root_makes(line, kind):
    found = said.victim(line, 7)
    assert (found and found.kind) == kind


def heard(*entries, one=None):
    return kernel.about(kernel.Heard([Entry(text, at, "") for at, text in entries]), one or job(), TRAVELS, 2000.0)


def test_the_kernel_of_the_jobs_node_proves_what_the_accounting_lost():
    lines = heard((1500.0, victim(f"{V1}/step_0", V1)))
    found = judged(job(exit_code=137), kernel=lines)
    assert (found.name, found.sure) == ("oom_host", 92)
    assert "oom_memcg=/slurm_n1/uid_5/job_7" in found.evidence[-1]
    assert judged(job(state="out_of_memory"), kernel=lines).sure == 99
    whole = judged(job(exit_code=137), kernel=heard((1500.0, victim(f"{V2}/step_0"))))
    assert (whole.name, whole.sure) == ("oom_host", 75)
    assert "its node had no memory left" in whole.evidence[1]


def test_a_kernel_that_can_not_be_read_is_told_where_it_might_have_known():
    deaf = "the kernel's messages can't be read (/dev/kmsg: Permission denied)"
    assert judged(job(exit_code=137), deaf=deaf).evidence[-1] == deaf
    assert deaf not in judged(job(exit_code=1), deaf=deaf).evidence


def test_another_life_of_the_same_number_is_another_job():
    assert heard((900.0, victim(V1, V1)), (1700.0, victim(V1, V1))) == ()


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (XID, "node"),
        ("NVRM: Xid (PCI:0000:3b:00): 48, pid=1, name=python3, Double Bit ECC Error", "node"),
        ("NVRM: Xid (PCI:0000:3b:00): 31, pid=1, name=python3, MMU Fault", "app"),
        ("NVRM: Xid (PCI:0000:3b:00): 13, pid=1, Graphics SM Warp Exception", "app"),
    ],
)
def test_an_xid_accuses_the_node_or_the_program_by_its_table(line, kind):
    assert [one.kind for one in heard((1500.0, line))] == [kind]
    assert heard((1500.0, line), one=job(gpus=0)) == (), "a job without GPUs has nothing to do with it"
    found = judged(job(exit_code=1), kernel=heard((1500.0, line)))
    assert (found.name, found.sure) == (("node", 85) if kind == "node" else ("failed", 90))
    assert line in found.evidence[-1]


def test_a_node_that_is_ill_is_believed_as_much_as_agrees():
    ailing = (("n1", "drained Xid 79 on GPU 3"),)
    assert judged(job(), nodes=ailing).sure == 70
    assert judged(job(), XID, nodes=ailing).sure == 90
    assert judged(job(), XID).sure == 70
    assert judged(job(), NODE, nodes=ailing).sure == 85
    known = {"n1": evidence.Node("vm", "down* not responding", 5000.0)}
    assert evidence.ailing(known, job()) == (), "it fell ill long after the job"
    assert evidence.ailing({"n1": evidence.Node("vm", "drained ECC", 1700.0)}, job()) == (("n1", "drained ECC"),)
    assert evidence.here(known, job(), "vm")
    assert not evidence.here(known, job(), "n1")
    assert evidence.here({}, job(), "n1"), "nodes bear their machines' names, unless somebody says otherwise"


def test_a_job_that_came_no_further_stalls_and_one_that_did_wants_time():
    late = job(state="timeout")
    assert judged(late, watched=True, progress=5.0, before=3.0).name == "timeout"
    assert judged(late, watched=True, progress=3.0, before=3.0).name == "stall"
    assert judged(late, watched=True).name == "stall"
    assert judged(late, watched=True, unread="no such file").name == "timeout"


PARTS = st.builds(
    Part,
    st.sampled_from(["batch", "0"]),
    st.sampled_from([None, *units.STATES]),
    st.integers(0, 255),
    st.integers(0, 126),
    st.none(),
)
LINES = st.lists(
    st.builds(
        Line,
        st.sampled_from(["oom_host", "over_memory", "timeout", "preempt", "node_fail", "node", "oom_gpu"]),
        st.sampled_from(["", "x"]),
    )
)


@settings(max_examples=100)
@given(
    state=st.sampled_from(units.STATES), code=st.none() | st.integers(0, 255), signal=st.none() | st.integers(0, 126),
    parts=st.lists(PARTS, max_size=3), lines=LINES, by=st.sampled_from([None, "0", "1000", "ann"]), elapsed=st.none() | st.floats(0, 1e7),
)  # fmt: skip
def test_whatever_the_output_says_a_cancel_is_nothing_to_mend_and_a_verdict_has_its_grounds(
    state, code, signal, parts, lines, by, elapsed
):
    one = job(state=state, exit_code=code, signal=signal, parts=tuple(parts), by=by, elapsed=elapsed)
    bare, found = judged(one), verdict.judge(one, verdict.Clues(lines=tuple(lines)))
    assert (bare is None) == (found is None), "output alone makes no job ill, and none well"
    if found is not None:
        assert found.evidence
        assert 0 < found.sure <= 100
    if state == "cancelled":
        assert found.name in {"human", "preempt", "unknown"}
