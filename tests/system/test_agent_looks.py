# ruff: noqa: PTH123
# os and not pathlib: names are compared as the kernel tells them
import os
import signal
import subprocess
import time

import agents
import pytest

from runbook.engine.fleet import Spec, local
from runbook.engine.model import UNKNOWN, Lacking, NotSeen, Seen


@pytest.fixture
def agent(tmp_path, monkeypatch):
    with agents.packed(monkeypatch), local.connect(tmp_path) as connected:
        connected.ready()
        yield connected


def odd(kind, **params):
    return Spec(kind, "odd", {"kind": kind, **params})


def test_records_come_with_their_subjects_and_unseen_fields_are_unknown(agent):
    look = agent.probe([odd("plain", words=["x", "y"])])["plain"]
    assert isinstance(look, Seen)
    assert [(record.subject, record.fields["value"]) for record in look.records] == [("a", UNKNOWN), ("b", ["x", "y"])]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("absent", Lacking("no such driver")),
        ("unclear", NotSeen("may not read /x")),
        ("greedy", NotSeen("it needs too much memory")),
        ("broken", NotSeen("ZeroDivisionError: division by zero")),
        ("exit", NotSeen("sys.exit(3) was called; raise `Unclear`")),
        ("die", NotSeen("the process that looked died (signal 9)")),
        ("object", NotSeen("TypeError: a object can't travel between agent and controller")),
        ("huge", NotSeen("it saw 17 MiB, more than the 16 MiB that an answer may have")),
    ],
)
def test_whatever_goes_wrong_in_one_look_the_others_answer(agent, kind, expected):
    looks = agent.probe([odd("first"), odd(kind), odd("last")])
    assert looks[kind] == expected
    assert isinstance(looks["first"], Seen)
    assert isinstance(looks["last"], Seen)


def test_the_bound_of_a_look_s_memory_is_not_that_of_a_program_that_it_starts(agent):
    own = subprocess.run(["sh", "-c", "ulimit -d"], capture_output=True, text=True, check=True).stdout.strip()
    look = agent.probe([odd("limit")])["limit"]
    assert isinstance(look, Seen)
    assert look.records[0].fields["value"] == own


def test_an_unknown_probe_an_engines_probe_and_wrong_parameters_are_unknown(agent):
    looks = agent.probe([Spec("a", "nope"), Spec("b", "error"), Spec("c", "odd"), Spec("d", "odd", {"knid": "x"})])
    assert looks["a"] == NotSeen("this host's agent knows no probe 'nope'")
    assert looks["b"] == NotSeen("`error` is answered by the controller, not by a host")
    assert looks["c"] == NotSeen("kind must be given")
    assert looks["d"] == NotSeen("no parameter 'knid'; there are kind, words")


def test_a_look_that_hangs_is_killed_at_its_deadline_and_holds_up_no_other(agent):
    began = time.monotonic()
    looks = agent.probe([Spec("hang", "hang", deadline=1.0), *(odd(f"o{n}") for n in range(5))])
    assert looks["hang"] == NotSeen("the look did not end within 1 s")
    assert all(isinstance(looks[f"o{n}"], Seen) for n in range(5))
    assert time.monotonic() - began < 10


def test_a_catastrophic_regex_is_killed_at_its_deadline(agent):
    spec = Spec("regex", "odd", {"kind": "regex"}, deadline=0.5)
    assert agent.probe([spec])["regex"] == NotSeen("the look did not end within 0.5 s")


def test_more_hanging_looks_than_workers_all_end(agent):
    looks = agent.probe([Spec(str(n), "hang", deadline=0.3) for n in range(12)])
    assert {look.reason for look in looks.values()} == {"the look did not end within 0.3 s"}


def test_slow_looks_are_made_side_by_side(agent):
    began = time.monotonic()
    looks = agent.probe([Spec(str(n), "hang", {"seconds": 1.0}) for n in range(6)])
    assert all(isinstance(look, Seen) for look in looks.values())
    assert time.monotonic() - began < 5


def test_what_a_probe_keeps_is_what_it_is_given_next_time(agent):
    first = agent.probe([odd("count")])["count"]
    second = agent.probe([Spec("count", "odd", {"kind": "count"}, first.state)])["count"]
    assert (first.state, second.state) == ({"count": 1}, {"count": 2})


def test_a_probe_that_prints_or_reads_does_not_disturb_the_connection(agent):
    looks = agent.probe([odd("print"), odd("stdin")])
    assert isinstance(looks["print"], Seen)
    assert looks["stdin"].records[0].fields["value"] == ""


def test_a_name_that_is_not_utf8_can_be_printed(agent):
    record = agent.probe([odd("name")])["name"].records[0]
    assert record.subject == "\ufffd"


def test_no_specs_are_no_looks(agent):
    assert agent.probe([]) == {}


def test_batches_are_answered_in_whatever_order_they_end(agent):
    slow = agent.send({"op": "probe", "specs": [{"id": "h", "probe": "hang", "deadline": 1.0}]})
    quick = agent.send({"op": "probe", "specs": [{"id": "o", "probe": "odd", "params": {"kind": "x"}}]})
    order = []
    while len(order) < 2:
        order += [seq for seq, _ in agent.receive(20)]
    assert order == [quick, slow]


def test_an_agent_that_looked_stays_small(agent):
    agent.probe([Spec("health", "health"), odd("x")])
    with open(f"/proc/{agents.pid_of(agent)}/status", encoding="ascii") as lines:
        (rss,) = [int(line.split()[1]) for line in lines if line.startswith("VmRSS")]
    assert rss < 60 << 10


def test_looks_that_are_too_much_together_are_unknown_and_the_agent_goes_on(agent):
    looks = agent.probe([Spec(str(n), "odd", {"kind": "big"}) for n in range(6)])
    assert {look.reason for look in looks.values()} == {"a message of 84 MiB, more than the 32 MiB that one may have"}
    assert isinstance(agent.probe([odd("x")])["x"], Seen)


def looker(agent):
    """Return the pid of the process that looks."""
    return agent.probe([odd("pid")])["pid"].records[0].fields["value"]


def test_the_process_that_looked_looks_again_and_ends_with_the_agent(agent):
    first = looker(agent)
    assert looker(agent) == first
    agent.close()
    agents.wait_for(lambda: agents.gone(first))


def test_a_process_that_died_between_two_looks_is_replaced(agent):
    first = looker(agent)
    os.kill(first, signal.SIGKILL)
    assert looker(agent) != first


def test_a_process_that_was_stopped_between_two_looks_holds_up_nothing(agent):
    first = looker(agent)
    os.kill(first, signal.SIGSTOP)
    assert looker(agent) != first
    agents.wait_for(lambda: agents.gone(first))


@pytest.mark.parametrize("kind", ["unclear", "broken", "exit", "die"])
def test_a_process_whose_look_failed_does_not_stay(agent, kind):
    first = looker(agent)
    agent.probe([odd(kind)])
    assert looker(agent) != first
    assert looker(agent) != first


def test_a_process_that_stays_is_told_of_each_request_s_own_looks(agent):
    for number in range(3):
        looks = agent.probe(
            [Spec(f"{number}-{at}", "odd", {"kind": "x", "words": ["w" * 5000, str(at)]}) for at in range(100)]
        )
        assert [looks[f"{number}-{at}"].records[1].fields["value"][1] for at in range(100)] == [
            str(at) for at in range(100)
        ]


def test_the_process_that_looks_does_not_outlive_an_agent_that_is_killed(agent):
    first = looker(agent)
    agents.kill(agent)
    agents.wait_for(lambda: agents.gone(first))
