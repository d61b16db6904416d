"""What a probe remembers does not travel while it stays the same."""

import os
import select

import pytest

from runbook.engine.fleet import Spec, conversation, local, messages
from runbook.modules.states import States


@pytest.fixture
def frames(monkeypatch):
    """The sizes of the requests that are sent."""
    sizes = []
    encode = conversation.wire.encode

    def counted(message):
        frame = encode(message)
        sizes.append(len(frame))
        return frame

    monkeypatch.setattr(conversation.wire, "encode", counted)
    return sizes


def test_a_state_that_stays_the_same_travels_neither_way(tmp_path, frames):
    folder = tmp_path / "logs"
    folder.mkdir()
    for number in range(300):
        (folder / f"{number}.log").write_text("x\n")
    os.utime(folder, (1, 1))
    params = {"paths": (f"{folder}/*.log",), "patterns": ("error",)}
    with local.connect(tmp_path / "agent") as host:
        first = host.probe([Spec("d", "log", params)])["d"]
        second = host.probe([Spec("d", "log", params, dict(first.state))])["d"]
        frames.clear()
        third = host.probe([Spec("d", "log", params, dict(second.state))])["d"]
        assert third.state == second.state
        assert len(third.state["cursors"][f"{folder}/*.log"]) == 300
        assert frames
        assert max(frames) < 1000
        (folder / "7.log").write_text("x\nerror\n")
        fourth = host.probe([Spec("d", "log", params, dict(third.state))])["d"]
        assert [record.fields["line"] for record in fourth.records] == ["error"]
        again = host.probe([Spec("d", "log", params, dict(third.state))])["d"]  # the journal could not take the fourth
        assert [record.fields["line"] for record in again.records] == ["error"]
        frames.clear()
        other = host.probe([Spec("d", "log", params, dict(fourth.state))])["d"]
        assert other.records == ()


def test_a_state_of_another_look_is_sent_in_whole(tmp_path, frames):
    log = tmp_path / "x.log"
    log.write_text("error 1\n")
    params = {"paths": (str(log),), "patterns": ("error",)}
    with local.connect(tmp_path / "agent") as host:
        state = host.probe([Spec("d", "log", params)])["d"].state
        log.write_text("error 1\nerror 2\n")
        changed = {**state, "other": "x" * 5000}
        frames.clear()
        look = host.probe([Spec("d", "log", params, changed)])["d"]
        assert [record.fields["line"] for record in look.records] == ["error 2"]
        assert max(frames) > 5000


def test_of_a_detectors_states_those_since_the_last_that_was_named_are_known():
    states = States()
    spec = {"id": "d", "state": {"n": 1}}
    states.fill([spec])
    for seq in (1, 2, 3):
        states.take(seq, [spec], [{"status": "seen", "state": {"n": seq}}])
    named = {"id": "d", "state_of": 2}
    states.fill([named])
    assert named["state"] == {"n": 2}
    with pytest.raises(ValueError, match="nothing is known of request 1"):
        states.fill([{"id": "d", "state_of": 1}])
    states.take(4, [named], [{"status": "seen", "same": True}])
    later = {"id": "d", "state_of": 4}
    states.fill([later])
    assert later["state"] == {"n": 2}


def test_a_state_that_the_agent_has_dropped_since_is_not_named(tmp_path):
    log = tmp_path / "x.log"
    log.write_text("begun\n")
    params = {"paths": (str(log),), "patterns": ("error",)}
    slow = Spec("slow", "command", {"argv": ("sleep", "1")})
    with local.connect(tmp_path / "agent") as host:
        host.ready()
        host.send(messages.probe([Spec("d", "log", params)]))
        poller = select.poll()
        for descriptor, events in host.polled().items():
            poller.register(descriptor, events & ~select.POLLOUT)
        assert poller.poll(30_000)  # it has answered, and that was not read yet
        late = host.send(messages.probe([Spec("d", "log", params), slow]))  # without a state: the agent forgets
        ((_, first),) = host.receive(0.5)
        state = dict(messages.looks(first)["d"].state)
        named = host.send(messages.probe([Spec("d", "log", params, state)]))
        found = {}
        while found.keys() != {late, named}:
            found |= dict(host.receive(30.0))
        assert messages.looks(found[named])["d"].records == ()


def test_looks_that_remember_nothing_leave_nothing_behind():
    known = States()
    specs = [{"id": f"intent-{number}", "probe": "http"} for number in range(100)]
    known.fill(specs)
    known.take(1, specs, [{"status": "seen", "state": {}} for _ in specs])
    assert known._known == {}
