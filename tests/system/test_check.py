"""`runbook check` and the bundled health runbooks on real disks, files, checkpoints and processes."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile

import pytest

DISK = """
name: disk
detectors:
  - name: disk short
    health: ["{home}/small", "{home}"]
    when: disk_free < 1MB
    severity: high
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_tmpfs_is_seen_and_the_disk_beside_it_is_well(cli):
    (cli.home / "small").mkdir()
    book = cli.write("disk.yaml", DISK.format(home=cli.home))
    script = f"""
mount -t tmpfs -o size=8m tmpfs {cli.home}/small
dd if=/dev/zero of={cli.home}/small/fill bs=1M count=20 2>/dev/null
exec {sys.executable} -m runbook check {book}
"""
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script],
        env=cli.env, capture_output=True, text=True, timeout=60, check=False, cwd=cli.home,
    )  # fmt: skip
    assert done.returncode == 2, done
    lines = [line for line in done.stdout.splitlines() if "disk short" in line]
    assert sorted(line[:6] for line in lines) == ["! open", "✔ well"]
    assert next(line for line in lines if line.startswith("!")).endswith("disk free 0")


def training(cli):
    """A training directory with one fault of each kind that files can show."""
    root = cli.home / "training"
    for name in ("inbox", "logs", "checkpoints/checkpoint-10"):
        (root / name).mkdir(parents=True)
    (root / "config.json").write_text('{"model": "x"}')
    (root / "train.py").write_text("pass\n")
    checkpoint = root / "checkpoints/checkpoint-10"
    with zipfile.ZipFile(checkpoint / "optimizer.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"x" * 1000)
    (checkpoint / "config.json").write_text("{}")
    return root


def rows(ran):
    host = ran.json["runs"][0]["hosts"]["localhost"]
    return (
        {one["detector"] for one in host["incidents"] if one["state"] in {"open", "unhealed"}},
        {one["detector"] for one in host.get("well", ())},
        {one["detector"] for one in host["unknown"]},
    )


def test_training_health_finds_what_is_wrong_with_a_run(cli):
    root = training(cli)
    given = ("-e", f"root={root}", "-e", f"unit={root}/daemon.pid")
    open_, well, unknown = rows(cli.json("check", "training-health", *given))
    assert "directory missing" in open_
    assert {"file missing", "config broken", "checkpoint broken", "checkpoints pile up"} <= well
    assert not unknown

    (root / "config.json").write_text('{"model": ')
    (root / "train.py").unlink()
    data = (root / "checkpoints/checkpoint-10/optimizer.pt").read_bytes()
    (root / "checkpoints/checkpoint-10/optimizer.pt").write_bytes(data[:500])
    ran = cli.json("check", "training-health", *given)
    open_, well, _ = rows(ran)
    assert {"file missing", "config broken", "checkpoint broken"} <= open_
    assert "daemon down" in open_
    assert ran.exit_code == 2


def test_fix_makes_missing_directories_and_says_that_they_are_there(cli):
    root = training(cli)
    given = ("-e", f"root={root}", "-e", f"unit={root}/daemon.pid", "--detector", "directory missing")
    ran = cli("check", "training-health", *given)
    assert ran.exit_code == 2
    assert not (root / "status").exists()
    fixed = cli("check", "training-health", "--fix", *given)
    assert fixed.exit_code == 0, fixed
    assert (root / "status").is_dir()
    assert "cured" in fixed.out
    assert cli("check", "training-health", "--quiet", *given).out == ""


def test_check_commits_nothing(cli, tree):
    root = training(cli)
    before = tree(root)
    cli("check", "training-health", "-e", f"root={root}")
    assert tree(root) == before
    assert not (cli.home / "journal.db").exists()


def test_gpu_health_without_gpus_says_so_and_is_no_fault(cli):
    ran = cli.json("check", "gpu-health", "-e", "memory_needed=1MB", "-e", "disk_needed=1MB")
    host = ran.json["runs"][0]["hosts"]["localhost"]
    absent = {one["detector"]: one["reason"] for one in host["absent"]}
    assert "gpu overheating" in absent
    assert {"memory short", "disk short"} <= {one["detector"] for one in host["well"]}


def test_gpu_health_names_the_gpus_that_are_lost_and_hot(cli, gpus):
    gpus.tell(3, gpu1__error=15, gpu2__temperature=96)
    ran = cli.json("check", "gpu-health", "--now", "-e", "memory_needed=1MB", "-e", "disk_needed=1MB", env=gpus.environ)
    assert ran.exit_code == 2
    found = {(one["detector"], one["subject"]): one["state"] for one in ran.host["incidents"]}
    assert found[("gpu ill", "1")] == "open"
    assert ("gpu overheating", "2") in found
    assert ("gpu ill", "0") not in found
