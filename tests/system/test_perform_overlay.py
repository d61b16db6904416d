"""Trees on an overlay whose layers are two disks: files bear another device than their directory, and are no mounts."""

import json
import os
import shutil
import subprocess
import sys
import textwrap

import pytest

CODE = """
    import json, os, sys
    from runbook.modules.acting import walking
    root = sys.argv[1]
    level = walking._listed(os.open(root, os.O_RDONLY | os.O_DIRECTORY), root, "", set(), frozenset())
    print(json.dumps([sorted(name for name, _ in level.folder.things), sorted(name for name, _ in level.folder.mounts)]))
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare to mount")
def test_files_of_an_overlay_are_no_mounts_and_a_file_that_is_mounted_is_one(tmp_path):
    program = tmp_path / "look.py"
    program.write_text(textwrap.dedent(CODE))
    (tmp_path / "lower").mkdir()
    (tmp_path / "lower/below").write_text("below")
    script = f"""
        mkdir {tmp_path}/over {tmp_path}/all && mount -t tmpfs tmpfs {tmp_path}/over &&
        mkdir {tmp_path}/over/upper {tmp_path}/over/work &&
        mount -t overlay overlay {tmp_path}/all -o xino=off,lowerdir={tmp_path}/lower \
            -o upperdir={tmp_path}/over/upper,workdir={tmp_path}/over/work &&
        echo above > {tmp_path}/all/above && touch {tmp_path}/all/mounted &&
        mount --bind {tmp_path}/lower/below {tmp_path}/all/mounted &&
        exec {sys.executable} {program} {tmp_path}/all
    """
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    if "mount:" in done.stderr and not os.environ.get("CI"):
        pytest.skip(f"no overlay here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [["above", "below"], ["mounted"]]
