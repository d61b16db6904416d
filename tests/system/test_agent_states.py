"""What a probe remembers does not travel while it stays the same."""

import os

import pytest

from runbook.engine.fleet import Spec, agent, local, messages
from runbook.modules.states import States


@pytest.fixture
def frames(monkeypatch):
    """The sizes of the requests that are sent."""
    sizes = []
    encode = agent.wire.encode

    def counted(message):
        frame = encode(message)
        sizes.append(len(frame))
        return frame

    monkeypatch.setattr(agent.wire, "encode", counted)
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


def test_looks_that_overtake_each_other_name_only_states_that_the_agent_still_has(tmp_path):
    log = tmp_path / "x.log"
    log.write_text("begun\n")
    slow = {"argv": ("sleep", "0.3")}
    params = {"paths": (str(log),), "patterns": ("error",)}
    with local.connect(tmp_path / "agent") as host:
        state = dict(host.probe([Spec("d", "log", params)])["d"].state)
        for number in range(6):
            with log.open("a") as file:
                file.write(f"line {number}\n")
            # the first is answered last, the second goes without a state, the third with what the others told
            requests = [
                [Spec("d", "log", params, state), Spec("slow", "command", slow)],
                [Spec("d", "log", params)],
            ]
            sent = [host.send(messages.probe(specs)) for specs in requests]
            answers: dict[int, dict] = {}
            while len(answers) < len(sent):
                for seq, answer in host.receive(5.0):
                    assert "error" not in answer, answer
                    answers[seq] = answer
                    state = dict(messages.looks(answer)["d"].state)
                    again = host.send(messages.probe([Spec("d", "log", params, state)]))
                    sent += [again] if len(sent) < 5 else []
                    answers.setdefault(again, {}) if again not in sent else None
            assert host.probe([Spec("d", "log", params, state)])["d"].records == ()


def test_looks_that_remember_nothing_leave_nothing_behind():
    known = States()
    specs = [{"id": f"intent-{number}", "probe": "http"} for number in range(100)]
    known.fill(specs)
    known.take(1, specs, [{"status": "seen", "state": {}} for _ in specs])
    assert known._known == {}
