"""The bundled runbook gpu-fleet on a real Slurm node, with faked GPUs: what its cases promise, done for real."""

from __future__ import annotations

import os
import re

import pytest
import slurm_cluster


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    lacks = slurm_cluster.lacking()
    if lacks:
        if os.environ.get("CI") == "true":
            pytest.fail(lacks)
        pytest.skip(lacks)
    cluster = slurm_cluster.Cluster(tmp_path_factory.mktemp("slurm"))
    yield cluster
    cluster.close()


@pytest.fixture
def fleet(cli, slurm, gpus, tmp_path):
    """Run a pass of gpu-fleet on this node; its programs write down what they were told."""
    programs = tmp_path / "bin"
    programs.mkdir()
    log = tmp_path / "programs.log"

    def program(name, *lines):
        file = programs / name
        file.write_text("\n".join(["#!/bin/sh", f'echo {name} "$@" >> {log}', *lines, ""]))
        file.chmod(0o755)

    healed = "".join(f"gpu{number}.recovery=0\\n" for number in range(4))
    program("nvidia-smi", f'[ "$1" = --gpu-reset ] && printf "{healed}" >> {gpus.state}', "exit 0")
    program("dcgmi")
    env = {**gpus.environ, **slurm.env, "PATH": f"{programs}:{os.environ['PATH']}"}

    class Fleet:
        evidence = tmp_path / "evidence"

        def apply(self, *words):
            given = ("-e", f"evidence={self.evidence}", "-e", "steady=200ms", *words)
            return cli.json("apply", "gpu-fleet", *given, env=env).host["incidents"]

        def told(self):
            return log.read_text().splitlines()

    fleet = Fleet()
    fleet.program = program
    yield fleet
    if "DRAIN" in slurm.node():
        slurm("scontrol", "update", "NodeName=gpu01", "State=RESUME")


def state(slurm):
    return re.search(r"State=(\S+)", slurm.node())[1]


def test_a_node_with_two_gpus_for_a_reset_is_drained_mended_diagnosed_and_given_back(fleet, slurm, gpus):
    gpus.tell(4, gpu1__recovery=1, gpu3__recovery=1)
    [incident] = fleet.apply()
    assert (incident["detector"], incident["subject"], incident["state"]) == (
        "gpu wants a reset",
        "localhost",
        "cured",
    ), incident["reason"]
    steps = [step["module"] for step in incident["steps"]]
    assert steps == ["drain_node", "collect", "reset_gpu", "command", "resume_node"]
    assert fleet.told() == ["nvidia-smi -q", "nvidia-smi --gpu-reset -i GPU-1,GPU-3", "dcgmi diag -r 1"]
    assert "DRAIN" not in state(slurm)
    [bundle] = fleet.evidence.iterdir()
    assert incident["id"] in bundle.name


def test_a_node_that_can_not_be_rebooted_stays_drained(fleet, slurm, gpus):
    gpus.tell(4, gpu1__recovery=2)
    [incident] = fleet.apply()
    assert (incident["detector"], incident["state"]) == ("node wants a reboot", "unhealed")
    assert "this is the machine that runbook itself runs on" in incident["reason"]
    assert state(slurm) == "IDLE+DRAIN"


def test_a_diagnosis_that_fails_keeps_the_node_drained(fleet, slurm, gpus):
    fleet.program("dcgmi", "echo 'PCIe: fail'; exit 226")
    gpus.tell(4, gpu1__recovery=1)
    [incident] = fleet.apply()
    assert incident["state"] == "unhealed"
    assert "dcgmi: exit code 226: PCIe: fail" in incident["reason"]
    assert state(slurm) == "IDLE+DRAIN"
    assert f"runbook [{incident['id']}]" in slurm.node()


def test_a_node_that_is_well_is_left_alone(fleet, slurm, gpus):
    gpus.tell(4)
    assert fleet.apply() == []
    assert "DRAIN" not in state(slurm)
