"""Daemons with a pidfile: real processes, killed, orphaned, replaced, undead, and what probes and steps make of them."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runbook.engine.fleet import local
from runbook.engine.fleet.messages import Spec
from runbook.engine.language import params
from runbook.engine.model import Order, StepStatus
from runbook.modules import catalogue
from runbook.modules.host import Host

# Starts a child, writes its own pid, and lives; `--die` ends at once, `--deaf` does not hear TERM.
TOY = """
import os, signal, subprocess, sys, time
if "--child" not in sys.argv:
    if "--deaf" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, sys.argv[0], "--child"])
    with open(sys.argv[1] + ".new", "w") as file:
        file.write(f"{os.getpid()}\\n")
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    print("serving", flush=True)
    if "--die" in sys.argv:
        child.kill()
        sys.exit(3)
time.sleep(300)
"""


class Machine:
    """A directory with a toy daemon in it, and an agent to ask about it."""

    def __init__(self, place: Path, agent) -> None:
        self.place = place
        self.pidfile = place / "toy.pid"
        self.script = place / "toy.py"
        self.script.write_text(TOY)
        self.unit = {"unit": str(self.pidfile), "match": f"{place}/toy[.]py"}
        self.numbers = itertools.count(1)
        self.agent = agent

    @property
    def argv(self):
        return [sys.executable, str(self.script), str(self.pidfile)]

    def step(self, module, *, check=False, writable=None, **more):
        typed = params.coerce(catalogue.step(module), {**self.unit, **more})
        intent = f"{self.place.name}-{next(self.numbers)}"
        return self.agent.run(
            intent, Order(module, typed, timeout=30), subject="toy", check=check,
            writable=[str(self.place)] if writable is None else writable,
        )  # fmt: skip

    def start(self, *options, **more):
        return self.step(
            "daemon", start=[*self.argv, *options], log=str(self.place / "out.log"), settle="200ms", **more
        )

    def restart(self, *options, **more):
        return self.step("restart_daemon", start=[*self.argv, *options], settle="200ms", **more)

    def look(self, probe="daemon", **given):
        typed = params.coerce(catalogue.probe(probe), given or self.unit)
        (record,) = self.agent.probe([Spec("it", probe, typed)])["it"].records
        return record.fields

    @property
    def pid(self):
        return int(self.pidfile.read_text())

    def living(self):
        """The toy's processes, dead ones left out."""
        found = set()
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and str(self.script).encode() in (entry / "cmdline").read_bytes():
                    found.add(int(entry.name))
        return found


@pytest.fixture
def machine(tmp_path):
    place = tmp_path.resolve() / "work"
    place.mkdir()
    with local.connect(tmp_path) as agent:
        made = Machine(place, agent)
        yield made
    for pid in made.living():
        os.kill(pid, signal.SIGKILL)


def until(holds, within=10.0):
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def killed(machine):
    """Kill the daemon the hard way, and wait until init has taken note of it."""
    pid = machine.pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists())


def test_a_daemon_is_started_and_seen_alive(machine):
    outcome = machine.start()
    assert (outcome.status, outcome.changed, outcome.error) == (StepStatus.DONE, True, "")
    seen = machine.look()
    assert (seen["alive"], seen["state"], seen["pid"], seen["orphans"]) == (True, "running", machine.pid, 0)
    assert 0 <= seen["uptime"] < 60
    assert (machine.place / "out.log").read_text() == "serving\n"


def test_a_daemon_that_runs_is_left_alone(machine):
    machine.start()
    pid = machine.pid
    outcome = machine.start()
    assert (outcome.status, outcome.changed, machine.pid) == (StepStatus.DONE, False, pid)


def test_a_killed_daemon_leaves_a_stale_pidfile_and_an_orphan(machine):
    machine.start()
    killed(machine)
    seen = machine.look()
    assert (seen["alive"], seen["state"], seen["pid"], seen["orphans"]) == (False, "stale", None, 1)


def test_the_orphan_of_a_killed_daemon_is_found_by_its_session_without_a_pattern(machine):
    machine.start()
    killed(machine)
    assert machine.look(unit=str(machine.pidfile))["orphans"] == 1


def test_orphans_are_killed_and_the_daemon_comes_back(machine):
    machine.start()
    killed(machine)
    first = machine.step("kill_orphans")
    assert (first.status, first.changed) == (StepStatus.DONE, True)
    assert machine.living() == set()
    again = machine.step("kill_orphans")
    assert (again.status, again.changed, again.actions) == (StepStatus.DONE, False, ())
    assert machine.restart().status is StepStatus.DONE
    assert machine.look()["alive"] is True


def test_a_restart_ends_the_daemon_with_its_children_and_starts_another(machine):
    machine.start()
    until(lambda: len(machine.living()) == 2)
    before = machine.living()
    assert machine.restart().status is StepStatus.DONE
    assert not before & machine.living()
    assert machine.look()["alive"] is True


def test_a_daemon_that_does_not_listen_is_killed_after_its_grace(machine):
    machine.start("--deaf")
    before = machine.pid
    outcome = machine.restart(grace="100ms")
    assert outcome.status is StepStatus.DONE
    assert "KILL" in outcome.actions[0]["what"]
    assert before not in machine.living()


def test_a_daemon_that_dies_right_after_its_start_has_not_been_restarted(machine):
    began = time.monotonic()
    outcome = machine.restart("--die", within="25s")
    assert outcome.status is StepStatus.FAILED
    assert "ended again" in outcome.error
    assert time.monotonic() - began < 15


def test_a_daemon_that_dies_before_it_writes_its_pidfile_fails_at_once_too(machine):
    machine.script.write_text("import no_such_module")
    began = time.monotonic()
    outcome = machine.restart("--die", within="25s", log=str(machine.place / "out.log"))
    assert outcome.status is StepStatus.FAILED
    assert f"nothing of it is left): see {machine.place}/out.log" in outcome.error
    assert time.monotonic() - began < 15


def test_a_daemon_that_lived_for_a_moment_fails_at_once_with_the_log_to_look_into(machine):
    machine.script.write_text(TOY.replace("sys.exit(3)", "time.sleep(0.8); sys.exit(3)"))
    began = time.monotonic()
    outcome = machine.step(
        "restart_daemon", start=[*machine.argv, "--die"], settle="2s", within="25s", log=str(machine.place / "out.log")
    )
    assert outcome.status is StepStatus.FAILED
    assert "ended again" in outcome.error
    assert str(machine.place / "out.log") in outcome.error
    assert time.monotonic() - began < 15


def test_a_process_that_took_the_pid_is_neither_believed_nor_killed(machine):
    other = subprocess.Popen(["sleep", "300"])
    try:
        machine.pidfile.write_text(f"{other.pid}\n")
        assert machine.look()["state"] == "stale"
        assert machine.restart().status is StepStatus.DONE
        assert machine.look()["alive"] is True
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_process_younger_than_its_pidfile_is_another_one(machine):
    machine.start()
    old = time.time() - 3600
    os.utime(machine.pidfile, (old, old))
    assert (machine.look()["alive"], machine.look()["state"]) == (False, "stale")


def test_a_zombie_is_not_alive(machine):
    child = os.fork()
    if not child:
        os._exit(0)
    try:
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # dead, and not asked how it ended
        machine.pidfile.write_text(f"{child}\n")
        seen = machine.look()
        assert (seen["alive"], seen["state"], seen["pid"]) == (False, "zombie", child)
    finally:
        os.waitpid(child, 0)


def test_a_pidfile_outside_of_writable_is_left_and_the_daemon_started(machine):
    machine.start()
    killed(machine)
    machine.step("kill_orphans")
    before = machine.pidfile.stat().st_ino
    outcome = machine.restart(writable=[])
    assert outcome.status is StepStatus.DONE
    assert [action["action"] for action in outcome.actions] == ["run", "until"]
    assert machine.pidfile.stat().st_ino != before  # by the daemon itself


def test_a_log_outside_of_writable_is_refused_before_the_daemon_is_touched(machine):
    machine.start()
    pid = machine.pid
    outcome = machine.restart(log=str(machine.place.parent / "elsewhere.log"))
    assert (outcome.status, outcome.changed) == (StepStatus.REFUSED, False)
    assert "elsewhere.log" in outcome.error
    assert (machine.pid, machine.look()["alive"]) == (pid, True)


def test_a_plan_changes_nothing(machine):
    machine.start()
    before, pid = machine.living(), machine.pid
    outcome = machine.restart(check=True)
    assert (outcome.status, outcome.error) == (StepStatus.PLANNED, "")
    assert [action["action"] for action in outcome.actions] == ["signal", "delete", "run", "until"]
    assert (machine.living(), machine.pid) == (before, pid)


def test_a_daemon_is_stopped_with_its_children_and_its_pidfile(machine):
    machine.start()
    outcome = machine.step("daemon", state="stopped")
    assert outcome.status is StepStatus.DONE
    assert (machine.living(), machine.pidfile.exists()) == (set(), False)
    assert machine.look()["state"] == "stopped"


def test_a_daemon_with_a_stop_command_is_asked_first(machine):
    machine.start()
    outcome = machine.step(
        "daemon", state="stopped", stop=["sh", "-c", 'kill -TERM "$(cat "$0")"', str(machine.pidfile)]
    )
    assert outcome.status is StepStatus.DONE
    assert [action["action"] for action in outcome.actions] == ["run", "until", "signal", "delete"]
    assert machine.living() == set()


def test_restarts_are_counted_as_far_as_looks_saw_them(machine):
    machine.start()
    cls = catalogue.probe("daemon")
    first = machine.agent.probe([Spec("it", "daemon", params.coerce(cls, machine.unit))])["it"]
    machine.restart()
    again = machine.agent.probe([Spec("it", "daemon", params.coerce(cls, machine.unit), state=first.state)])["it"]
    assert [look.records[0].fields["restarts"] for look in (first, again)] == [0, 1]


def test_processes_are_counted_by_their_command_line(machine):
    machine.start()
    until(lambda: len(machine.living()) == 2)
    seen = machine.look("process", match=f"{machine.place}/toy[.]py")
    assert (seen["count"], set(seen["pids"]), seen["zombies"]) == (2, machine.living(), 0)
    assert seen["rss"] > 1 << 20
    assert 0 <= seen["oldest_age"] < 60
    assert seen["cpu_percent"] < 100


def test_a_busy_process_shows_in_the_first_look_and_since_the_last(machine):
    busy = subprocess.Popen([sys.executable, "-c", f"while True: {str(machine.place)!r}"])
    try:
        typed = params.coerce(catalogue.probe("process"), {"match": f"while True.*{machine.place}"})
        first = machine.agent.probe([Spec("it", "process", typed)])["it"]
        assert first.records[0].fields["cpu_percent"] > 0
        older = {**first.state, "at": first.state["at"] - 10}  # as if ten seconds had passed
        again = machine.agent.probe([Spec("it", "process", typed, state=older)])["it"]
        assert 0 <= again.records[0].fields["cpu_percent"] < 100
    finally:
        busy.kill()
        busy.wait()


def test_the_agent_and_those_who_started_it_are_never_counted(tmp_path):
    asks = (
        "import sys; from runbook.engine.fleet import local; from runbook.engine.fleet.messages import Spec\n"
        "with local.connect(sys.argv[2]) as agent:\n"
        "    look = agent.probe([Spec('it', 'process', {'match': sys.argv[1]}), Spec('py', 'process', {'match': 'hello'})])\n"
        "    print([one.records[0].fields['count'] for one in (look['it'],)])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", asks, f"marker-{tmp_path.name}", str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[0]"


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
        "from runbook.modules.processes import table\n"
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
