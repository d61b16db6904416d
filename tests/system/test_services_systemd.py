"""Units of a real systemd: killed, failing, left over, starting; as a user's units and as the system's."""

import itertools
import os
import signal
import subprocess
import sys
import time

import pytest
from systemd_host import SystemdHost, lacking

from runbook.engine.fleet import local
from runbook.engine.fleet.messages import Spec
from runbook.engine.language import params
from runbook.engine.model import Lacking, Order, StepStatus
from runbook.modules import catalogue
from runbook.modules.host import Host

SLEEPER = """
[Service]
ExecStart=/bin/sleep 300
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    why = lacking()
    if why and os.environ.get("CI") == "true":
        pytest.fail(why)
    if why:
        pytest.skip(why)
    booted = SystemdHost(tmp_path_factory.mktemp("systemd").resolve())
    yield booted
    booted.close()


class Asked:
    """An agent that knows the units under one scope."""

    def __init__(self, agent, scope) -> None:
        self.agent = agent
        self.scope = {"scope": scope}
        self.numbers = itertools.count(1)

    def step(self, module, unit, *, progress=None, **more):
        typed = params.coerce(catalogue.step(module), {"unit": unit, **self.scope, **more})
        order = Order(module, typed, timeout=60)
        return self.agent.run(f"{unit}-{next(self.numbers)}", order, subject=unit, progress=progress)

    def look(self, unit, **more):
        typed = params.coerce(catalogue.probe("daemon"), {"unit": unit, **self.scope, **more})
        return self.agent.probe([Spec("it", "daemon", typed)])["it"]

    def fields(self, unit, **more):
        (record,) = self.look(unit, **more).records
        return record.fields


@pytest.fixture
def user(host, tmp_path, monkeypatch):
    for name, value in host.env.items():
        monkeypatch.setenv(name, value)
    with local.connect(tmp_path) as agent:
        yield Asked(agent, "user")


@pytest.fixture
def system(host, tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with local.connect(tmp_path, python=str(host.python)) as agent:
        yield Asked(agent, "system")


@pytest.fixture(params=["user", "system"])
def asked(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def unit(host, request):
    """A name for the test's unit, and a way to write it."""
    made = []

    def write(text):
        made.append(f"t{len(list(host.units.iterdir()))}")
        host.unit(f"{made[-1]}.service", text)
        return made[-1]

    yield write
    for name in made:
        host.systemctl("stop", name, check=False)


def until(holds, within=15.0):
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def killed(host, name):
    os.kill(int(host.show(name, "MainPID")), signal.SIGKILL)
    until(lambda: host.show(name, "ActiveState") == "failed")


def test_a_stopped_unit_is_started_and_seen_running(host, asked, unit):
    name = unit(SLEEPER)
    assert (asked.fields(name)["state"], asked.fields(name)["alive"]) == ("stopped", False)
    outcome = asked.step("daemon", name, settle="200ms")
    assert (outcome.status, outcome.changed, outcome.error) == (StepStatus.DONE, True, "")
    seen = asked.fields(name)
    assert (seen["alive"], seen["state"], seen["pid"]) == (True, "running", int(host.show(name, "MainPID")))
    assert 0 <= seen["uptime"] < 60
    assert asked.step("daemon", name).changed is False


def test_a_killed_unit_tells_its_signal_and_comes_back(host, asked, unit):
    name = unit(SLEEPER)
    host.systemctl("start", name)
    killed(host, name)
    seen = asked.fields(name)
    assert (seen["alive"], seen["state"], seen["pid"], seen["exit_code"], seen["restarts"]) == (
        False,
        "failed",
        None,
        -9,
        0,
    )
    assert asked.step("restart_daemon", name, settle="200ms").status is StepStatus.DONE
    assert asked.fields(name)["alive"] is True


def test_a_restart_brings_another_process(host, asked, unit):
    name = unit(SLEEPER)
    host.systemctl("start", name)
    before = host.show(name, "MainPID")
    assert asked.step("restart_daemon", name, settle="200ms").status is StepStatus.DONE
    assert host.show(name, "MainPID") not in {before, "0"}


def test_a_unit_that_dies_right_after_its_start_has_not_been_restarted(user, unit):
    name = unit("[Service]\nExecStart=/bin/sh -c 'sleep 0.3; exit 3'\n")
    outcome = user.step("restart_daemon", name, within="20s")
    assert outcome.status is StepStatus.FAILED
    assert "exit code 3" in outcome.error
    assert f"see journalctl --user -u {name}" in outcome.error
    assert user.fields(name)["exit_code"] == 3


def test_a_unit_that_systemd_restarts_in_vain_is_not_running(user, unit):
    name = unit(
        "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/sh -c 'sleep 0.1; exit 3'\nRestart=always\nRestartSec=0.1\n"
    )
    outcome = user.step("restart_daemon", name, settle="2s", within="4s")
    assert outcome.status is StepStatus.FAILED
    assert f"did not see that {name} is active" in outcome.error
    assert user.fields(name)["restarts"] > 0


def test_a_unit_that_failed_too_often_is_started_all_the_same(host, user, unit, tmp_path):
    mended = tmp_path / "mended"
    name = unit(
        f"[Unit]\nStartLimitBurst=2\nStartLimitIntervalSec=1h\n"
        f"[Service]\nExecStart=/bin/sh -c 'test -e {mended} && exec sleep 300; exit 1'\nRestart=always\nRestartSec=0\n"
    )
    host.systemctl("start", name, check=False)
    until(lambda: host.show(name, "ActiveState") == "failed")
    mended.touch()
    outcome = user.step("restart_daemon", name, settle="200ms")
    assert (outcome.status, outcome.error) == (StepStatus.DONE, "")


def test_a_start_that_another_began_is_awaited(host, user, unit, tmp_path):
    script, ready = tmp_path / "slow.py", tmp_path / "ready"
    script.write_text(
        "import os, socket, time\n"
        f"while not os.path.exists({str(ready)!r}): time.sleep(0.02)\n"
        "told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "told.connect(os.environ['NOTIFY_SOCKET'])\n"
        "told.send(b'READY=1')\n"
        "time.sleep(300)\n"
    )
    name = unit(f"[Service]\nType=notify\nExecStart={sys.executable} {script}\n")
    host.systemctl("start", "--no-block", name)
    until(lambda: host.show(name, "MainPID") != "0")
    before = host.show(name, "MainPID")
    assert (user.fields(name)["state"], user.fields(name)["alive"]) == ("starting", True)
    outcome = user.step("restart_daemon", name, settle="0s", progress=lambda _: ready.touch())
    assert (outcome.status, outcome.changed, outcome.error) == (StepStatus.DONE, False, "")
    assert (host.show(name, "ActiveState"), host.show(name, "MainPID")) == ("active", before)


def members(host, name):
    """The processes in a unit's group, which the accounting of tasks need not know."""
    group = host.show(name, "ControlGroup")
    return [one for one in Host().processes() if one.cgroup == group and not one.zombie]


def test_what_a_dead_unit_left_in_its_group_is_killed(host, asked, unit):
    name = unit("[Service]\nExecStart=/bin/sh -c 'sleep 301 & sleep 302; wait'\nKillMode=process\n")
    host.systemctl("start", name)
    until(lambda: len(members(host, name)) == 3)
    killed(host, name)
    assert asked.fields(name)["orphans"] == 2
    outcome = asked.step("kill_orphans", name, grace="2s")
    assert (outcome.status, outcome.error) == (StepStatus.DONE, "")
    until(lambda: asked.fields(name)["orphans"] == 0)


def test_what_matches_inside_a_unit_is_no_orphan_and_outside_it_is_one(host, user, unit):
    command = f"sleep 303.{os.getpid()}"
    name = unit(f"[Service]\nExecStart=/bin/sh -c '{command} & {command}; wait'\n")
    host.systemctl("start", name)
    assert user.fields(name, match=command)["orphans"] == 0
    stray = subprocess.Popen(command.split(), start_new_session=True)
    try:
        assert user.fields(name, match=command)["orphans"] == 1
        assert user.step("kill_orphans", name, match=command).status is StepStatus.DONE
        assert stray.wait(5) == -signal.SIGTERM
        assert user.fields(name)["alive"] is True
    finally:
        stray.kill()
        stray.wait()


def test_a_unit_whose_condition_does_not_hold_fails_at_once_with_that_reason(user, unit, tmp_path):
    name = unit(f"[Unit]\nConditionPathExists={tmp_path}/never\n[Service]\nExecStart=/bin/sleep 300\n")
    outcome = user.step("daemon", name, within="25s")
    assert outcome.status is StepStatus.FAILED
    assert "a Condition of its unit file does not hold" in outcome.error
    assert outcome.duration < 15


def test_a_unit_is_stopped_and_seen_stopped(host, asked, unit):
    name = unit(SLEEPER)
    host.systemctl("start", name)
    assert asked.step("daemon", name, state="stopped").status is StepStatus.DONE
    assert host.show(name, "ActiveState") == "inactive"
    assert asked.step("daemon", name, state="stopped").changed is False


def test_a_oneshot_is_over_when_it_has_run(host, user, unit, tmp_path):
    name = unit(f"[Service]\nType=oneshot\nExecStart=/bin/touch {tmp_path}/done\n")
    assert user.step("restart_daemon", name).status is StepStatus.DONE
    assert (tmp_path / "done").exists()


def test_a_unit_that_nobody_knows_is_missing_and_the_nearest_is_named(host, asked, unit):
    name = unit(SLEEPER)
    assert asked.fields(f"{name}x")["state"] == "missing"
    outcome = asked.step("restart_daemon", f"{name}x")
    assert outcome.status in {StepStatus.FAILED, StepStatus.REFUSED}
    assert f"there is no unit {name}x; did you mean t" in outcome.error


def test_a_start_that_fails_says_what_systemd_said(host, user, unit):
    name = unit("[Service]\nType=forking\nExecStart=/bin/false\n")
    outcome = user.step("restart_daemon", name)
    assert outcome.status is StepStatus.FAILED
    assert "systemctl: exit code 1" in outcome.error
    assert name in outcome.output


def test_a_user_without_a_service_manager_has_no_units(tmp_path, monkeypatch, host):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with local.connect(tmp_path) as agent:
        look = Asked(agent, "user").look("vllm")
    assert isinstance(look, Lacking)
    assert "loginctl enable-linger" in look.reason
