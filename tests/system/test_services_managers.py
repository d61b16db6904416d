"""Daemons under supervisor, runit and docker: real ones, killed, failing, stopped, restarted, orphaned."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from runbook.engine.fleet import local
from runbook.engine.fleet.messages import Spec
from runbook.engine.language import params
from runbook.engine.model import Lacking, Order, Seen, StepStatus
from runbook.modules import catalogue

DEADLINE = 20.0


def until(tell, deadline=DEADLINE):
    """Look again and again until it is so."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        found = tell()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it never came about")


def needed(*programs):
    missing = [program for program in programs if shutil.which(program) is None]
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"not installed: {missing}")
    if missing:
        pytest.skip(f"not installed: {missing}")


def ended(process):
    process.terminate()
    try:
        process.wait(DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Asked:
    """An agent that knows the daemons of one manager."""

    def __init__(self, agent, **fixed) -> None:
        self.agent = agent
        self.fixed = fixed
        self.numbers = itertools.count(1)

    def step(self, module, unit, **more):
        typed = params.coerce(catalogue.step(module), {"unit": unit, **self.fixed, **more})
        return self.agent.run(f"step-{next(self.numbers)}", Order(module, typed, timeout=60), subject=unit)

    def look(self, unit, **more):
        typed = params.coerce(catalogue.probe("daemon"), {"unit": unit, **self.fixed, **more})
        return self.agent.probe([Spec("it", "daemon", typed)])["it"]

    def fields(self, unit, **more):
        look = self.look(unit, **more)
        assert isinstance(look, Seen), look
        (record,) = look.records
        return record.fields


@pytest.fixture
def agent(tmp_path):
    with local.connect(str(tmp_path / "agent")) as connected:
        yield connected


SUPERVISORD = """
[unix_http_server]
file=%(here)s/s.sock
username=me
password=secret
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisord]
logfile=%(here)s/log
pidfile=%(here)s/pid
nodaemon=true
[supervisorctl]
serverurl=unix://%(here)s/s.sock
username=me
password=secret
[program:sleeper]
command=/bin/sleep 300
startsecs=0
[program:idle]
command=/bin/sleep 301
autostart=false
startsecs=0
[program:failing]
command=/bin/sh -c 'exit 7'
startretries=0
autorestart=false
[program:once]
command=/bin/sh -c 'exit 3'
startsecs=0
autorestart=false
"""


@pytest.fixture
def supervisor(agent, tmp_path):
    place = tmp_path / "s"  # a socket's path is short
    place.mkdir()
    config = place / "supervisord.conf"
    config.write_text(SUPERVISORD)
    program = Path(sys.executable).parent / "supervisord"
    if not program.exists():
        needed("supervisord")
    process = subprocess.Popen([program, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    asked = Asked(agent, config=str(config))
    try:
        until(lambda: isinstance(asked.look("sleeper"), Seen) and asked.fields("sleeper")["state"] == "running")
        yield asked
    finally:
        ended(process)


def test_supervisor_tells_what_runs_and_what_does_not(supervisor):
    seen = supervisor.fields("sleeper")
    assert seen["alive"] is True
    assert seen["pid"] > 1
    assert 0 <= seen["uptime"] < DEADLINE
    assert supervisor.fields("idle")["state"] == "stopped"
    until(lambda: supervisor.fields("failing")["state"] == "failed")
    assert supervisor.fields("failing")["alive"] is False
    assert until(lambda: supervisor.fields("once")["exit_code"]) == 3
    assert supervisor.fields("nothing")["state"] == "missing"


def test_supervisor_restarts_what_was_killed_and_we_see_it(supervisor):
    before = supervisor.fields("sleeper")["pid"]
    os.kill(before, signal.SIGKILL)
    until(lambda: supervisor.fields("sleeper")["alive"] and supervisor.fields("sleeper")["pid"] not in {before, None})


def test_a_supervised_program_is_restarted_stopped_and_started(supervisor):
    before = supervisor.fields("sleeper")["pid"]
    assert supervisor.step("restart_daemon", "sleeper", settle="100ms").status is StepStatus.DONE
    assert supervisor.fields("sleeper")["pid"] not in {before, None}
    assert supervisor.step("daemon", "sleeper", state="stopped").changed
    assert supervisor.fields("sleeper")["state"] == "stopped"
    assert not supervisor.step("daemon", "sleeper", state="stopped").changed
    assert supervisor.step("daemon", "sleeper", settle="100ms").changed
    assert not supervisor.step("daemon", "sleeper").changed


def test_a_supervised_program_that_dies_at_once_fails_the_step(supervisor):
    outcome = supervisor.step("restart_daemon", "failing", settle="300ms", within="10s")
    assert outcome.status is StepStatus.FAILED


def test_without_a_supervisor_it_is_absent(agent, tmp_path):
    config = tmp_path / "c.conf"
    config.write_text("[supervisorctl]\nserverurl=unix://%(here)s/none.sock\n")
    assert isinstance(Asked(agent, config=str(config)).look("x"), Lacking)


@pytest.fixture
def runit(agent, tmp_path):
    needed("runsvdir", "sv")
    services = tmp_path / "service"
    for name, run in (("sleeper", "exec sleep 300"), ("failing", "exit 1"), ("idle", "exec sleep 301")):
        (services / name).mkdir(parents=True)
        (services / name / "run").write_text(f"#!/bin/sh\n{run}\n")
        (services / name / "run").chmod(0o755)
    (services / "idle" / "down").touch()
    process = subprocess.Popen(["runsvdir", "-P", services], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    asked = Asked(agent)
    try:
        until(lambda: asked.fields(str(services / "sleeper"))["state"] == "running")
        until(lambda: asked.fields(str(services / "idle"))["state"] == "stopped")
        yield asked, services
    finally:
        process.send_signal(signal.SIGHUP)  # runsvdir ends, and tells each runsv to end its service
        process.wait(DEADLINE)
        for name in ("sleeper", "failing", "idle"):
            subprocess.run(["sv", "force-shutdown", services / name], check=False, capture_output=True)


def test_runit_tells_what_runs_and_what_does_not(runit):
    asked, services = runit
    seen = asked.fields(str(services / "sleeper"))
    assert (seen["alive"], seen["state"]) == (True, "running")
    assert (
        asked.fields(str(services / "failing"))["alive"] is False
        or asked.fields(str(services / "failing"))["uptime"] < 2
    )
    assert asked.fields(str(services / "idle"))["state"] == "stopped"


def test_a_service_of_runit_is_restarted_stopped_and_started(runit):
    asked, services = runit
    unit = str(services / "sleeper")
    before = asked.fields(unit)["pid"]
    assert asked.step("restart_daemon", unit, settle="100ms").status is StepStatus.DONE
    assert asked.fields(unit)["pid"] not in {before, None}
    assert asked.step("daemon", unit, state="stopped").changed
    assert asked.fields(unit)["state"] == "stopped"
    assert not asked.step("daemon", unit, state="stopped").changed
    assert asked.step("daemon", unit, settle="100ms").changed
    assert asked.fields(unit)["state"] == "running"


def test_orphans_are_those_outside_the_service(runit):
    asked, services = runit
    unit = str(services / "sleeper")
    stray = subprocess.Popen(["sleep", "300"])
    try:
        assert asked.fields(unit, match="^sleep 300$")["orphans"] == 1
    finally:
        stray.kill()
        stray.wait()


@pytest.fixture
def docker(agent, tmp_path, monkeypatch):
    needed("dockerd", "docker", "busybox")
    if os.geteuid() != 0:
        pytest.skip("only root can run a dockerd")
    place = Path(tempfile.mkdtemp(prefix="rb"))  # the paths of its sockets must be short
    socket = f"unix://{place}/d.sock"
    log = (place / "log").open("wb")
    process = subprocess.Popen(
        ["unshare", "--mount", "--propagation=private", "dockerd", "--host", socket, "--data-root", place / "data", "--exec-root", place / "exec",
         "--pidfile", place / "pid", "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs"],
        stdout=log, stderr=log,
    )  # fmt: skip
    monkeypatch.setenv("DOCKER_HOST", socket)

    def run(*argv, **more):
        return subprocess.run(["docker", *argv], check=False, capture_output=True, timeout=60, **more)

    try:
        until(lambda: run("version").returncode == 0 or process.poll() is not None, 90.0)
        if process.poll() is not None:
            pytest.fail((place / "log").read_text()[-2000:])
        (place / "root/bin").mkdir(parents=True)
        shutil.copy(shutil.which("busybox"), place / "root/bin/busybox")
        image = subprocess.run(["tar", "-C", place / "root", "-c", "."], check=True, capture_output=True).stdout
        assert run("import", "-", "tiny", input=image).returncode == 0
        for name, words in (("sleeper", ["sleep", "300"]), ("ended", ["sh", "-c", "exit 3"])):
            made = run("run", "--detach", "--name", name, "--network=none", "tiny", "/bin/busybox", *words)
            assert made.returncode == 0, made.stderr
        with local.connect(str(tmp_path / "agent")) as connected:  # it was started before DOCKER_HOST was set
            yield Asked(connected, manager="docker"), run
    finally:
        run("rm", "--force", "sleeper", "ended")
        ended(process)
        log.close()
        shutil.rmtree(place, ignore_errors=True)


def test_containers_are_daemons_too(docker):
    asked, run = docker
    seen = asked.fields("sleeper")
    assert (seen["alive"], seen["state"], seen["restarts"]) == (True, "running", 0)
    over = until(lambda: (one := asked.fields("ended"))["state"] == "failed" and one)
    assert (over["alive"], over["exit_code"]) == (False, 3)
    assert asked.fields("nothing")["state"] == "missing"
    run("kill", "sleeper")
    killed = until(lambda: (one := asked.fields("sleeper"))["state"] == "failed" and one)
    assert killed["exit_code"] == -9
    assert asked.step("restart_daemon", "sleeper", settle="100ms").status is StepStatus.DONE
    assert asked.fields("sleeper")["alive"] is True
    assert asked.step("daemon", "sleeper", state="stopped", grace="1s").changed
    assert asked.fields("sleeper")["alive"] is False
    assert not asked.step("daemon", "sleeper", state="stopped").changed
    asked.fixed = {}
    assert asked.fields("sleeper")["alive"] is False, "auto finds the manager that knows the container"
