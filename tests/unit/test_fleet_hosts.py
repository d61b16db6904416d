"""The pool of connections: who is dialled, how often, what is told of who is silent or gone, and what is left of it."""

from __future__ import annotations

import os
import select
import threading
import time

import pytest

from runbook.engine.errors import HostUnreachable
from runbook.engine.fleet.connection import Gone
from runbook.engine.fleet.hosts import Hosts


class Agent:
    """An agent whose answers the test puts into a pipe."""

    awake, pending, overdue, taken, python = True, False, False, 0, "3.9.1"

    def __init__(self):
        self.ours, self.theirs = os.pipe()
        os.set_blocking(self.ours, False)
        self.sent, self.closed, self.ended = [], 0, False

    def polled(self):
        return {self.ours: select.POLLIN}

    def send(self, request):
        self.sent.append(request)
        return len(self.sent)

    def says(self, *numbers):
        os.write(self.theirs, bytes(numbers))

    def end(self):
        self.ended = True
        os.write(self.theirs, b"\0")

    def receive(self, _timeout):
        try:
            found = os.read(self.ours, 100)
        except BlockingIOError:
            return []
        if self.ended:
            raise HostUnreachable("the agent ended")
        return [(number, {"seq": number}) for number in found]

    def close(self):
        self.closed += 1
        os.close(self.ours)
        os.close(self.theirs)


class Line:
    def __init__(self):
        self.agents, self.closed, self.refuses = {}, 0, ""

    def agent(self, user=None):
        if self.refuses:
            raise HostUnreachable(self.refuses)
        self.agents[user] = Agent()
        return self.agents[user]

    def close(self):
        self.closed += 1


class World:
    def __init__(self):
        self.lines, self.dialled, self.wrong, self.slow = {}, [], {}, 0.0
        self.busy = self.most = 0
        self.lock = threading.Lock()

    def dial(self, host):
        with self.lock:
            self.dialled.append(host)
            self.busy += 1
            self.most = max(self.most, self.busy)
        time.sleep(self.slow)
        with self.lock:
            self.busy -= 1
        if host in self.wrong:
            raise HostUnreachable(self.wrong[host], mend="plug it in")
        self.lines[host] = Line()
        return self.lines[host]


@pytest.fixture
def world():
    return World()


def until(hosts, holds, seconds=5.0):
    answers, deadline = [], time.monotonic() + seconds
    while not holds(answers) and time.monotonic() < deadline:
        answers += hosts.receive(0.05)
    assert holds(answers), answers
    return dict(answers)


def test_a_host_is_dialled_when_it_is_first_asked_and_once(world):
    with Hosts(world.dial) as hosts:
        assert world.dialled == []
        first, second = hosts.send("a", {"op": 1}), hosts.send("a", {"op": 2})
        until(hosts, lambda _: "a" in world.lines and world.lines["a"].agents)
        until(hosts, lambda _: len(world.lines["a"].agents[None].sent) == 2)
        world.lines["a"].agents[None].says(2, 1)
        assert until(hosts, lambda found: len(found) == 2) == {second: {"seq": 2}, first: {"seq": 1}}
        assert (world.dialled, hosts.up("a"), hosts.python("a")) == (["a"], True, "3.9.1")
    assert (world.lines["a"].closed, world.lines["a"].agents[None].closed) == (1, 1)


def test_another_user_is_another_agent_over_the_same_line(world):
    with Hosts(world.dial) as hosts:
        hosts.send("a", {})
        hosts.send("a", {}, "root")
        until(hosts, lambda _: "a" in world.lines and len(world.lines["a"].agents) == 2)
        assert (world.dialled, set(world.lines["a"].agents)) == (["a"], {None, "root"})


def test_no_more_hosts_are_dialled_at_once_than_forks_says(world):
    world.slow = 0.02
    with Hosts(world.dial, forks=3) as hosts:
        for number in range(20):
            hosts.send(f"h{number}", {})
        until(hosts, lambda _: len(world.lines) == 20)
    assert world.most <= 3


def test_a_host_that_cannot_be_dialled_is_told_with_the_reason_and_rests_before_it_is_dialled_again(world):
    world.wrong["a"] = "no route"
    with Hosts(world.dial) as hosts:
        first = hosts.send("a", {})
        gone = until(hosts, lambda found: found)[first]
        assert (gone.reason, gone.mend, gone.sent) == ("no route", "plug it in", False)
        again = hosts.send("a", {})
        assert dict(hosts.receive(0.0))[again].reason == "no route"
        assert world.dialled == ["a"]
        world.wrong.clear()
        hosts._places["a", ""].again = 0.0
        hosts.send("a", {})
        until(hosts, lambda _: "a" in world.lines)
        assert world.dialled == ["a", "a"]


def test_what_was_sent_to_an_agent_that_ends_may_have_arrived(world):
    with Hosts(world.dial) as hosts:
        ticket = hosts.send("a", {})
        until(hosts, lambda _: "a" in world.lines and world.lines["a"].agents)
        until(hosts, lambda _: world.lines["a"].agents[None].sent)
        world.lines["a"].agents[None].end()
        gone = until(hosts, lambda found: found)[ticket]
        assert isinstance(gone, Gone)
        assert (gone.reason, gone.sent) == ("the agent ended", True)
    assert world.lines["a"].closed == 1


def test_while_another_user_s_agent_lives_the_line_is_kept(world):
    with Hosts(world.dial) as hosts:
        hosts.send("a", {})
        hosts.send("a", {}, "root")
        until(hosts, lambda _: "a" in world.lines and len(world.lines["a"].agents) == 2)
        until(hosts, lambda _: all(agent.sent for agent in world.lines["a"].agents.values()))
        world.lines["a"].agents["root"].end()
        until(hosts, lambda found: found)
        assert world.lines["a"].closed == 0


def test_an_agent_with_something_in_hand_that_is_silent_is_asked_and_then_given_up(world):
    with Hosts(world.dial, limits=(60.0, 0.1, 0.4)) as hosts:
        ticket = hosts.send("a", {"op": "probe"})
        gone = until(hosts, lambda found: found)[ticket]
        assert gone.reason.startswith("silent for")
        assert [request["op"] for request in world.lines["a"].agents[None].sent] == ["probe", "ping"]


def test_an_agent_that_answers_the_question_whether_it_lives_is_kept(world):
    with Hosts(world.dial, limits=(60.0, 0.05, 1.0)) as hosts:
        ticket = hosts.send("a", {"op": "probe"})
        until(hosts, lambda _: "a" in world.lines and world.lines["a"].agents)
        agent = world.lines["a"].agents[None]
        for number in (2, 3, 4):
            until(hosts, lambda _, number=number: len(agent.sent) == number)
            agent.says(number)
        agent.says(1)
        assert until(hosts, lambda found: found) == {ticket: {"seq": 1}}


def test_an_agent_that_does_not_start_is_given_up(world):
    class Asleep(Agent):
        awake = False

        def unanswered(self, seconds):
            return HostUnreachable(f"no agent within {seconds:g} s")

    with Hosts(world.dial, limits=(0.2, 5.0, 15.0)) as hosts:
        ticket = hosts.send("a", {})
        until(hosts, lambda _: "a" in world.lines)
        until(hosts, lambda _: world.lines["a"].agents)
        world.lines["a"].agents[None].__class__ = Asleep
        assert until(hosts, lambda found: found)[ticket].reason == "no agent within 0.2 s"


def test_whoever_is_still_dialled_when_it_is_closed_is_hung_up_by_its_own_thread(world):
    world.slow = 0.2
    hosts = Hosts(world.dial)
    hosts.send("a", {})
    hosts.receive(0.0)
    hosts.close()
    deadline = time.monotonic() + 5
    while not ("a" in world.lines and world.lines["a"].closed) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert world.lines["a"].closed
    assert all(agent.closed for agent in world.lines["a"].agents.values())


class Speaking(Agent):
    """An agent that tells something of its own, beside its answers."""

    def receive(self, timeout):
        return [(number, {"seq": number, "stirred": ["k"]}) for number, _ in super().receive(timeout)]


@pytest.fixture
def speaking(world, monkeypatch):
    """The only agent of a host, that was asked to listen, with the ticket."""
    monkeypatch.setattr(Line, "agent", lambda self, user=None: self.agents.setdefault(user, Speaking()))
    with Hosts(world.dial, limits=(60.0, 0.05, 0.2)) as hosts:
        ticket = hosts.listen("a")
        until(hosts, lambda _: "a" in world.lines and world.lines["a"].agents and world.lines["a"].agents[None].sent)
        yield hosts, ticket, world.lines["a"].agents[None]


def test_what_an_agent_hears_comes_again_and_again_under_one_ticket(speaking):
    hosts, ticket, agent = speaking
    assert hosts.listen("a") == ticket
    for _ in range(3):
        agent.says(1)
        assert until(hosts, lambda found: found) == {ticket: {"seq": 1, "stirred": ["k"]}}
    assert [request["op"] for request in agent.sent] == ["listen"]


def test_an_agent_that_only_listens_may_be_silent_and_is_asked_nothing(speaking):
    hosts, _, agent = speaking
    assert list(hosts.receive(0.5)) == []
    assert [request["op"] for request in agent.sent] == ["listen"]


def test_who_listens_is_told_that_the_host_is_gone_and_may_listen_anew(speaking, world):
    hosts, ticket, agent = speaking
    agent.end()
    gone = until(hosts, lambda found: found)[ticket]
    assert isinstance(gone, Gone)
    again = hosts.listen("a")
    assert again != ticket
    assert isinstance(dict(hosts.receive(0.0))[again], Gone)
    hosts._places["a", ""].again = 0.0
    third = hosts.listen("a")
    until(hosts, lambda _: len(world.dialled) == 2 and world.lines["a"].agents and world.lines["a"].agents[None].sent)
    assert hosts.listen("a") == third


def test_who_waits_is_woken_by_another_thread_and_by_none_once_it_is_closed(world):
    with Hosts(world.dial) as hosts:
        threading.Timer(0.05, hosts.wake).start()
        began = time.monotonic()
        assert list(hosts.receive(10.0)) == []
        assert time.monotonic() - began < 5.0
        assert list(hosts.receive(0.05)) == []
    hosts.wake()


def test_hosts_that_are_reached_in_another_way_are_hung_up_on_and_dialled_anew(world):
    other = World()
    with Hosts(world.dial) as hosts:
        channel, ticket, kept = hosts.listen("a"), hosts.send("a", {}), hosts.send("b", {})
        until(hosts, lambda _: {"a", "b"} <= set(world.lines) and world.lines["b"].agents)
        until(hosts, lambda _: world.lines["b"].agents[None].sent and len(world.lines["a"].agents[None].sent) == 2)
        hosts.adopt(other.dial, ["a", "never heard of"])
        gone = dict(hosts.receive(0.0))
        assert {number: (type(each), each.sent) for number, each in gone.items()} == {
            channel: (Gone, True),
            ticket: (Gone, True),
        }
        assert (world.lines["a"].closed, world.lines["a"].agents[None].closed) == (1, 1)
        world.lines["b"].agents[None].says(1)
        assert until(hosts, lambda found: found) == {kept: {"seq": 1}}
        hosts.send("a", {})
        until(hosts, lambda _: "a" in other.lines and other.lines["a"].agents and other.lines["a"].agents[None].sent)
        assert (sorted(world.dialled), other.dialled) == (["a", "b"], ["a"])


def test_a_host_that_is_dialled_while_it_is_dropped_is_hung_up_on_when_it_answers(world):
    world.slow = 0.2
    other = World()
    with Hosts(world.dial) as hosts:
        ticket = hosts.send("a", {})
        until(hosts, lambda _: "a" in world.dialled)
        hosts.adopt(other.dial, ["a"])
        assert isinstance(dict(hosts.receive(0.0))[ticket], Gone)
        second = hosts.send("a", {})
        until(hosts, lambda _: "a" in other.lines and other.lines["a"].agents and other.lines["a"].agents[None].sent)
        until(hosts, lambda _: "a" in world.lines and world.lines["a"].closed == 1)
        assert world.lines["a"].agents[None].closed == 1
        other.lines["a"].agents[None].says(1)
        assert until(hosts, lambda found: found) == {second: {"seq": 1}}
