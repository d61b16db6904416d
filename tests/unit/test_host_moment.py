"""What looks of one moment share, and where they ask anew."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from runbook.modules.daemons import pidfile
from runbook.modules.daemons.unit import Unit
from runbook.modules.host import Host


@pytest.fixture
def sleeper():
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def pids(processes):
    return {process.pid for process in processes}


def test_looks_of_one_moment_see_the_same_processes(sleeper):
    moment = {}
    first = Host(moment=moment).processes()
    assert sleeper.pid in pids(first)
    assert Host(moment=moment).processes() is first
    assert Host().processes() is not first


def test_a_process_is_shown_as_proc_has_it(sleeper):
    [found] = [process for process in Host().processes() if process.pid == sleeper.pid]
    assert found.argv == tuple(sleeper.args)
    assert (found.parent, found.uid, found.kernel, found.zombie) == (os.getpid(), os.geteuid(), False, False)
    with open("/proc/self/cgroup", encoding="ascii") as file:  # noqa: PTH123
        groups = dict(line.rstrip("\n").split(":", 2)[1:] for line in file)
    assert found.cgroup == groups.get("name=systemd", groups.get("", ""))


def test_a_daemon_that_started_after_the_picture_was_taken_is_seen(tmp_path, sleeper):
    host = Host(moment={})
    kept = [process for process in host.processes() if process.pid != sleeper.pid]
    at, _ = host.moment["processes"]
    host.moment["processes"] = (at + 1e6, kept)  # a picture of before, and fresh
    file = tmp_path / "run.pid"
    file.write_text(f"{sleeper.pid}\n")
    assert pidfile.look(host, Unit(str(file), match=None)).alive


def test_a_picture_is_not_kept_for_long(monkeypatch):
    host = Host(moment={})
    first = host.processes()
    at, known = host.moment["processes"]
    host.moment["processes"] = (at - 1.0, known)
    assert host.processes() is not first


def test_the_gpus_are_asked_once_a_moment(monkeypatch):
    asked = []
    monkeypatch.setitem(
        sys.modules, "runbook.modules.nvml",
        SimpleNamespace(read=lambda: asked.append(1) or [{"index": 0}], read_closely=list),
    )  # fmt: skip
    moment = {}
    assert Host(moment=moment).gpus() == Host(moment=moment).gpus() == [{"index": 0}]
    assert len(asked) == 1
