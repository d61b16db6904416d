"""Which Slurm job a process belongs to: real processes, and cgroups as Slurm writes them."""

import os
import subprocess
import sys
import time
from functools import partial

import pytest

from runbook.modules import gpus, jobs


@pytest.fixture
def process():
    """A process in a job's environment."""
    started = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={**os.environ, "SLURM_JOB_ID": "4242"}
    )
    until = time.monotonic() + 10
    while b"SLURM" not in jobs._read(f"/proc/{started.pid}/environ") and time.monotonic() < until:
        time.sleep(0.005)
    yield started
    ended(started)


def ended(process):
    process.stdin.close()
    process.wait(10)


def test_the_environment_of_a_process_names_its_job(process):
    assert jobs.of_process(process.pid) == 4242
    assert jobs.of_process(process.pid, at=time.time()) == 4242


def test_a_process_that_began_after_the_line_was_written_is_another_one(process):
    assert jobs.of_process(process.pid, at=time.time() - 3600) is None


def test_a_process_that_is_gone_has_no_job(process):
    ended(process)
    assert jobs.of_process(process.pid) is None


def test_the_cgroup_tells_where_the_environment_does_not(tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "environ").write_bytes(b"PATH=/bin\0NOT_SLURM_JOB_ID=9\0")
    (tmp_path / "7" / "cgroup").write_text("0::/system.slice/slurmstepd.scope/job_1422/step_0/user/task_0\n")
    assert jobs.of_process(7, proc=str(tmp_path)) == 1422


@pytest.mark.parametrize(
    ("path", "job"),
    [
        ("/slurm/uid_0/job_7/step_0", 7),
        ("/system.slice/slurmstepd.scope/job_42", 42),
        ("12:memory:/slurm/uid_1/job_3\n0::/", 3),
        ("/user.slice", None),
        ("/kubepods/job_x/1", None),
        ("/my_job_7/x", None),
        ("", None),
    ],
)
def test_a_cgroup_of_a_job_is_known_by_its_name(path, job):
    assert jobs.of_cgroup(path) == job


def test_gpus_are_counted_by_the_drivers_files_where_its_library_can_not_be_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(gpus, "_readings", list)
    for name in ("0000:91:00.0", "0000:3b:00.0", "not-an-address"):
        (tmp_path / name).mkdir()
    assert gpus.by_address(str(tmp_path)) == {"0000:3b:00": {"index": 0}, "0000:91:00": {"index": 1}}


def test_a_machine_without_a_driver_has_no_gpus(tmp_path, monkeypatch):
    monkeypatch.setattr(gpus, "_readings", list)
    assert gpus.by_address(str(tmp_path / "none")) == {}


def test_what_the_library_says_comes_first(tmp_path, monkeypatch):
    (tmp_path / "0000:91:00.0").mkdir()
    reading = {"index": 5, "pci": "0000:91:00", "recovery_action": "GPU_RESET"}
    monkeypatch.setattr(gpus, "_readings", lambda: [reading])
    assert gpus.by_address(str(tmp_path)) == {"0000:91:00": reading}


def test_what_asks_the_driver_is_imported_once_and_not_by_each_process_that_asks(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    monkeypatch.setattr(gpus, "_readings", lambda: [{"pci": "0000:91:00", "index": int("pynvml" in sys.modules)}])
    assert gpus.by_address(str(tmp_path))["0000:91:00"]["index"] == 1


def test_a_driver_that_hangs_is_left_behind():
    began = time.monotonic()
    assert gpus.within(0.2, lambda: time.sleep(60)) is None
    assert time.monotonic() - began < 5


def test_a_driver_that_crashes_the_process_is_no_answer():
    assert gpus.within(10, partial(os._exit, 9)) is None


def test_a_long_answer_comes_whole():
    assert gpus.within(10, lambda: ["x" * 300_000]) == ["x" * 300_000]
