"""The steps about GPUs on real processes, with an NVML library and an nvidia-smi that say what a test wants."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

RESET = """
name: ill
detectors:
  - name: gpu ill
    gpu:
    when: action >= 'app'
    recover: [{reset_gpu: {grace: 1s}, mode: auto, limit: 1 per 1d}]   # noqa: RB036
    verify: {every: 100ms, within: 1s}
"""
HOT = """
name: hot
detectors:
  - name: gpu overheating
    gpu:
    when: temperature > 85
    recover: [{gpu_power_limit: {percent: 80}}]
    cured: [{gpu_power_limit: {percent: 100}}]
    verify: {every: 100ms, within: 1s}
"""
SMI = """#!/bin/sh
echo "$@" >> {log}
[ "$1 $2" = "--gpu-reset -i" ] || exit 2
{more}
echo "GPU $3 was successfully reset."
"""
STUBBORN = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"


@pytest.fixture
def smi(tmp_path, gpus):
    """An nvidia-smi that resets: what it does to the driver's state is a line of shell."""
    programs = tmp_path / "bin"
    programs.mkdir()
    log = tmp_path / "smi.log"

    def write(more):
        program = programs / "nvidia-smi"
        program.write_text(SMI.format(log=log, more=more))
        program.chmod(0o755)
        return log

    gpus.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
    return write


@pytest.fixture
def work():
    """Start processes that would go on for ever; none outlives the test."""
    started = []

    def begin(program=STUBBORN):
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        process.stdout.readline()
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def by_hand(cli, gpus, *words):
    """The one step of `runbook run`."""
    [operation] = cli.json("run", *words, env=gpus.environ).host["operations"]
    [step] = operation["steps"]
    return step


def heals(gpus):
    return f"echo gpu1.recovery=0 >> {gpus.state}"


def test_a_gpu_that_its_driver_wants_reset_is_cured_once_its_processes_are_gone(cli, gpus, smi, work):
    log = smi(heals(gpus))
    stubborn, neighbour = work(), work()
    gpus.tell(2, gpu1__recovery=1, gpu1__living=stubborn.pid, gpu0__living=neighbour.pid)
    ran = cli.json("apply", cli.write("ill.yaml", RESET), env=gpus.environ)
    [incident] = ran.host["incidents"]
    assert (incident["subject"], incident["state"]) == ("1", "cured"), incident
    assert log.read_text() == "--gpu-reset -i GPU-1\n"
    assert stubborn.wait(5) == -9
    assert neighbour.poll() is None
    assert "KILL to" in ran.out


def test_a_reset_that_was_not_enough_says_that_a_reboot_is_needed(cli, gpus, smi):
    smi(f"echo gpu1.recovery=2 >> {gpus.state}")
    gpus.tell(2, gpu1__recovery=1)
    [incident] = cli.json("apply", cli.write("ill.yaml", RESET), env=gpus.environ).host["incidents"]
    assert incident["state"] == "unhealed"
    assert "the reset was not enough, the driver asks for NODE_REBOOT: use `reboot`" in incident["reason"]


def test_a_driver_that_wants_a_reboot_gets_no_reset(cli, gpus, smi, work):
    log = smi(heals(gpus))
    user = work()
    gpus.tell(2, gpu1__recovery=2, gpu1__living=user.pid)
    [incident] = cli.json("apply", cli.write("ill.yaml", RESET), env=gpus.environ).host["incidents"]
    assert incident["state"] == "unhealed"
    assert "asks for NODE_REBOOT, and a reset is not enough" in incident["reason"]
    assert not log.exists()
    assert user.poll() is None


def test_a_reset_that_the_driver_refuses_names_who_holds_the_card_open(cli, gpus, smi, tmp_path):
    smi("echo 'Unable to reset this GPU: it is in use'; exit 19")
    gpus.tell(1, gpu0__recovery=1)
    [incident] = cli.json("apply", cli.write("ill.yaml", RESET), env=gpus.environ).host["incidents"]
    assert "nvidia-smi: exit code 19: Unable to reset this GPU: it is in use" in incident["reason"]


def test_a_reset_whose_step_was_killed_is_not_done_twice(cli, gpus, smi, tmp_path):
    log = smi(f"{heals(gpus)}; [ -e {tmp_path}/again ] || {{ : > {tmp_path}/again; kill -9 $PPID; }}")
    gpus.tell(2, gpu1__recovery=1)
    assert "was ended by signal 9" in by_hand(cli, gpus, "reset_gpu", "gpu=all")["error"]
    again = by_hand(cli, gpus, "reset_gpu", "gpu=all")
    assert (again["state"], again["changed"]) == ("done", False)
    assert log.read_text() == "--gpu-reset -i GPU-1\n"


def test_check_resets_and_ends_nothing(cli, gpus, smi, work):
    log = smi(heals(gpus))
    user = work()
    gpus.tell(2, gpu1__recovery=1, gpu1__living=user.pid)
    [incident] = cli.json("apply", cli.write("ill.yaml", RESET), "--check", env=gpus.environ).host["incidents"]
    [step] = incident["steps"]
    assert [action["action"] for action in step["actions"]] == ["signal", "until", "do", "until", "do"]
    assert step["actions"][2]["what"] == "reset GPU 1 (GPU-1): nvidia-smi --gpu-reset -i GPU-1"
    assert user.poll() is None
    assert not log.exists()


def test_the_processes_of_one_gpu_are_ended_by_hand(cli, gpus, work):
    ours, theirs = work("import time; print(flush=True); time.sleep(600)"), work()
    gpus.tell(2, gpu0__living=f"{ours.pid}:4096", gpu1__living=theirs.pid)
    assert cli("run", "kill_gpu_processes", "gpu=GPU-0", env=gpus.environ).exit_code == 0
    assert ours.wait(5) == -15
    assert theirs.poll() is None
    assert by_hand(cli, gpus, "kill_gpu_processes", "gpu=GPU-0")["changed"] is False


def test_a_hot_gpu_gets_less_power_until_it_is_cool(cli, gpus):
    runbook = cli.write("hot.yaml", HOT)
    gpus.tell(2, gpu1__temperature=91)
    [incident] = cli.json("apply", runbook, env=gpus.environ).host["incidents"]
    assert incident["state"] == "unhealed"  # it is as hot as before
    assert "gpu1.power_limit=560000" in gpus.state.read_text()
    assert "gpu0.power_limit" not in gpus.state.read_text()
    with gpus.state.open("a") as state:
        state.write("gpu1.temperature=60\n")
    cli.json("apply", runbook, env=gpus.environ)
    [action] = by_hand(cli, gpus, "gpu_power_limit", "percent=100", "gpu=1")["actions"]
    assert action["what"] == "limit GPU 1 (GPU-1) to 700 W, 100% of its default (from 560 W)"
    assert by_hand(cli, gpus, "gpu_power_limit", "percent=100", "gpu=all")["changed"] is False


def test_a_user_who_may_not_set_the_limit_is_told_how(cli, gpus):
    gpus.tell(1, gpu0__power_set__error=4)
    done = cli.json("run", "gpu_power_limit", "percent=50", "gpu=0", env=gpus.environ)
    assert done.exit_code == 2
    [failed] = done.host["operations"]
    assert "the power limit of GPU-0 was not set: the user that the agent runs as may not ask it" in failed["error"]
