"""What is watched to hear of a path, and where nobody could hear of it."""

import re

import pytest

from runbook.modules.listening.mounts import Mounts, remote
from runbook.modules.listening.places import MOST, TooMany, places

TABLE = """\
22 1 0:21 / / rw,relatime shared:1 - ext4 /dev/root rw
23 22 0:22 / /proc rw - proc proc rw
24 22 0:23 / /mnt/data rw shared:2 - nfs4 server:/data rw,hard
25 24 0:24 / /mnt/data/local rw - xfs /dev/sdb rw
26 22 0:25 / /mnt/my\\040share rw - cifs //nas/share rw
27 22 0:26 / /mnt/gone rw - fuse.sshfs me@there:/ rw
28 22 0:27 / /media/stick rw - fuseblk /dev/sdc rw
"""


@pytest.fixture
def logs(tmp_path):
    place = tmp_path / "logs"
    place.mkdir()
    return place


def told(path, **how):
    """Return the names that are watched by directory."""
    found = {}
    for place in places(str(path), **how):
        found.setdefault(place.folder, []).append(place.name)
    return found


def means(names, name):
    return any(name == one[1:] if one.startswith("=") else re.match(one[1:], name) for one in names)


def test_a_file_is_watched_by_its_name_in_its_directory(logs):
    assert told(logs / "x.log") == {str(logs): ["=x.log"]}


def test_of_what_is_not_there_the_nearest_directory_is_watched_for_the_next_name(logs):
    assert told(logs / "a" / "b" / "x.log") == {str(logs): ["=a"]}


@pytest.mark.parametrize(
    "name", ["x.log", "x.log.1", "x.log.2.gz", "x.log-20260131", "x.log.old", "x-20260131.log", "x.1.log", "x.1.log.xz"]
)
def test_what_rotation_makes_of_a_log_is_meant_too(logs, name):
    [names] = told(logs / "x.log", rotated=True).values()
    assert means(names, name)


@pytest.mark.parametrize("name", ["y.log", "xx.log", "x.logs", "x.txt", "x"])
def test_another_log_is_not_meant(logs, name):
    [names] = told(logs / "x.log", rotated=True).values()
    assert not means(names, name)


def test_a_pattern_watches_each_directory_that_it_lists(logs):
    for name in ("a", "b", ".hidden"):
        (logs / name / "deep").mkdir(parents=True)
    assert set(told(logs / "*.log")) == {str(logs)}
    assert set(told(logs / "[ab]" / "x.log")) == {str(logs), str(logs / "a"), str(logs / "b")}
    every = {str(logs), *(str(logs / name) for name in ("a", "b", "a/deep", "b/deep"))}
    assert set(told(logs / "**")) == every
    assert set(told(logs / "**" / "x.log")) == every


def test_a_name_with_brackets_that_is_there_stands_for_itself(logs):
    (logs / "x[1].log").touch()
    assert told(logs / "x[1].log") == {str(logs): ["=x[1].log"]}


def test_a_loop_of_links_ends(logs):
    (logs / "a").symlink_to("b")
    (logs / "b").symlink_to("a")
    (logs / "down").symlink_to(".")
    assert set(told(logs / "a" / "x.log")) == {str(logs)}
    assert str(logs) in told(logs / "**" / "x.log")
    assert str(logs) in told(logs / "down" / "down" / "x.log")


def test_too_many_directories_are_refused(logs):
    for number in range(MOST + 1):
        (logs / str(number)).mkdir()
    with pytest.raises(TooMany):
        places(f"{logs}/**")


def test_a_network_file_system_is_known_by_where_it_is_mounted(tmp_path):
    table = tmp_path / "mountinfo"
    table.write_text(TABLE)
    mounts = Mounts(str(table))
    assert mounts.refusal("/var/log") == ""
    assert mounts.refusal("/mnt/data/local/logs") == ""
    assert mounts.refusal("/media/stick") == ""
    assert "network file system (nfs4)" in mounts.refusal("/mnt/data/logs/x")
    assert "network file system (cifs)" in mounts.refusal("/mnt/my share")
    assert "network file system (fuse.sshfs)" in mounts.refusal("/mnt/gone/x")


@pytest.mark.parametrize(("kind", "expected"), [("lustre", True), ("fuse", True), ("btrfs", False), ("overlay", False)])
def test_kinds_of_file_systems(kind, expected):
    assert remote(kind) is expected
