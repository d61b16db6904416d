"""Who waits for a host reads the connection himself; its thread sees to all else, and takes over when nobody reads."""

import contextlib
import os
import signal

import psutil
import pytest
from agents import wait_for
from sshds import lacking, sshds
from test_ssh_connections import _home, reached

from runbook.engine.errors import HostUnreachable
from runbook.engine.fleet import Spec
from runbook.engine.fleet.asker import Asker
from runbook.engine.fleet.dial import dial
from runbook.engine.fleet.ssh import packets

__all__ = ["_home", "sshds"]
pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())
LOOK = Spec("m", "health")


def pings(agent, count):
    """Ask and be answered so often."""
    for _ in range(count):
        seq = agent.send({"op": "ping"})
        ((number, answer),) = agent.receive(10.0)
        assert (number, set(answer)) == (seq, {"seq", "pong"})


def switches(transport):
    """How often the connection's thread was woken."""
    (task,) = [each for each in psutil.Process().threads() if each.id == transport.native_id]
    with open(f"/proc/self/task/{task.id}/status") as status:  # noqa: PTH123
        return sum(int(line.split()[1]) for line in status if "ctxt_switches" in line)


def attended(line, agent):
    """Wait until the thread has stood aside."""
    agent.ready()
    pings(agent, 2)
    wait_for(lambda: line._session.transport.packetizer.aside)
    return line._session.transport


def test_answers_do_not_wake_the_connections_thread(sshds):
    line = dial(reached(sshds()), Asker())
    with line.agent() as agent:
        transport = attended(line, agent)
        woken = switches(transport)
        pings(agent, 50)
        assert agent.probe([LOOK])["m"].records
        assert switches(transport) - woken <= 5
    line.close()


def test_what_nobody_reads_is_read_by_the_thread(sshds, monkeypatch):
    monkeypatch.setattr(packets, "_LOOKS", 0.1)
    line = dial(reached(sshds()), Asker())
    with line.agent() as agent:
        attended(line, agent)
        agent.send({"op": "ping"})
        wait_for(lambda: len(agent._link._channel.in_buffer))
        assert [set(answer) for _, answer in agent.receive(10.0)] == [{"seq", "pong"}]
        pings(agent, 3)
    line.close()


def test_keys_are_exchanged_anew_while_somebody_attends(sshds):
    line = dial(reached(sshds(conf="RekeyLimit 16K")), Asker())
    with line.agent() as agent:
        transport = attended(line, agent)
        keys = transport.H
        pings(agent, 1500)
        assert keys != transport.H  # the server's wish
        keys = transport.H
        transport.packetizer.REKEY_PACKETS = 20
        pings(agent, 50)
        assert keys != transport.H  # and ours
    line.close()


def test_two_agents_on_a_line_are_both_answered_whoever_reads(sshds):
    line = dial(reached(sshds()), Asker())
    first = line.agent()
    attended(line, first)
    with line.agent() as second:
        second.ready()
        pings(first, 3)
        pings(second, 3)
        first.close()
        pings(second, 3)
    line.close()


def test_an_agent_that_ends_while_somebody_attends_says_how(sshds):
    hosts = sshds()
    line = dial(reached(hosts), Asker())
    with line.agent() as agent:
        attended(line, agent)
        for pid in hosts["h1"].remote():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with pytest.raises(HostUnreachable, match="ended with signal KILL"):
            agent.receive(10.0)
    line.close()
