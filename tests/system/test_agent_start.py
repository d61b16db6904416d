# ruff: noqa: PTH110, PTH116, PTH118, PTH208
# os and not pathlib: names are compared as the kernel tells them
"""How an agent comes to be: its directory, its code, its interpreter, and what it does with junk."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import time

import agents
import pytest

from runbook.engine.errors import HostUnreachable
from runbook.engine.fleet import Spec, local, pack
from runbook.engine.model import Order, Seen
from runbook.modules import wire


def python39():
    """Return an interpreter of 3.9, when there is one."""
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv"))
    found: list[str] = []
    with contextlib.suppress(PermissionError):
        found = sorted(map(str, pyenv.glob("versions/3.9.*/bin/python")))
    candidates = [shutil.which("python3.9"), *found]
    for candidate in filter(None, candidates):
        if subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def test_the_code_is_sent_once_and_found_the_next_time(tmp_path, monkeypatch):
    with local.connect(tmp_path) as agent:
        agent.ready()
    code = tmp_path / "agent/code" / pack.digest()
    assert (code / "runbook/modules/agent.py").exists()
    monkeypatch.setattr(pack, "packed", lambda **_: pytest.fail("sent again"))
    with local.connect(tmp_path) as agent:
        assert isinstance(agent.probe([Spec("h", "health")])["h"], Seen)


def test_everything_the_agent_keeps_is_its_own_alone(tmp_path):
    with local.connect(tmp_path) as agent:
        agent.run("i1", Order("command", {"argv": ["true"]}))
    for root, directories, files in os.walk(tmp_path / "agent"):
        for name in directories:
            if "code" not in root:
                assert not os.stat(os.path.join(root, name)).st_mode & 0o077, name
        for name in files:
            if "code" not in root:
                assert not os.stat(os.path.join(root, name)).st_mode & 0o077, name
    assert not os.stat(tmp_path / "agent/code" / pack.digest()).st_mode & 0o077


def test_damaged_code_is_not_taken(tmp_path, monkeypatch):
    body = bytearray(pack.packed())
    at = body.index(b"The loop on a host")
    body[at : at + 3] = b"the"
    monkeypatch.setattr(pack, "packed", lambda **_: bytes(body))
    with local.connect(tmp_path) as agent, pytest.raises(HostUnreachable, match=r"arrived damaged|Bad CRC"):
        agent.ready()
    assert not (tmp_path / "agent/code" / pack.digest()).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a directory away")
def test_a_directory_of_another_user_is_refused(tmp_path):
    (tmp_path / "agent").mkdir(mode=0o700)
    os.chown(tmp_path / "agent", 12345, 12345)
    with local.connect(tmp_path) as agent, pytest.raises(HostUnreachable, match="belongs to uid 12345, not to 0"):
        agent.ready()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a directory away")
def test_code_of_another_user_is_not_imported(tmp_path):
    with local.connect(tmp_path) as agent:
        agent.ready()
    os.chown(tmp_path / "agent/code" / pack.digest(), 12345, 12345)
    with local.connect(tmp_path) as agent, pytest.raises(HostUnreachable, match="belongs to uid 12345"):
        agent.ready()


def test_a_directory_that_others_may_write_in_is_refused_with_the_way_to_mend_it(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with local.connect(tmp_path / "open") as agent, pytest.raises(HostUnreachable, match=f"chmod go-w {tmp_path}/open"):
        agent.ready()


def test_a_directory_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "agent").symlink_to("real")
    with local.connect(tmp_path) as agent, pytest.raises(HostUnreachable, match="is a link; name the real directory"):
        agent.ready()


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with local.connect(tmp_path / "file") as agent, pytest.raises(HostUnreachable, match=r"file.*(not a directory)"):
        agent.ready()


def test_an_interpreter_that_is_not_there_is_told(tmp_path):
    with pytest.raises(HostUnreachable, match="/no/python can't be started: No such file or directory"):
        local.connect(tmp_path, python="/no/python")


def test_an_interpreter_that_ends_at_once_is_told(tmp_path):
    with (
        local.connect(tmp_path, python="/bin/false") as agent,
        pytest.raises(HostUnreachable, match="localhost: nothing that was started there said a word"),
    ):
        agent.ready()


def test_something_that_is_no_agent_is_told(tmp_path):
    echo = tmp_path / "python"
    echo.write_text("#!/bin/sh\necho 'Welcome to host7, unauthorised use is prohibited'\n")
    echo.chmod(0o755)
    with (
        local.connect(tmp_path, python=str(echo)) as agent,
        pytest.raises(
            HostUnreachable, match=r"no agent began; it printed `Welcome to host7, unauthorised use is prohibited`"
        ),
    ):
        agent.ready()


def test_somebodys_own_runbook_engine_and_modules_in_the_directory_are_left_alone(tmp_path, monkeypatch):
    for name in ("runbook", "modules", "engine", "json"):
        (tmp_path / "cwd" / name).mkdir(parents=True)
        (tmp_path / "cwd" / name / "__init__.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "cwd"))
    with local.connect(tmp_path) as agent:
        assert isinstance(agent.probe([Spec("h", "health")])["h"], Seen)


@pytest.mark.parametrize(
    ("junk", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "the agent gave up: a frame that says it has"),
        (wire.frame(b"{"), "the agent gave up: a frame that is no JSON"),
        (wire.frame(b"[]"), "the agent gave up: a frame that is no JSON object"),
        (b"\xff" * 8, "the agent gave up: a frame that says it has 4294967295 bytes"),
    ],
)
def test_junk_ends_the_agent_with_a_clean_answer(tmp_path, junk, reason):
    with local.connect(tmp_path) as agent:
        pid = agents.pid_of(agent)
        os.write(agent._link._requests, junk)
        with pytest.raises(HostUnreachable, match=reason):
            agent.receive(20)
        agents.wait_for(lambda: agents.gone(pid))


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ({"op": "dance"}, {"error": "no request 'dance'"}),
        ({}, {"error": "no request None"}),
        ({"op": "ask"}, {"error": "the agent can't do that: a request that can't be understood: KeyError: 'intent'"}),
        ({"op": "ask", "intent": "../x"}, {"error": "the agent can't do that: not an intent's id: '../x'"}),
        ({"op": "probe", "specs": 3}, {"error": "a request that can't be understood: TypeError: "}),
    ],
)
def test_a_request_that_makes_no_sense_is_answered_and_the_agent_goes_on(tmp_path, request_, answer):
    with local.connect(tmp_path) as agent:
        seq = agent.send(request_)
        ((number, message),) = agent.receive(20)
        assert number == seq
        assert message.get("result", message)["error"].startswith(answer["error"])
        assert isinstance(agent.probe([Spec("h", "health")])["h"], Seen)


def test_a_step_that_makes_no_sense_is_refused(tmp_path):
    with local.connect(tmp_path) as agent:
        seq = agent.send({"op": "run", "intent": "i1", "timeout": "soon"})
        ((number, message),) = agent.receive(20)
        assert (number, message["result"]["status"]) == (seq, "refused")


def test_closing_twice_is_fine_and_a_closed_agent_says_so(tmp_path):
    agent = local.connect(tmp_path)
    agent.close()
    agent.close()
    with pytest.raises(HostUnreachable, match="the connection was closed"):
        agent.receive(1)


def test_no_descriptor_is_left_open_and_ended_agents_are_reaped_by_the_next_start(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    pids = []
    for _ in range(3):
        with local.connect(tmp_path) as agent:
            pids.append(agents.pid_of(agent))
        agents.wait_for(lambda: agents.gone(pids[-1]))
    assert len(os.listdir("/proc/self/fd")) == before
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids[:-1])


@pytest.mark.skipif(python39() is None, reason="no Python 3.9 was found (python3.9 on the PATH, or in pyenv)")
def test_the_agent_runs_under_python_39(tmp_path, monkeypatch):
    (tmp_path / "w").mkdir()
    (tmp_path / "w/c.json").write_text('{"a": 1}')
    (tmp_path / "w/old").write_text("")
    with agents.packed(monkeypatch), local.connect(tmp_path, python=python39()) as agent:
        looks = agent.probe([Spec("f", "file", {"path": [f"{tmp_path}/w/c.json"]}), Spec("h", "hang", deadline=0.3)])
        assert agent.python.startswith("3.9.")
        assert isinstance(looks["f"], Seen)
        assert looks["h"].reason == "the look did not end within 0.3 s"
        pids = [agent.probe([Spec("p", "odd", {"kind": "pid"})])["p"].records[0].fields["value"] for _ in range(3)]
        assert len(set(pids)) == 1  # the process that looked stays
        writable = [f"{tmp_path}/w"]
        edit = Order("edit_config", {"path": f"{tmp_path}/w/c.json", "set": {"a": 2}})
        assert agent.run("i1", edit, writable=writable, diff=True).changed
        assert agent.undo("i1", writable).changed
        clear = Order("clear_cache", {"path": f"{tmp_path}/w", "match": ["old"]})
        assert agent.run("i2", clear, writable=writable).changed
        assert agent.run("i3", Order("command", {"argv": ["echo", "hi"]})).output == "hi\n"
    assert sorted(os.listdir(tmp_path / "w")) == ["c.json"]


def test_a_start_with_its_code_in_place_is_quick(tmp_path):
    with local.connect(tmp_path) as agent:
        agent.ready()
    bare, first = [], []
    for _ in range(5):
        began = time.monotonic()
        subprocess.run([sys.executable, "-I", "-c", "pass"], check=True)
        bare.append(time.monotonic() - began)
        began = time.monotonic()
        with local.connect(tmp_path) as agent:
            agent.ready()
            first.append(time.monotonic() - began)
    assert min(first) < 8 * min(bare)
