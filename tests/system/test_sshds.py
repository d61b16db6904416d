"""The sshds that other tests build on are real, apart from one another, and leave nothing behind."""

import os

import pytest
from sshds import lacking, running, ssh, sshds

__all__ = ["sshds"]
pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())


def test_each_is_a_host_of_its_own(sshds):
    hosts = sshds(3)
    for name in hosts:
        done = ssh(hosts, name, "echo $RB_HOST $HOME")
        assert done.stdout.split() == [name, str(hosts[name].place / "home")], done.stderr


def test_one_that_was_stopped_comes_back_at_its_place(sshds):
    hosts = sshds(1)
    hosts["h1"].stop()
    assert "refused" in ssh(hosts, "h1", "true").stderr
    hosts["h1"].start()
    assert ssh(hosts, "h1", "echo back").stdout == "back\n"


def test_what_was_left_running_on_them_ends_with_them(tmp_path):
    with running(tmp_path / "d") as hosts:
        ssh(hosts, "h1", "setsid sleep 1000 </dev/null >/dev/null 2>&1 &")
        assert len(hosts.remote()) == 1
        listener = hosts["h1"].process.pid
    assert not hosts.remote()
    assert not os.path.exists(f"/proc/{listener}")  # noqa: PTH110
