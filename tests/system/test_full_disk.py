"""A file system that is really full: what is freed is freed there, and what failed for want of space goes on."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

RUNBOOK = str(Path(sys.executable).with_name("runbook"))
FILL = """
import os, sys
place, moment = sys.argv[1], 1_700_000_000
for number in range(1000):
    path = f"{place}/old/{number:03}"
    try:
        with open(path, "wb") as file:
            file.write(b"x" * 500_000)
    except OSError as error:
        print(error.strerror)
        os.utime(path, (moment + number, moment + number))
        break
    os.utime(path, (moment + number, moment + number))
"""


def may_mount():
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not may_mount(), reason="needs root and a kernel that lets it mount in a namespace of its own"),
]


@pytest.fixture
def on_full_disk(tmp_path):
    """Run a script where `$FULL` is a full tmpfs of 8 MB, and journal and agent lie elsewhere."""
    full = tmp_path / "full"
    full.mkdir()
    (tmp_path / "fill.py").write_text(FILL)
    head = f"""
        set -e
        mount -t tmpfs -o size=8m tmpfs {full}
        mkdir {full}/old
        {sys.executable} {tmp_path}/fill.py {full}
        set +e
        cd {tmp_path}
    """

    def run(script):
        done = subprocess.run(
            [
                "unshare",
                "-m",
                "--propagation",
                "private",
                "bash",
                "-c",
                textwrap.dedent(head) + textwrap.dedent(script),
            ],
            env={
                **os.environ,
                "FULL": str(full),
                "RUNBOOK": RUNBOOK,
                "RUNBOOK_JOURNAL": str(tmp_path / "j.db"),
                "RUNBOOK_AGENT_DIR": str(tmp_path / "agent"),
            },
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        first, _, rest = done.stdout.partition("\n")
        assert first == "No space left on device", done.stdout + done.stderr
        return rest

    return run


def test_the_oldest_go_until_enough_is_free_and_the_mount_point_is_the_writable_entry(on_full_disk):
    said = on_full_disk("""
        $RUNBOOK run clear_cache path=$FULL until_free=3MB --writable $FULL --format json > said.json
        echo $?; ls $FULL/old | head -1; stat -f -c '%a %S' $FULL
        $RUNBOOK run clear_cache path=$FULL until_free=3MB --writable $FULL -q > again.txt; echo $?
        ls $FULL/old | wc -l; cat said.json
    """)
    code, oldest, free, again, left, document = said.split("\n", 5)
    assert (code, again) == ("0", "0")
    blocks, size = map(int, free.split())
    assert 3_000_000 <= blocks * size < 3_000_000 + 2 * 503_808  # no more went than had to
    first = int(oldest)
    assert first > 0
    assert int(left) == 17 - first  # the second run found enough free
    (operation,) = json.loads(document)["runs"][0]["hosts"]["localhost"]["operations"]
    assert operation["state"] == "succeeded"


def test_what_failed_for_want_of_space_goes_on_when_the_cache_is_cleared(on_full_disk, tmp_path):
    (tmp_path / "r.yaml").write_text(
        textwrap.dedent(f"""\
        name: full
        writable: [{tmp_path}/full]
        operations:
          - name: fetch
            command: dd if=/dev/zero of={tmp_path}/full/model bs=1M count=3
            retry: {{strategy: immediate, attempts: 2}}
        detectors:
          - name: disk full
            error: '(?i)no space left'
            mode: auto
            recover: [{{clear_cache: {{path: {tmp_path}/full/old, until_free: 4MB}}}}]
        """)
    )
    said = on_full_disk("""
        $RUNBOOK apply r.yaml > said.txt 2>&1; echo $?
        stat -c %s $FULL/model; ls $FULL/old | tail -1; cat said.txt
    """)
    code, size, newest, text = said.split("\n", 3)
    assert (code, size) == ("0", "3145728"), text
    assert newest == "016"  # the youngest stays
    assert "disk full" in text


def test_a_config_is_changed_whole_or_not_at_all(on_full_disk):
    said = on_full_disk("""
        printf '{"port": 8000}' > c.json; truncate -s -1k $FULL/old/016 2>/dev/null
        rm $FULL/old/000; printf '{"port": 8000}' > $FULL/c.json
        cat /dev/zero > $FULL/rest 2>/dev/null
        $RUNBOOK run edit_config path=$FULL/c.json 'set={port: 8001}' --writable $FULL > said.txt 2>&1; echo $?
        cat $FULL/c.json; echo; ls -A $FULL | tr '\\n' ' '; cat said.txt
    """)
    code, content, names, text = said.split("\n", 3)
    assert code == "2"
    assert content == '{"port": 8000}'
    assert names.split(" ")[:3] == ["c.json", "old", "rest"]
    assert "No space left on device" in names + text
