# ruff: noqa: PTH110, PTH208
# os and not pathlib: names are compared as the kernel tells them
import os
import re
import sys
import threading
import time

import agents
import pytest

from runbook.engine.fleet import local, messages
from runbook.engine.fleet.messages import Claim
from runbook.engine.model import Order, Outcome, StepStatus


@pytest.fixture
def agent(tmp_path, monkeypatch):
    with agents.packed(monkeypatch), local.connect(tmp_path / "j") as connected:
        connected.ready()
        yield connected


def command(*argv, **more):
    return Order("command", {"argv": list(argv)}, **more)


def dawdle(path, kind="wait", **more):
    return Order("dawdle", {"path": str(path), "kind": kind}, **more)


def begun(path):
    return os.path.exists(f"{path}.begun")


def test_a_step_is_carried_out_and_its_result_kept(agent):
    outcome = agent.run("i1", command("echo", "hi"))
    assert (outcome.status, outcome.changed, outcome.output, outcome.exit_code) == (StepStatus.DONE, True, "hi\n", 0)
    assert agent.ask("i1") == outcome


def test_a_step_of_one_intent_is_carried_out_once(agent, tmp_path):
    order = command("sh", "-c", f"echo x >> {tmp_path}/ran")
    first = agent.run("i1", order)
    assert agent.run("i1", order) == first
    assert (tmp_path / "ran").read_text() == "x\n"


def test_an_intent_in_flight_is_not_begun_again(agent, tmp_path):
    seq = agent.submit("i1", dawdle(tmp_path / "d"))
    agents.wait_for(lambda: begun(tmp_path / "d"))
    assert agent.run("i1", dawdle(tmp_path / "d")).status is StepStatus.RUNNING
    (tmp_path / "d.go").touch()
    while not any(number == seq and "result" in message for number, message in agent.receive(20)):
        pass
    assert (tmp_path / "d.begun").read_text() == "x"


def test_progress_is_told_and_values_are_reported(agent, tmp_path):
    (tmp_path / "d.go").touch()
    told = []
    outcome = agent.run("i1", dawdle(tmp_path / "d"), progress=told.append)
    assert told == ["half way"]
    assert outcome.data == {"waited": True, "reported": True}


@pytest.mark.parametrize(
    ("order", "status", "error"),
    [
        (command("false"), StepStatus.FAILED, "false: exit code 1"),
        (dawdle("/x", "broken"), StepStatus.FAILED, "ZeroDivisionError: division by zero"),
        (dawdle("/x", "die"), StepStatus.FAILED, "the step's process was ended by signal 9"),
        (Order("nope", {}), StepStatus.REFUSED, "this host's agent knows no step 'nope'"),
        (Order("fail", {"message": "x"}), StepStatus.REFUSED, "`fail` is carried out by the controller, not by a host"),
        (Order("command", {}), StepStatus.REFUSED, "argv must be given"),
    ],
)
def test_a_step_that_goes_wrong_says_how(agent, order, status, error):
    outcome = agent.run("i1", order)
    assert (outcome.status, outcome.error) == (status, error)
    assert agent.ask("i1").error == error


def test_a_step_over_its_timeout_is_ended_with_what_it_started(agent, tmp_path):
    script = f"echo $$ > {tmp_path}/pid; sleep 60 & echo $! > {tmp_path}/child; wait"
    outcome = agent.run("i1", command("sh", "-c", script, timeout=0.5))
    assert (outcome.status, outcome.error) == (StepStatus.TIMEOUT, "did not end within its timeout of 0.5 s")
    assert outcome.changed
    for name in ("pid", "child"):
        agents.wait_for(lambda name=name: agents.gone(int((tmp_path / name).read_text())))


def test_a_step_that_swallows_exceptions_still_ends_at_its_timeout(agent, tmp_path):
    outcome = agent.run("i1", dawdle(tmp_path / "d", "swallow", timeout=0.3))
    assert outcome.status is StepStatus.TIMEOUT


def test_a_step_that_does_not_listen_is_killed_and_its_end_is_kept(agent):
    outcome = agent.run("i1", dawdle("/x", "deaf", timeout=0.2))
    assert (outcome.status, outcome.error) == (StepStatus.TIMEOUT, "did not end within 0.2 s and was killed")
    assert agent.ask("i1").status is StepStatus.TIMEOUT


def test_a_lower_epoch_is_refused(agent):
    assert agent.run("i1", command("true"), claim=Claim("j", 5, "ann@a", 60.0), subject="gpu 0").ok
    late = agent.run("i2", command("true"), claim=Claim("j", 4, "ann@a", 60.0), subject="gpu 0")
    assert (late.status, late.changed) == (StepStatus.REFUSED, False)
    assert "epoch 4 is over: a later lease (5) acted on gpu 0 already" in late.error
    assert agent.ask("i2") == Outcome(StepStatus.LOST, data={"begun": False})


def test_a_subject_that_another_journal_recovers_is_refused_until_it_is_given_back(agent):
    ours, theirs = Claim("j", 5, "ann@a", 60.0), Claim("k", 1, "bob@b", 60.0)
    assert agent.run("i1", command("true"), claim=ours, subject="gpu 0").ok
    early = agent.run("i2", command("true"), claim=theirs, subject="gpu 0")
    assert (early.status, early.data["held"]["by"]) == (StepStatus.REFUSED, "ann@a")
    assert "ann@a recovers gpu 0 by another journal" in early.error
    agent.send(messages.hold("gpu 0", ours))
    agent.send(messages.release("gpu 0", ours))
    assert agent.run("i3", command("true"), claim=theirs, subject="gpu 0").ok


def test_an_intent_that_was_asked_for_is_never_begun_after_it(agent, tmp_path):
    assert agent.ask("i1") == Outcome(StepStatus.LOST, data={"begun": False})
    late = agent.run("i1", command("touch", f"{tmp_path}/ran"))
    assert (late.status, (tmp_path / "ran").exists()) == (StepStatus.REFUSED, False)


def test_steps_on_different_subjects_run_at_once_and_on_one_subject_after_each_other(agent, tmp_path):
    seqs = {agent.submit(name, dawdle(tmp_path / name), subject=name[0]): name for name in ("a1", "b1", "a2")}
    agents.wait_for(lambda: begun(tmp_path / "b1") and (begun(tmp_path / "a1") or begun(tmp_path / "a2")))
    assert not (begun(tmp_path / "a1") and begun(tmp_path / "a2"))
    for name in seqs.values():
        (tmp_path / f"{name}.go").touch()
    done = set()
    while len(done) < 3:
        done |= {seqs[seq] for seq, message in agent.receive(20) if "result" in message}
    assert begun(tmp_path / "a1")
    assert begun(tmp_path / "a2")


def test_a_subject_that_stays_held_refuses_the_step(agent, tmp_path):
    agent.submit("i1", dawdle(tmp_path / "d"), subject="gpu 0")
    agents.wait_for(lambda: begun(tmp_path / "d"))
    outcome = agent.run("i2", command("true", timeout=0.3), subject="gpu 0")
    assert outcome.status is StepStatus.REFUSED
    said = r"another step acts on gpu 0 at the moment: `\w+`, since \d\d:\d\d:\d\d \(intent i1\)"
    assert re.fullmatch(said, outcome.error), outcome.error
    (tmp_path / "d.go").touch()


def test_a_path_made_of_host_text_must_lie_in_writable_before_anything_is_planned(agent, tmp_path):
    order = dawdle("/etc/x", host_text=frozenset({"path"}))
    outcome = agent.run("i1", order, writable=[str(tmp_path)])
    assert outcome.status is StepStatus.REFUSED
    assert outcome.error == f"/etc/x lies outside of what is writable ({tmp_path})"


def test_check_plans_and_keeps_nothing(agent, tmp_path):
    (tmp_path / "w").mkdir()
    (tmp_path / "w/c.json").write_text('{"a": 1}\n')
    order = Order("edit_config", {"path": f"{tmp_path}/w/c.json", "set": {"a": 2}})
    outcome = agent.run("i1", order, writable=[f"{tmp_path}/w"], check=True, diff=True)
    assert (outcome.status, outcome.changed) == (StepStatus.PLANNED, True)
    assert '+{"a": 2}' in outcome.diff
    assert (tmp_path / "w/c.json").read_text() == '{"a": 1}\n'
    assert os.listdir(tmp_path / "j/agent/intents") == []
    assert os.listdir(tmp_path / "j/agent/locks") == []


def test_an_undo_brings_back_what_the_step_changed_and_is_done_once(agent, tmp_path):
    (tmp_path / "w").mkdir()
    path = tmp_path / "w/c.json"
    path.write_text('{"a": 1}\n')
    writable = [f"{tmp_path}/w"]
    assert agent.run("i1", Order("edit_config", {"path": str(path), "set": {"a": 2}}), writable=writable).changed
    assert path.read_text() == '{"a": 2}\n'
    undone = agent.undo("i1", writable)
    assert (undone.status, undone.changed, path.read_text()) == (StepStatus.DONE, True, '{"a": 1}\n')
    assert not agent.undo("i1", writable).changed


def test_a_full_output_is_capped(agent):
    outcome = agent.run("i1", command(sys.executable, "-c", "print('line\\n' * 200_000); print('the end')"))
    assert 60_000 < len(outcome.output) < 66_000
    assert outcome.output.endswith("the end\n")


def test_a_record_that_cannot_be_kept_refuses_the_step(agent, tmp_path):
    intents = tmp_path / "j/agent/intents"
    intents.rename(tmp_path / "elsewhere")
    outcome = agent.run("i1", command("touch", f"{tmp_path}/ran"))
    assert outcome.status is StepStatus.REFUSED
    assert "No such file or directory" in outcome.error
    assert not (tmp_path / "ran").exists()


def test_many_intents_can_be_awaited_by_one_driver(agent):
    seqs = {agent.submit(f"i{n}", command("echo", str(n)), subject=str(n)): n for n in range(8)}
    found = {}
    while len(found) < len(seqs):
        found |= {seqs[seq]: agent.outcome(message) for seq, message in agent.receive(20) if "result" in message}
    assert {n: outcome.output for n, outcome in found.items()} == {n: f"{n}\n" for n in range(8)}


def test_an_intent_in_flight_can_be_awaited(agent, tmp_path):
    agent.submit("i1", dawdle(tmp_path / "d"))
    agents.wait_for(lambda: begun(tmp_path / "d"))
    assert agent.await_intent("i1", within=0.05, every=0.01).status is StepStatus.RUNNING
    opener = threading.Timer(0.1, (tmp_path / "d.go").touch)
    opener.start()
    assert agent.await_intent("i1", within=20).status is StepStatus.DONE
    opener.join()


def test_a_step_is_quick(agent):
    agent.run("i0", command("true"))
    began = time.monotonic()
    agent.run("i1", command("true"))
    assert time.monotonic() - began < 2


SECRET = "s3cr3t-t0k3n-0123456789"
SPEAK = "import os, sys; t = os.environ['T']; print('got', t); sys.stdout.flush(); sys.exit(f'{t} is wrong')"


@pytest.mark.parametrize("names", [{"env"}, {"env.T"}])
def test_a_secret_is_masked_on_the_host_before_anything_is_kept_or_sent(agent, tmp_path, names):
    order = Order("command", {"argv": [sys.executable, "-c", SPEAK], "env": {"T": SECRET}}, secret=frozenset(names))
    told = []
    outcome = agent.run("i1", order, progress=told.append)
    assert outcome.output == "got ***\n*** is wrong\n"
    assert outcome.error.endswith("exit code 1: *** is wrong")
    assert agent.ask("i1") == outcome
    assert told
    assert SECRET not in repr([outcome, told])
    assert SECRET not in kept(tmp_path / "j/agent")


def test_a_secret_in_a_difference_and_in_data_is_masked_and_in_the_file_is_not(agent, tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1}\n')
    order = Order("edit_config", {"path": str(tmp_path / "a.json"), "set": {"a": SECRET}}, secret=frozenset({"set"}))
    outcome = agent.run("i1", order, writable=[str(tmp_path)], diff=True)
    assert '+{"a": "***"}' in outcome.diff
    assert (tmp_path / "a.json").read_text() == f'{{"a": "{SECRET}"}}\n'
    assert SECRET not in repr(outcome)
    assert SECRET not in kept(tmp_path / "j/agent")


def test_no_part_of_a_secret_stands_at_a_cut_even_when_the_host_does_not_know_it(agent):
    speak = f"import sys; sys.stdout.write(('x' * int(sys.argv[1])) + ' ' + {SECRET + ' '!r} * 20_000)"
    for shift in range(0, 24, 5):
        outcome = agent.run(f"i{shift}", command(sys.executable, "-c", speak, str(shift)))
        left = re.sub(r"\n\.\.\. \d+ bytes left out \.\.\.\n", " ", outcome.output.replace(SECRET, ""))
        assert len(left) < len(outcome.output) // 2
        assert left.split() == ["x" * shift] * bool(shift)


def test_no_part_of_a_secret_stands_at_the_cut_of_an_error(agent):
    for shift in range(270, 300, 3):
        speak = f"import sys; sys.exit('x' * {shift} + ' {SECRET}')"
        outcome = agent.run(f"i{shift}", command(sys.executable, "-c", speak))
        error = outcome.error.replace(SECRET, "").rstrip()
        assert error.endswith("x" * shift)


def kept(directory):
    """Return all that the agent keeps, but its code."""
    return "".join(
        path.read_text(errors="replace") for path in directory.rglob("*") if path.is_file() and "code" not in path.parts
    )
