"""Each step on daemons of each manager, the real ones: done once, not twice, not with --check, and killed in the middle."""

import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import agents
import pytest
from systemd_host import SystemdHost, lacking
from test_services_managers import ended, needed

from runbook.engine.fleet import local
from runbook.engine.fleet.messages import Spec
from runbook.engine.language import params
from runbook.engine.model import Order, Seen, StepStatus
from runbook.modules import catalogue

# Says what it hears, names itself in a pidfile where it is given one, and lives.
TOY = f"""#!{sys.executable} -IS
import os, signal, sys
signal.signal(signal.SIGUSR1, lambda *_: open(sys.argv[0] + ".heard", "a").close())
if sys.argv[1:2] not in ([], ["stray"]):
    open(sys.argv[1], "w").write(str(os.getpid()))
while True:
    signal.pause()
"""
MANAGERS = ("systemd", "systemd user", "supervisor", "runit", "pidfile")
SUPERVISORD = """
[unix_http_server]
file={place}/s.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisord]
logfile={place}/log
pidfile={place}/pid
nodaemon=true
[supervisorctl]
serverurl=unix://{place}/s.sock
[program:toy]
command={toy}
autostart=false
autorestart=false
startsecs=0
"""


class Managed:
    """One toy daemon under one manager, and an agent that knows it."""

    def __init__(self, agent, toy, unit, **fixed):
        self.agent, self.toy, self.unit, self.fixed = agent, toy, unit, fixed
        self.starts = {"start": [str(toy), unit]} if unit.endswith(".pid") else {}
        self.numbers = itertools.count(1)

    def order(self, module, **more):
        if module == "restart_daemon" or (module == "daemon" and more.get("state") != "stopped"):
            more = {"settle": "100ms", **self.starts, **more}
        typed = params.coerce(catalogue.step(module), {"unit": self.unit, **self.fixed, **more})
        return f"{self.toy.parent.name}-{next(self.numbers)}", Order(module, typed, timeout=60)

    def step(self, module, *, check=False, **more):
        return self.agent.run(
            *self.order(module, **more), subject="toy", check=check, writable=[str(self.toy.parent)]
        )  # fmt: skip

    def killed(self, module, **more):
        """Begin a step, and kill its process once it waits for what it has ordered."""
        seq = self.agent.submit(*self.order(module, **more), subject="toy", writable=[str(self.toy.parent)])
        for number, message in heard(self.agent):
            if number == seq and "progress" in message:
                for pid in children(agents.pid_of(self.agent)):
                    os.kill(pid, signal.SIGKILL)
            if number == seq and "result" in message:
                return self.agent.outcome(message)
        return None

    @property
    def seen(self):
        typed = params.coerce(catalogue.probe("daemon"), {"unit": self.unit, **self.fixed})
        look = self.agent.probe([Spec("it", "daemon", typed)])["it"]
        assert isinstance(look, Seen), look
        return look.records[0].fields

    def living(self):
        """The toy's processes, dead ones left out."""
        found = set()
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and str(self.toy).encode() in (entry / "cmdline").read_bytes():
                    found.add(int(entry.name))
        return found


def heard(agent):
    while True:
        yield from agent.receive(20.0)


def children(pid):
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture(scope="module")
def systemd(tmp_path_factory):
    why = lacking()
    if why and os.environ.get("CI") == "true":
        pytest.fail(why)
    if why:
        pytest.skip(why)
    booted = SystemdHost(tmp_path_factory.mktemp("systemd").resolve())
    yield booted
    booted.close()


@pytest.fixture
def toy(tmp_path):
    place = tmp_path.resolve() / "t"
    place.mkdir()
    made = place / "toy.py"
    made.write_text(TOY)
    made.chmod(0o755)
    return made


@pytest.fixture(params=MANAGERS)
def managed(request, toy, tmp_path, monkeypatch):
    kind = request.param
    with contextlib.ExitStack() as stack:
        python, fixed, unit = None, {}, str(toy.parent / "toy.pid")
        if kind.startswith("systemd"):
            host = request.getfixturevalue("systemd")
            unit = f"toy{len(list(host.units.iterdir()))}"
            host.unit(f"{unit}.service", f"[Service]\nExecStart={toy}\n")
            stack.callback(host.systemctl, "stop", unit, check=False)
            if kind == "systemd":
                monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
                python = str(host.python)
            else:
                fixed = {"scope": "user"}
                for name, value in host.env.items():
                    monkeypatch.setenv(name, value)
        elif kind == "supervisor":
            unit, fixed = "toy", {"config": str(toy.parent / "s.conf")}
            (toy.parent / "s.conf").write_text(SUPERVISORD.format(place=toy.parent, toy=toy))
            program = Path(sys.executable).parent / "supervisord"
            run = subprocess.Popen(
                [program, "-c", fixed["config"]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(ended, run)
            agents.wait_for((toy.parent / "s.sock").exists)
        elif kind == "runit":
            needed("runsvdir", "sv")
            unit = str(toy.parent / "service" / "toy")
            Path(unit).mkdir(parents=True)
            shutil.copy(toy, f"{unit}/run")
            Path(unit, "run").write_text(f"#!/bin/sh\nexec {toy}\n")
            Path(unit, "down").touch()
            run = subprocess.Popen(
                ["runsvdir", "-P", toy.parent / "service"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(run.wait)
            stack.callback(subprocess.run, ["sv", "force-shutdown", unit], check=False, capture_output=True)
            stack.callback(run.send_signal, signal.SIGHUP)
            agents.wait_for((Path(unit) / "supervise/ok").exists)
        agent = stack.enter_context(local.connect(str(tmp_path / "agent"), python=python))
        made = Managed(agent, toy, unit, **fixed)
        stack.callback(lambda: [os.kill(pid, signal.SIGKILL) for pid in made.living()])
        yield made


def test_a_daemon_is_started_and_stopped_once(managed):
    first, again = managed.step("daemon"), managed.step("daemon")
    assert [(one.status, one.changed, one.error) for one in (first, again)] == [
        (StepStatus.DONE, True, ""),
        (StepStatus.DONE, False, ""),
    ]
    assert managed.seen["alive"] is True
    stopped, again = managed.step("daemon", state="stopped"), managed.step("daemon", state="stopped")
    assert [(one.status, one.changed) for one in (stopped, again)] == [
        (StepStatus.DONE, True),
        (StepStatus.DONE, False),
    ]
    assert managed.seen["alive"] is False
    assert managed.living() == set()


def test_a_daemon_is_restarted_with_another_process_whether_it_runs_or_not(managed):
    down = managed.step("restart_daemon")
    assert (down.status, down.error) == (StepStatus.DONE, "")
    before = managed.seen["pid"]
    assert managed.step("restart_daemon").status is StepStatus.DONE
    assert managed.seen["pid"] not in {before, None}
    assert before not in managed.living()


def test_a_check_changes_nothing(managed):
    asked = [("daemon", {}), ("restart_daemon", {}), ("signal", {"signal": "TERM"})]
    for module, more in asked:
        assert managed.step(module, check=True, **more).status is StepStatus.PLANNED
        assert (managed.seen["alive"], managed.living()) == (False, set())
    managed.step("daemon")
    pid = managed.seen["pid"]
    asked = [
        ("daemon", {"state": "stopped"}),
        ("restart_daemon", {}),
        ("signal", {"signal": "KILL"}),
        ("kill_orphans", {"match": str(managed.toy)}),
    ]
    for module, more in asked:
        assert managed.step(module, check=True, **more).status is StepStatus.PLANNED
        assert (managed.seen["alive"], managed.seen["pid"]) == (True, pid)
    assert not Path(f"{managed.toy}.heard").exists()


def test_a_signal_is_heard_by_the_main_process_and_ends_it_where_it_should(managed):
    deaf = managed.step("signal", signal="USR1")
    assert (deaf.status, "so nobody hears USR1" in deaf.error) == (StepStatus.FAILED, True)
    managed.step("daemon")
    pid = managed.seen["pid"]
    assert managed.step("signal", signal="USR1").status is StepStatus.DONE
    agents.wait_for(Path(f"{managed.toy}.heard").exists)
    assert managed.seen["pid"] == pid
    assert managed.step("signal", signal="TERM").changed
    assert pid not in managed.living()
    agents.wait_for(lambda: not managed.seen["alive"])
    over = managed.step("signal", signal="TERM")
    assert (over.status, over.changed) == (StepStatus.DONE, False)


def test_orphans_are_killed_once_and_the_daemon_lives(managed):
    managed.step("daemon")
    pid = managed.seen["pid"]
    stray = subprocess.Popen([managed.toy, "stray"], start_new_session=True)
    try:
        match = re.escape(str(managed.toy))
        first, again = managed.step("kill_orphans", match=match), managed.step("kill_orphans", match=match)
        assert [(one.status, one.changed, one.error) for one in (first, again)] == [
            (StepStatus.DONE, True, ""),
            (StepStatus.DONE, False, ""),
        ]
        assert stray.wait(10) == -signal.SIGTERM
        assert managed.seen["pid"] == pid
    finally:
        stray.kill()
        stray.wait()


@pytest.mark.parametrize("module", ["daemon", "restart_daemon"])
def test_a_start_that_was_killed_in_the_middle_is_run_again(managed, module):
    outcome = managed.killed(module, settle="30s", within="40s")
    assert (outcome.status, "ended by signal 9" in outcome.error) == (StepStatus.FAILED, True)
    again = managed.step(module)
    assert (again.status, again.error) == (StepStatus.DONE, "")
    assert managed.living() == {managed.seen["pid"]}


def test_what_runs_counts_as_up_when_a_probe_finds_it_well(managed):
    ready = managed.toy.parent / "ready"
    late = managed.step("restart_daemon", until={"file": str(ready)}, within="1s")
    assert (late.status, f"did not see that file {ready} is well within 1 s (it is not there)" in late.error) == (
        StepStatus.FAILED,
        True,
    )
    assert managed.seen["alive"] is True
    ready.touch()
    assert managed.step("daemon", until={"file": str(ready)}).changed is False
