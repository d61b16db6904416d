"""Slurm over SSH, on a login node whose non-login shells know neither the cluster's commands nor its configuration."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from sshds import lacking, sshds

__all__ = ["sshds"]
COMMANDS = ("squeue", "sacct", "scontrol", "sinfo", "scancel", "sacctmgr", "srun", "sbatch")
OOM = 'python3 -c "x=bytearray(60<<20); import time; time.sleep(0.3)"'
DETECTOR = """
name: login
hosts: all
detectors:
  - name: out of memory
    slurm: {names: [ps_*], since: 1h, healthy: false}
    when: verdict == 'oom_host'
    clear: state == 'completed' and verdict is none
    recover: [{resubmit: {multiply: {memory: 2}}}]
    verify: {every: 1s, within: 1m}
"""


@pytest.fixture
def login(slurm, sshds, tmp_path):
    """A real sshd; Slurm, whose sbatch greets, is in a directory that only a login shell's profile puts on the PATH."""
    if lacking():
        pytest.skip(lacking())
    bare, bin_ = tmp_path / "bare", tmp_path / "cluster" / "bin"
    bare.mkdir()
    bin_.mkdir(parents=True)
    for program in {*os.listdir("/usr/bin"), *os.listdir("/bin")} - set(COMMANDS):  # noqa: PTH208 -- names
        (bare / program).symlink_to(Path("/usr/bin") / program)
    for program in COMMANDS[:-1]:
        (bin_ / program).symlink_to(shutil.which(program))
    sends = bin_ / COMMANDS[-1]
    sends.write_text(f"#!/bin/sh\necho 'Welcome to cluster 3'\nexec {shutil.which(COMMANDS[-1])} \"$@\"\n")
    sends.chmod(0o755)
    hosts = sshds(1)
    host = hosts["h1"]
    environment = f"RB_HOST=h1 RB_SSHDS={hosts.directory} HOME={host.place}/home PATH={bare}"
    host.stop()
    host.reconfigure(f"SetEnv {environment}")
    host.start()
    hosts.write()
    profile = host.place / "home" / ".profile"
    profile.write_text(f"echo Welcome to the cluster\nexport PATH={bare}:{bin_} SLURM_CONF={slurm.place}/slurm.conf\n")
    return hosts, profile


def test_a_cluster_is_watched_and_mended_over_ssh_where_only_a_login_shell_knows_it(slurm, login, cli):
    hosts, profile = login
    job = slurm.submit(OOM, "--job-name=ps_oom", "--mem=40")
    slurm.wait(lambda: slurm.rows("JobID", "State").count([job, "OUT_OF_MEMORY"]))
    where = ("-i", hosts.inventory, "-l", "h1")
    file = cli.write("login.yaml", DETECTOR)
    done = cli("apply", file, *where, "--wait", "40s")
    assert done.exit_code == 0, done.out + done.err
    runs = [row[2:] for row in slurm.rows("JobID", "JobName", "State", "ReqMem") if row[1] == "ps_oom"]
    assert runs == [["OUT_OF_MEMORY", "40M"], ["COMPLETED", "80M"]]
    profile.write_text("")
    hosts["h1"].stop()
    hosts["h1"].start()
    lost = cli("probe", "slurm", "names=ps_*", *where, "--format", "json")
    (host,) = json.loads(lost.out)["hosts"].values()
    assert host["status"] == "unknown", host
    assert "no slurm.conf is found" in host["reason"], (
        "the machine's own Slurm is on every PATH, without a configuration"
    )


def test_what_jobs_used_is_reported_over_ssh(slurm, login, cli):
    hosts, _ = login
    job = slurm.submit("true", "--job-name=ps_used", "--mem=20")
    slurm.wait(lambda: slurm.rows("JobID", "State").count([job, "COMPLETED"]))
    told = cli.json("slurm", "report", "-i", hosts.inventory, "-l", "h1", "--name", "ps_used")
    assert told.exit_code == 0, told.err
    (found,) = told.json["hosts"]["h1"]["kinds"]
    assert (found["kind"], found["jobs"], found["memory_asked"]) == ("ps_used", 1, 20 << 20)
