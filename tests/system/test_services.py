"""Daemons with a pidfile: real processes, killed, orphaned, replaced, undead, and what probes and steps make of them."""

import os
import subprocess
import sys
import time

import pytest
from toy_daemon import TOY, killed, toy, until

from runbook.engine.fleet.messages import Spec
from runbook.engine.language import params
from runbook.engine.model import StepStatus
from runbook.modules import catalogue


@pytest.fixture
def machine(tmp_path):
    with toy(tmp_path) as made:
        yield made


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
