"""Processes that do not want to end, or must not be ended: bombs, watchmen, the deaf, the stuck, containers, ourselves."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import agents
import pytest
from test_services_matrix import Managed, toy  # noqa: F401 -- a fixture

from runbook.engine.fleet import local
from runbook.engine.language import params
from runbook.engine.model import Order, StepStatus
from runbook.modules import catalogue

HEAD = """#!{python} -IS
import os, signal, sys, time
if sys.argv[1:2] != ["stray"]:
    os.getsid(0) == os.getpid() or os.setsid()
    with open(sys.argv[1], "w") as file: file.write(str(os.getpid()))
signal.signal(signal.SIGTERM, signal.SIG_IGN)
END = time.time() + 60
"""
# Starts one more every 20 ms, and each of them another; no more than forty times, and for no longer than a minute.
BOMB = (
    HEAD
    + """
for _ in range(40):
    time.sleep(0.02)
    if os.fork() == 0:
        time.sleep(0.02)
        os.fork()
        break
time.sleep(max(0.0, END - time.time()))
"""
)
# Two that watch each other, and start the other anew when it has died.
WATCH = (
    HEAD
    + """
other = os.fork()
if other == 0: other = os.getppid()
while time.time() < END:
    time.sleep(0.01)
    try: os.waitpid(-1, os.WNOHANG)
    except ChildProcessError: pass
    try: os.kill(other, 0)
    except ProcessLookupError:
        parent = os.getpid()
        other = os.fork() or parent
"""
)


@pytest.fixture
def managed(toy, tmp_path):  # noqa: F811 -- the fixture
    unit = str(toy.parent / "toy.pid")
    with local.connect(str(tmp_path / "agent")) as agent:
        made = Managed(agent, toy, unit, match=re.escape(str(toy)))
        yield made
        end = time.monotonic() + 20
        while left := made.living():
            assert time.monotonic() < end, left
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            for pid in made.living():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def begun(managed, code):
    managed.toy.write_text(code.format(python=sys.executable))
    subprocess.Popen(
        [managed.toy, managed.unit], start_new_session=True
    ).returncode = 0  # whoever it is, init's to bury
    agents.wait_for(lambda: Path(managed.unit).exists() and Path(managed.unit).read_text() and managed.living())


@pytest.mark.parametrize("code", [BOMB, WATCH], ids=["bomb", "watchmen"])
def test_what_starts_others_while_it_is_ended_is_ended_with_all_of_them(managed, code):
    begun(managed, code)
    outcome = managed.step("daemon", state="stopped", grace="300ms")
    assert (outcome.status, outcome.error) == (StepStatus.DONE, "")
    assert managed.living() == set()


def test_a_signal_to_a_tree_reaches_what_is_born_meanwhile(managed):
    begun(managed, WATCH)
    outcome = managed.step("signal", signal="KILL", tree=True)
    assert (outcome.status, outcome.error) == (StepStatus.DONE, "")
    assert managed.living() == set()


def test_a_process_that_left_its_session_is_an_orphan_by_its_command_line(managed):
    code = HEAD.replace("signal.signal(signal.SIGTERM, signal.SIG_IGN)", "") + (
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork(): os._exit(0)\n    time.sleep(300)\ntime.sleep(300)\n"
    )
    begun(managed, code)
    agents.wait_for(lambda: managed.seen["orphans"] == 1)
    main = managed.seen["pid"]
    assert managed.step("kill_orphans", grace="2s").status is StepStatus.DONE
    assert managed.living() == {main}


def test_a_process_that_hangs_in_the_kernel_is_told_as_such_and_ends_when_it_wakes(managed):
    group = Path("/sys/fs/cgroup/freezer") / f"runbook-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no freezer of cgroup v1 here: {error}")
    try:
        begun(managed, HEAD + "time.sleep(300)\n")
        pid = int(Path(managed.unit).read_text())
        (group / "cgroup.procs").write_text(str(pid))
        (group / "freezer.state").write_text("FROZEN")
        agents.wait_for(lambda: f"{Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0]}" == "D")
        outcome = managed.step("daemon", state="stopped", grace="100ms")
        assert outcome.status is StepStatus.FAILED
        assert re.search(r"still there after KILL: .* hangs in the kernel \(state D\)", outcome.error)
        (group / "freezer.state").write_text("THAWED")
        agents.wait_for(lambda: agents.gone(pid))
        assert managed.step("daemon", state="stopped").status is StepStatus.DONE
    finally:
        (group / "freezer.state").write_text("THAWED")
        for each in managed.living():
            os.kill(each, signal.SIGKILL)
        agents.wait_for(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def test_a_zombie_hears_nothing_and_needs_no_end(managed):
    child = os.fork()
    if not child:
        os._exit(0)
    try:
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        Path(managed.unit).write_text(f"{child}\n")
        deaf, over = managed.step("signal", signal="HUP"), managed.step("signal", signal="KILL")
        assert [one.status for one in (deaf, over)] == [StepStatus.FAILED, StepStatus.DONE]
        assert over.changed is False
    finally:
        os.waitpid(child, 0)


def test_the_agent_and_its_parents_are_not_signalled_by_any_name(managed):
    ours = {os.getpid(), agents.pid_of(managed.agent), os.getppid()} - {1}  # init is nobody's daemon: nothing to do
    for pid in ours:
        Path(managed.unit).write_text(f"{pid}\n")
        for module, more in (("signal", {"signal": "KILL"}), ("daemon", {"state": "stopped"})):
            typed = params.coerce(catalogue.step(module), {"unit": managed.unit, **more})
            outcome = managed.agent.run(f"i{pid}{module}", Order(module, typed, timeout=20), subject="toy")
            assert (outcome.status, outcome.changed) == (StepStatus.REFUSED, False), (pid, outcome)
    marker = f"marker-{os.getpid()}-{time.time_ns()}"
    program = (
        "import sys\nfrom runbook.engine.fleet import local\nfrom runbook.engine.model import Order\n"
        "with local.connect(sys.argv[2]) as agent:\n"
        "    order = Order('signal', {'match': sys.argv[1], 'signal': 'KILL', 'tree': True}, timeout=20)\n"
        "    print(agent.run('i', order, subject='').actions)\n"
    )
    argv = [sys.executable, "-c", program, marker, str(managed.toy.parent / "other")]
    assert subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout.strip() == "()"


def test_what_runs_in_a_container_is_nobody_s_orphan_and_hears_no_signal_by_its_command_line(managed):
    own = next((line for line in Path("/proc/self/cgroup").read_text().splitlines() if ":name=systemd:" in line), "")
    group = Path("/sys/fs/cgroup/systemd") / own.rpartition(":")[2].strip("/") / f"docker-runbook{os.getpid()}.scope"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control groups to make here: {error}")
    managed.toy.write_text(HEAD.format(python=sys.executable) + "time.sleep(300)\n")
    inside, outside = (subprocess.Popen([managed.toy, "stray"], start_new_session=True) for _ in range(2))
    try:
        (group / "cgroup.procs").write_text(str(inside.pid))
        agents.wait_for(lambda: {inside.pid, outside.pid} <= managed.living())
        assert managed.step("kill_orphans", grace="100ms").status is StepStatus.DONE
        assert (inside.poll(), outside.wait(10)) == (None, -signal.SIGKILL)
        assert managed.step("signal", unit=None, signal="KILL").changed is False
        assert inside.poll() is None
    finally:
        for each in (inside, outside):
            each.kill()
            each.wait()
        group.rmdir()


@pytest.mark.parametrize(
    "name",
    [
        "--host=evil",
        "a b",
        "a;reboot",
        "../x",
        "*",
        "vllm\nreboot",
        "reboot.target",
        "systemd-poweroff.service",
        "\u202evllm",
    ],
)
def test_a_unit_s_name_that_a_host_wrote_is_a_name_or_nothing(managed, name):
    for manager in ("systemd", "supervisor", "runit", "docker", "auto"):
        order = Order("restart_daemon", {"unit": name, "manager": manager}, timeout=20, host_text=frozenset({"unit"}))
        outcome = managed.agent.run(f"i-{manager}-{abs(hash(name))}", order, subject="x")
        assert outcome.status in {StepStatus.REFUSED, StepStatus.FAILED}
        assert [action for action in outcome.actions if action["changed"]] == []
