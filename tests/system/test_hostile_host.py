"""A host that lies to the real controller: bounded memory, a precise reason, and nobody else is harmed."""

import contextlib
import os
import pathlib
import re
import subprocess
import sys
import time

import far
import liar
import pytest
from sshds import sshds

from runbook.engine.errors import HostUnreachable
from runbook.engine.fleet import Spec, messages
from runbook.engine.fleet import agent as agents
from runbook.engine.fleet.agent import Agent
from runbook.engine.fleet.link import Pipes
from runbook.engine.model import NotSeen, Order, Seen, StepStatus

__all__ = ["sshds"]

ROOM = 300 << 20  # bytes over what the test had: an answer of 32 MiB, its text and its values at the same time


@contextlib.contextmanager
def lying(kind):
    """Yield an agent whose other end is a liar."""
    process = subprocess.Popen(
        [sys.executable, "-S", liar.__file__, *kind.split()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    streams = (process.stdin, process.stdout, process.stderr)
    descriptors = [os.dup(stream.fileno()) for stream in streams]
    for stream in streams:
        stream.close()
    agent = Agent("gpu13", Pipes(*descriptors, lambda: None), base=None)
    try:
        yield agent
    finally:
        agent.close()
        process.kill()
        process.wait()


@contextlib.contextmanager
def bounded():
    """See that the memory of this process stays within bounds."""
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    yield
    assert peak() - before < ROOM


def peak():
    """Return the most memory that this process had since that was last reset, in bytes."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def look(agent):
    """Look once."""
    agent.ready()
    return agent.probe([Spec("h", "health", deadline=0.5)])["h"]


def test_what_the_liar_says_when_it_is_honest_is_believed():
    with lying("honest") as agent:
        assert isinstance(look(agent), Seen)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("flood before the mark", "over 64 KiB of something else before an agent's first word"),
        ("great frame before it is ready", "a frame that says it has 100000 bytes"),
        ("ready with no mapping", "it says what no agent of ours says"),
        ("endless rubbish", "a frame that says it has|a frame that is no JSON"),
        ("endless heartbeats", "there is no end to its heartbeats"),
        ("endless progress", "it answers request 1, which it was not asked, or has answered"),
        ("endless answers", "it answers request 1, which it was not asked, or has answered"),
        ("endless words", "there is no end to what it writes to its standard error"),
        ("great length", "a frame that says it has 4294967295 bytes"),
        ("half and silence", "gave no answer within"),
        ("half and end", "the agent ended"),
        ("drip", "gave no answer within"),
        ("silence", "gave no answer within"),
        ("deep and nameless", "a frame that is no JSON"),
        ("other request", "it answers request 8, which it was not asked"),
        ("true", "it answers request True, which it was not asked"),
        ("text for a number", "it answers request '1', which it was not asked"),
        ("asks for the code for ever", "it asks for code again and again"),
        ("asks for any code", "it asks for code again and again"),
        ("ready again", "it says what no agent of ours says"),
        ("gives up", r"the agent gave up: \(no text, but a list\)"),
        ("another word", "it says what no agent of ours says"),
        ("escapes at the end", "the agent ended"),
    ],
)
def test_what_no_agent_of_ours_does_ends_the_connection_with_its_reason(monkeypatch, kind, reason):
    monkeypatch.setattr(agents, "_PATIENCE", 0.5)
    with lying(kind) as agent, bounded(), pytest.raises(HostUnreachable, match=f"gpu13: .*(?:{reason})"):
        list(iter(lambda: look(agent), None))  # the first answer can be one that is to be believed


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("deep", "the agent's answer can't be read: "),
        ("deep values", "the field 'load1' is nested more than 96 levels deep"),
        ("many values", "the agent's answer can't be read: it holds over 1 Mi values"),
        ("many records", "the agent's answer can't be read: it holds over 1 Mi values"),
        ("all that fits", "the host did not answer this look"),
        ("many fields", "a record has no fields, or far too many"),
        ("deep state", "its state is nested more than 96 levels deep"),
        ("other looks", "the host did not answer this look"),
        ("a result", "the host's answer is none to a look"),
        ("great numbers", "can't be read: |the field 'uptime' has a number of too many digits"),
    ],
)
def test_an_answer_that_makes_no_sense_is_an_unknown_look(kind, reason):
    with lying(kind) as agent, bounded():
        found = look(agent)
    assert isinstance(found, NotSeen)
    assert re.search(reason, found.reason), found.reason


@pytest.mark.parametrize("kind", ["wrong kinds", "same look twice", "asks for files", "escapes"])
def test_values_that_are_odd_are_values(kind):
    with lying(kind) as agent:
        assert isinstance(look(agent), Seen)


def test_a_state_that_grows_at_each_look_is_kept_up_to_a_size():
    with lying("growing state") as agent, bounded():
        looks = [look(agent) for _ in range(5)]
    assert [type(found) for found in looks] == [Seen, Seen, NotSeen, NotSeen, NotSeen]
    assert "its state has over 4 MiB" in looks[-1].reason


@pytest.mark.parametrize("kind", ["honest", "deep", "many values", "a result", "other looks", "wrong kinds"])
def test_a_step_whose_answer_makes_no_sense_is_lost_and_never_done(kind):
    with lying(kind) as agent, bounded():
        outcome = agent.run("i1", Order("command", {"argv": ["true"]}, timeout=0.5))
    assert outcome.status is StepStatus.LOST
    assert "makes no sense" in outcome.error or "can't be read" in outcome.error or "can't do that" in outcome.error


def test_a_flood_of_progress_ends_the_connection():
    with (
        lying("endless progress") as agent,
        bounded(),
        pytest.raises(HostUnreachable, match="there is no end to what it says about a step's progress"),
    ):
        agent.run("i1", Order("command", {"argv": ["true"]}, timeout=5.0))


def test_hosts_that_lie_harm_no_other(tmp_path):
    kinds = ("endless rubbish", "endless words", "endless answers", "many values", "drip", "silence")
    with contextlib.ExitStack() as stack:
        honest = stack.enter_context(far.far(base=tmp_path / "agent"))
        honest.ready()
        liars = [stack.enter_context(lying(kind)) for kind in kinds]
        for agent in liars:
            agent.send({"op": "probe", "specs": [{"id": "h", "probe": "health"}]})
        began = time.process_time()
        ends = []
        for _ in range(20):
            assert isinstance(look(honest), Seen)
            for agent in list(liars):
                try:
                    agent.receive(0.0)
                except HostUnreachable as error:
                    ends.append(error.what)
                    liars.remove(agent)
        assert time.process_time() - began < 20.0
        assert len(ends) >= 2


def heard(agent, until):
    """Take what an agent says until an answer has that number; return it, and all that it says it has heard."""
    stirs, answer = [], None
    while answer is None:
        came = agent.receive(5.0)
        stirs += [message for _, message in came if "stirred" in message]
        answer = next((message for number, message in came if number == until), None)
    return answer, stirs


def test_a_host_that_stirs_without_end_is_given_up():
    with lying("endless stirs") as agent, bounded():
        agent.send(messages.listen())
        with pytest.raises(HostUnreachable, match="there is no end to what it says it hears"):
            heard(agent, until=2)


def test_a_host_that_stirs_at_each_look_is_looked_at_a_few_times_a_second_for_it():
    stirs, began = [], time.monotonic()
    with lying("stirs") as agent:
        agent.send(messages.listen())
        for _ in range(200):
            seq = agent.send(messages.probe([Spec("h", "health", listen="k")]))
            answer, told = heard(agent, until=seq)
            assert messages.heard(answer) == {"h": "(no text, but a list)"}
            stirs += told
    assert {(tuple(message["stirred"]), message["at"]) for message in stirs} == {(("k",), 0.0)}
    assert 10 <= len(stirs) <= 21 + 6 * (time.monotonic() - began)


FALSE = {
    "h2": "endless rubbish",
    "h3": "deep",
    "h4": "many records",
    "h5": "endless words",
    "h6": "escapes at the end",
    "h7": "wrong kinds",
}


def test_a_pass_over_hosts_that_lie_finishes_with_exit_4_and_prints_nothing_raw(tmp_path, sshds, cli):
    hosts = sshds(8)
    for name, kind in {**FALSE, "h8": "escapes"}.items():
        hosts[name].stop()
        hosts[name].reconfigure(f"ForceCommand {sys.executable} -S {liar.__file__} {kind}")
        hosts[name].start()
    hosts.write()
    runbook = """\
name: r
hosts: all
detectors:
  - name: disk full
    health:
    when: disk_free < 2
    recover: [{command: {argv: ["true"]}}]
"""
    cli.write("r.yaml", runbook)
    first = cli("apply", "r.yaml", "-i", str(hosts.inventory), "-l", "!h8", "--now")
    assert first.exit_code == 4, first.out + first.err
    done = first.out + first.err
    for name, reason in {
        "h2": "a frame that",
        "h3": "can't be read: maximum recursion depth",
        "h4": "can't be read: it holds over 1 Mi values",
        "h5": "there is no end to what it writes",
        "h6": "the agent ended with exit code 3",
        "h7": "can't tell whether `disk_free < 2` holds",
    }.items():
        assert name in done
        assert reason in " ".join(done.split()), reason
    assert re.search(r"healthy +1 +h1\b|well +1 +h1\b|✔[^\n]* h1\b", done), done
    second = cli("apply", "r.yaml", "-i", str(hosts.inventory), "-l", "h1,h6,h8", "--now", "--wait", "1s")
    assert second.exit_code == 2, second.out + second.err
    told = second.out + second.err
    assert "owned" in told
    for text in (done, told):
        assert not set(text) & set("\x1b\x07\r\u202e\x9b"), text
