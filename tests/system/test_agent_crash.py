# ruff: noqa: PTH110, PTH123, PTH208
# os and not pathlib: names are compared as the kernel tells them
"""What is known of a step when agents, connections and processes die in the middle of it."""

import os
import signal

import agents
import pytest

from runbook.engine.errors import HostUnreachable
from runbook.engine.fleet import Spec, local
from runbook.engine.model import Order, StepStatus


@pytest.fixture
def connect(tmp_path, monkeypatch):
    made = []

    def connected():
        made.append(local.connect(tmp_path / "j"))
        made[-1].ready()
        return made[-1]

    with agents.packed(monkeypatch):
        yield connected
        for agent in made:
            agent.close()


def begin(agent, path, intent="i1", **more):
    """Submit a step and wait until it is in the middle of what it does."""
    seq = agent.submit(intent, Order("dawdle", {"path": str(path)}, **more), subject="gpu 0")
    agents.wait_for(lambda: os.path.exists(f"{path}.begun"))
    return seq


def children(pid):
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(name))
    return found


def test_an_agent_killed_in_the_middle_of_a_step_leaves_it_running_and_its_result_is_known(connect, tmp_path):
    agent = connect()
    begin(agent, tmp_path / "d")
    agents.kill(agent)
    with pytest.raises(HostUnreachable, match="localhost: the agent ended with signal 9"):
        agent.ask("i1")
    another = connect()
    assert another.ask("i1").status is StepStatus.RUNNING
    assert another.run("i1", Order("dawdle", {"path": f"{tmp_path}/d"})).status is StepStatus.RUNNING
    (tmp_path / "d.go").touch()
    outcome = another.await_intent("i1", within=20)
    assert (outcome.status, outcome.data["waited"]) == (StepStatus.DONE, True)
    assert (tmp_path / "d.begun").read_text() == "x"


def test_a_step_whose_agent_and_process_were_killed_is_lost_and_had_begun(connect, tmp_path):
    agent = connect()
    begin(agent, tmp_path / "d")
    pid = agents.pid_of(agent)
    (step,) = children(pid)
    agents.kill(agent)
    os.kill(step, signal.SIGKILL)
    agents.wait_for(lambda: agents.gone(step))
    another = connect()
    outcome = another.ask("i1")
    assert (outcome.status, outcome.data) == (StepStatus.LOST, {"begun": True})
    again = another.run("i1", Order("command", {"argv": ["touch", f"{tmp_path}/ran"]}))
    assert (again.status, again.error) == (StepStatus.LOST, "intent i1 was begun before and is not done twice")
    assert not (tmp_path / "ran").exists()


def test_a_lost_steps_subject_is_free_again(connect, tmp_path):
    agent = connect()
    begin(agent, tmp_path / "d")
    (step,) = children(agents.pid_of(agent))
    agents.kill(agent)
    os.kill(step, signal.SIGKILL)
    assert connect().run("i2", Order("command", {"argv": ["true"]}), subject="gpu 0").ok


def test_a_timeout_holds_though_the_agent_is_dead(connect, tmp_path):
    agent = connect()
    begin(agent, tmp_path / "d", timeout=1.5)
    agents.kill(agent)
    assert connect().await_intent("i1", within=20).status is StepStatus.TIMEOUT


def test_a_connection_that_ends_in_the_middle_of_a_step_lets_it_end_and_keeps_its_result(connect, tmp_path):
    agent = connect()
    begin(agent, tmp_path / "d")
    pid = agents.pid_of(agent)
    agent.close()
    assert not agents.gone(pid)
    another = connect()
    assert another.ask("i1").status is StepStatus.RUNNING
    (tmp_path / "d.go").touch()
    assert another.await_intent("i1", within=20).status is StepStatus.DONE
    agents.wait_for(lambda: agents.gone(pid))


def test_an_agent_told_to_end_lets_the_step_in_hand_end_first(connect, tmp_path):
    agent = connect()
    seq = begin(agent, tmp_path / "d")
    pid = agents.pid_of(agent)
    os.kill(pid, signal.SIGTERM)
    (tmp_path / "d.go").touch()
    messages = []
    while not any("result" in message for _, message in messages):
        messages += agent.receive(20)
    assert messages[-1][0] == seq
    agents.wait_for(lambda: agents.gone(pid))


def test_an_idle_agent_ends_when_its_controller_goes_away(connect):
    agent = connect()
    pid = agents.pid_of(agent)
    agent.close()
    agents.wait_for(lambda: agents.gone(pid))


def test_looks_in_flight_are_ended_when_the_controller_goes_away(connect):
    agent = connect()
    pid = agents.pid_of(agent)
    agent.send({"op": "probe", "specs": [{"id": "h", "probe": "hang"}]})
    agents.wait_for(lambda: children(pid))
    workers = children(pid)
    agent.close()
    agents.wait_for(lambda: agents.gone(pid) and all(agents.gone(worker) for worker in workers))


def test_a_program_left_running_does_not_keep_the_agent_or_its_locks(connect, tmp_path):
    agent = connect()
    pid = agents.pid_of(agent)
    outcome = agent.run("i1", Order("command", {"argv": ["sh", "-c", "sleep 60 & echo $!"]}), subject="gpu 0")
    try:
        assert agent.run("i2", Order("command", {"argv": ["true"]}), subject="gpu 0").ok
        assert agent.ask("i1").status is StepStatus.DONE
        agent.close()
        agents.wait_for(lambda: agents.gone(pid))
    finally:
        os.kill(int(outcome.output), signal.SIGKILL)


def test_an_undo_works_from_another_agent_after_a_crash(connect, tmp_path):
    (tmp_path / "w").mkdir()
    (tmp_path / "w/c.json").write_text('{"a": 1}')
    agent = connect()
    order = Order("edit_config", {"path": f"{tmp_path}/w/c.json", "set": {"a": 2}})
    assert agent.run("i1", order, writable=[f"{tmp_path}/w"]).changed
    agents.kill(agent)
    assert connect().undo("i1", [f"{tmp_path}/w"]).ok
    assert (tmp_path / "w/c.json").read_text() == '{"a": 1}'


def test_what_the_agent_said_last_is_told_when_it_dies(connect, tmp_path):
    agent = connect()
    agent.probe([Spec("x", "odd", {"kind": "broken"})])
    agents.kill(agent)
    with pytest.raises(HostUnreachable, match=r"its last words:(.|\n)*ZeroDivisionError: division by zero"):
        agent.ask("i1")
