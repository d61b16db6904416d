"""Where Slurm's commands are found, and with which settings they are asked."""

from __future__ import annotations

import os
import shutil

import pytest

from runbook.modules.declare import Absent, Unclear
from runbook.modules.host import Host
from runbook.modules.slurm import commands


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A host on whose PATH there is no Slurm, and whose usual places are below the test's directory."""
    bare, cluster, home = tmp_path / "bare", tmp_path / "opt" / "bin", tmp_path / "home"
    for directory in (bare, cluster, home):
        directory.mkdir(parents=True)
    (bare / "bash").symlink_to(shutil.which("bash"))
    (cluster / "squeue").write_text("#!/bin/sh\n")
    (cluster / "squeue").chmod(0o755)
    monkeypatch.setattr(commands, "_CONF", ())
    monkeypatch.setattr(commands, "_LATER", ())
    monkeypatch.setattr(commands, "USUAL", (str(tmp_path / "nowhere"),))
    return tmp_path, cluster, Host(env={"PATH": str(bare), "HOME": str(home), "SQUEUE_USERS": "ann", "LANG": "C"})


def test_a_usual_place_is_found_without_a_shell(place, monkeypatch):
    _, cluster, host = place
    monkeypatch.setattr(commands, "USUAL", (str(cluster),))
    commands.find(host)
    assert host.which("squeue") == str(cluster / "squeue")


def test_a_login_shell_is_asked_whatever_its_profile_prints(place):
    root, cluster, host = place
    profile = (
        f"echo Welcome; printf '\\001x'; export PATH={cluster} SLURM_CONF={root}/slurm.conf; echo to the cluster\n"
    )
    (root / "home" / ".bash_profile").write_text(profile)
    commands.find(host)
    assert host.which("squeue") == str(cluster / "squeue")
    assert host.env["SLURM_CONF"] == f"{root}/slurm.conf"
    assert host.env["PATH"].startswith(str(root / "bare")), "what was on the PATH stays before it"


def test_settings_of_a_login_that_would_hide_jobs_are_left_out(place):
    _, cluster, host = place
    host.env = {**host.env, "PATH": str(cluster), "SLURM_CONF": "/x"}
    commands.find(host)
    assert "SQUEUE_USERS" not in host.env
    assert host.env["LANG"] == "C"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs nothing that others can change")
def test_root_runs_nothing_from_where_others_can_write(place, monkeypatch):
    _, cluster, host = place
    monkeypatch.setattr(commands, "USUAL", (str(cluster),))
    cluster.chmod(0o777)
    with pytest.raises(Unclear, match="which others than root can write"):
        commands.find(host)


def test_what_is_nowhere_is_absent(place):
    root, _, host = place
    (root / "home" / ".bash_profile").write_text("PATH=/nowhere\n")
    with pytest.raises(
        Absent, match=r"there is no Slurm here: squeue is not on the PATH, not in .*, and a login shell"
    ):
        commands.find(host)
