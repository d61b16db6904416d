"""Pidfiles that lie on purpose, and processes that look like others: nobody is killed by them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_daemon import toy

from runbook.engine.language import params
from runbook.engine.model import Order, StepStatus
from runbook.modules import catalogue
from runbook.modules.host import Host


@pytest.fixture
def machine(tmp_path):
    with toy(tmp_path) as made:
        yield made


def spawned(code):
    """Start a program whose parent ends at once, in a session whose leader is that parent; return (leader, it)."""
    begin = (
        "import os, subprocess, sys; os.setsid()\n"
        f"it = subprocess.Popen([sys.executable, '-c', {code!r}], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "print(os.getpid(), it.pid, flush=True)"
    )
    done = subprocess.run([sys.executable, "-c", begin], capture_output=True, text=True, timeout=30, check=True)
    leader, pid = map(int, done.stdout.split())
    return leader, pid


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("module", ["daemon", "restart_daemon", "kill_orphans"])
def test_what_a_host_wrote_names_no_pidfile_outside_of_writable(machine, module):
    machine.start()
    outside = machine.place.parent / "victim.pid"
    outside.write_text(machine.pidfile.read_text())
    more = {"daemon": {"state": "stopped"}, "restart_daemon": {"start": ["true"]}, "kill_orphans": {}}[module]
    typed = params.coerce(catalogue.step(module), {"unit": str(outside), **more})
    order = Order(module, typed, timeout=30, host_text=frozenset({"unit"}))
    outcome = machine.agent.run("i", order, subject="toy", writable=[str(machine.place)])
    assert (outcome.status, outcome.changed) == (StepStatus.REFUSED, False)
    assert f"{outside} lies outside of what is writable" in outcome.error
    assert machine.look()["alive"] is True


def test_what_a_host_wrote_reaches_no_pidfile_by_a_link_in_writable(machine):
    machine.start()
    (machine.place / "link.pid").symlink_to(machine.pidfile)
    typed = params.coerce(catalogue.step("daemon"), {"unit": str(machine.place / "link.pid"), "state": "stopped"})
    order = Order("daemon", typed, timeout=30, host_text=frozenset({"unit"}))
    outcome = machine.agent.run("i", order, subject="toy", writable=[str(machine.place)])
    assert outcome.status is StepStatus.REFUSED
    assert machine.look()["alive"] is True


def test_what_a_host_wrote_may_name_a_pidfile_in_writable(machine):
    machine.start()
    typed = params.coerce(catalogue.step("daemon"), {"unit": str(machine.pidfile), "state": "stopped"})
    order = Order("daemon", typed, timeout=30, host_text=frozenset({"unit"}))
    assert machine.agent.run("i", order, subject="toy", writable=[str(machine.place)]).status is StepStatus.DONE
    assert machine.living() == set()


def test_an_innocent_daemon_in_a_session_that_an_old_pidfile_names_is_not_killed(machine):
    leader, innocent = spawned("import time; time.sleep(300)")
    try:
        machine.pidfile.write_text(f"{leader}\n")
        assert machine.look(unit=str(machine.pidfile))["orphans"] == 1  # by its session alone it is one
        old = time.time() - 3600
        for when in (None, (old, old)):
            os.utime(machine.pidfile, when)
            assert machine.look()["orphans"] == 0
            assert machine.step("kill_orphans").changed is False
        assert machine.look(unit=str(machine.pidfile))["orphans"] == 0  # younger than the pidfile
        assert machine.step("kill_orphans", match=None).changed is False
        assert alive(innocent)
    finally:
        os.kill(innocent, signal.SIGKILL)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has processes that others may not name")
def test_a_pidfile_of_an_ordinary_user_does_not_end_a_process_of_root(machine):
    with subprocess.Popen(["sleep", "300"]) as victim:
        try:
            machine.pidfile.write_text(f"{victim.pid}\n")
            os.chown(machine.pidfile, 65534, 65534)
            seen = machine.look(unit=str(machine.pidfile))
            assert (seen["alive"], seen["state"], seen["pid"]) == (False, "stale", None)
            outcome = machine.step("daemon", state="stopped", match=None)
            assert (outcome.status, outcome.changed) == (StepStatus.DONE, False)
            assert victim.poll() is None
        finally:
            victim.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has processes that others may not name")
@pytest.mark.parametrize("way", ["{place}/mine/link.pid", "{place}/mine/up/victim.pid"])
def test_a_link_of_an_ordinary_user_to_a_pidfile_of_root_does_not_end_a_process_of_root(machine, way):
    with subprocess.Popen(["sleep", "300"]) as victim:
        try:
            (machine.place / "victim.pid").write_text(f"{victim.pid}\n")
            (machine.place / "mine").mkdir()
            for name, target in (("link.pid", "../victim.pid"), ("up", str(machine.place))):
                (machine.place / "mine" / name).symlink_to(target)
                os.chown(machine.place / "mine" / name, 65534, 65534, follow_symlinks=False)
            unit = way.format(place=machine.place)
            assert machine.look(unit=unit)["state"] == "stale"
            assert machine.step("daemon", unit=unit, state="stopped", match=None).changed is False
            assert victim.poll() is None
            assert machine.look(unit=str(machine.place / "victim.pid"))["alive"] is True
        finally:
            victim.kill()


def test_a_process_that_a_link_of_ours_leads_to_is_believed(machine):
    machine.start()
    (machine.place / "current").symlink_to(machine.place)
    (machine.place / "current.pid").symlink_to("current/toy.pid")
    assert machine.look(unit=str(machine.place / "current.pid"))["pid"] == machine.pid


def test_threads_of_the_kernel_are_told_by_the_kernel():
    mine = {one.pid: one for one in Host().processes()}
    assert not mine[os.getpid()].kernel
    for one in mine.values():  # in a container there are none, and the second process may be anybody
        assert not one.kernel or (one.argv == (f"[{one.name}]",) and one.rss == 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may begin a new table of processes")
def test_the_second_process_of_a_container_is_seen_with_its_children():
    script = (
        "import os, time\n"
        "from runbook.modules.host import Host\n"
        "from runbook.modules.daemons.processes import table\n"
        "second = os.fork()\n"
        "if not second:\n"
        "    child = os.fork()\n"
        "    if child: os.waitpid(child, 0)\n"
        "    else: time.sleep(300)\n"
        "while len(table(Host()).by_pid) < 3: time.sleep(0.01)\n"
        "print(second, sorted(one.pid for one in table(Host()).by_pid.values() if not one.kernel))\n"
    )
    words = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    if "unshare" in done.stderr:
        pytest.skip(f"no new table of processes here: {done.stderr.strip()}")
    assert done.stdout.split("\n")[0] == "2 [1, 2, 3]", done.stderr
