"""Where the journal lies, and where it can't."""

import os

import pytest

from runbook.engine.errors import JournalUnusable
from runbook.engine.journal import location

MOUNTS = """\
22 1 0:21 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /home rw - nfs4 server:/home rw
31 22 0:41 / /home/local\\040disk rw - xfs /dev/sdb1 rw
32 22 0:42 / /mnt rw - ext4 /dev/sdc1 rw
33 22 0:43 / /mnt rw - fuse.sshfs me@there: rw
34 22 0:44 / /scratch rw - lustre mds:/scratch rw
35 22 0:45 / /share rw - cifs //nas/share rw
"""


@pytest.fixture
def mounts(tmp_path, monkeypatch):
    listed = tmp_path / "mountinfo"
    listed.write_text(MOUNTS)
    monkeypatch.setattr(location, "MOUNTS", listed)
    return listed


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/runbook/journal.db", "ext4"),
        ("/home/ann/journal.db", "nfs4"),
        ("/home/local disk/journal.db", "xfs"),
        ("/homework/journal.db", "ext4"),
        ("/mnt/journal.db", "fuse.sshfs"),
    ],
)
def test_the_innermost_and_latest_mount_tells_the_file_system(mounts, path, kind):
    assert location.file_system(path) == kind


@pytest.mark.parametrize("path", ["/home/x.db", "/mnt/x.db", "/scratch/a/x.db", "/share/x.db"])
def test_a_network_file_system_is_refused_with_a_way_out(mounts, path):
    with pytest.raises(JournalUnusable, match="network file system") as caught:
        location.refuse_unfit(path)
    assert "--journal" in caught.value.mend
    assert caught.value.where == path


def test_without_a_list_of_mounts_nothing_is_refused(mounts):
    mounts.unlink()
    location.refuse_unfit("/home/x.db")


def test_the_shared_place_is_taken_where_it_can_be_made(tmp_path, monkeypatch):
    monkeypatch.delenv("RUNBOOK_JOURNAL", raising=False)
    monkeypatch.setattr(location, "SHARED", str(tmp_path / "runbook"))
    assert location.choose(None) == str(tmp_path / "runbook" / "journal.db")


def test_the_users_state_is_taken_where_the_shared_place_is_not_ours(tmp_path, monkeypatch):
    monkeypatch.delenv("RUNBOOK_JOURNAL", raising=False)
    monkeypatch.setattr(location, "SHARED", str(tmp_path / "not there" / "runbook"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert location.choose(None) == str(tmp_path / "state" / "runbook" / "journal.db")


def test_a_pipe_as_the_journal_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(JournalUnusable, match="device or a pipe"):
        location.refuse_unfit(str(tmp_path / "pipe"))
