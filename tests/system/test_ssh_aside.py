"""A connection's thread stands aside for the loop that reads its answers, and is there for all else."""

import select
import time
from pathlib import Path

import paramiko
import pytest
from agents import wait_for
from sshds import lacking, sshds
from test_ssh_connections import _home, reached
from test_ssh_transport import _switches, host

from runbook.engine.errors import HostUnreachable
from runbook.engine.fleet.agent import Agent
from runbook.engine.fleet.asker import Asker
from runbook.engine.fleet.dial import dial
from runbook.engine.fleet.ssh.channel import ChannelLink

__all__ = ["_home", "sshds"]
needs_sshd = pytest.mark.skipif(bool(lacking()), reason=lacking())
PATIENCE = 10.0  # seconds


@pytest.fixture
def line(sshds):
    line = dial(reached(sshds()), Asker())
    yield line
    line.close()


def settled(line):
    """Return an agent whose connection's thread stands aside."""
    agent = line.agent()
    agent.ready()
    ping(agent)
    wait_for(lambda: line._session.transport.packetizer.aside)
    return agent


def ping(agent):
    number = agent.send({"op": "ping"})
    ((answered, answer),) = agent.receive(PATIENCE)
    assert answered == number
    assert "pong" in answer


@needs_sshd
def test_answers_do_not_wake_the_connections_thread(line):
    with settled(line) as agent:
        thread = line._session.transport.native_id
        before = _switches(thread)
        for _ in range(20):
            ping(agent)
        assert _switches(thread) == before


@needs_sshd
def test_keys_are_exchanged_between_answers(line):
    with settled(line) as agent:
        transport = line._session.transport
        for _ in range(3):
            engine = transport.packetizer._Packetizer__block_engine_in
            transport.packetizer._trigger_rekey()
            ping(agent)
            wait_for(lambda used=engine: transport.packetizer._Packetizer__block_engine_in is not used)
            wait_for(lambda: transport.packetizer.aside or not agent.receive(0.0))
            ping(agent)


@needs_sshd
def test_a_loop_that_is_busy_elsewhere_keeps_its_connections(line):
    with settled(line) as agent:
        transport = line._session.transport
        transport.settle(0.05, 2)
        transport.packetizer._leave(None)  # it learns of its new patience
        answered = transport.packetizer.heard
        wait_for(lambda: transport.packetizer.heard > answered + 0.3)  # signs of life, which the thread has read
        ping(agent)


@needs_sshd
def test_a_host_that_is_silent_is_given_up_though_nobody_reads(sshds):
    hosts = sshds()
    line = dial(reached(hosts), Asker())
    with settled(line) as agent:
        hosts["h1"].freeze()
        try:
            line._session.transport.settle(0.05, 2)
            line._session.transport.packetizer._leave(None)
            wait_for(lambda: not line._session.transport.is_active())
        finally:
            hosts["h1"].thaw()
        with pytest.raises(HostUnreachable, match="no sign of life"):
            agent.receive(PATIENCE)
    line.close()


def test_a_drip_of_bytes_never_holds_the_loop_up(tmp_path):
    def drip(transport):
        channel = transport.accept(PATIENCE)
        channel.send(b"first")  # which the thread reads

        def write(data):
            for each in data:
                transport.sock.send(bytes([each]))
                time.sleep(0.001)

        transport.packetizer.write_all = write
        channel.send(b"a drip")
        return channel

    with host(tmp_path, drip) as target:
        line = dial(target, Asker())
        link = ChannelLink(line._session, "agent", PATIENCE)
        data, longest = b"", 0.0

        def read():
            nonlocal data, longest
            began = time.thread_time()
            data += link.read() or b""
            longest = max(longest, time.thread_time() - began)
            return data == b"firsta drip"

        wait_for(read)
        assert longest < 0.1
        link.close()
        line.close()


def test_room_that_a_host_gives_while_the_loop_reads_is_told_to_it(tmp_path):
    total = 8 << 20

    def swallow(transport):  # each time all that the window holds, so that there is but one word about the room
        channel = transport.accept(PATIENCE)
        channel.send(b"first")
        for _ in range(total // channel.in_window_size):
            wait_for(lambda: len(channel.in_buffer) >= channel.in_window_size)
            channel.recv(channel.in_window_size)
        return channel

    with host(tmp_path, swallow) as target:
        line = dial(target, Asker())
        link = ChannelLink(line._session, "agent", PATIENCE)
        wait_for(lambda: link.read() == b"first" and line._session.transport.packetizer.aside)
        sent = 0

        def fill():
            nonlocal sent
            while sent < total and (taken := link.write(bytes(1 << 16))):
                sent += taken

        fill()
        while sent < total:  # as a conversation does it: what it reads may be the room that it waits for
            poller = select.poll()
            for descriptor, events in link.polled().items():
                poller.register(descriptor, events)
            assert poller.poll(100 if link.stalled else 5000) or link.stalled, f"nobody told of room after {sent} bytes"
            fill()
            link.read()
        link.close()
        line.close()


def test_a_packet_without_an_end_is_refused_before_it_comes(tmp_path):
    def lie(transport):
        channel = transport.accept(PATIENCE)
        channel.send(b"first")
        transport.sock.send(b"\xff" * 16)
        return channel

    with host(tmp_path, lie) as target:
        line = dial(target, Asker())
        with line.agent() as agent, pytest.raises(HostUnreachable, match="a packet that says it has"):
            agent.ready(PATIENCE)
        line.close()


def test_a_packet_that_was_changed_on_the_way_ends_the_connection(tmp_path):
    def forge(transport):
        channel = transport.accept(PATIENCE)
        channel.send(b"first")
        transport.sock.send(b"\0\0\0\x20" + b"x" * 48)
        return channel

    with host(tmp_path, forge) as target:
        line = dial(target, Asker())
        with line.agent() as agent, pytest.raises(HostUnreachable, match="the connection was lost"):
            agent.ready(PATIENCE)
        assert not line._session.transport.is_active()
        line.close()


@needs_sshd
def test_a_connection_that_ends_while_it_is_attended_to_leaves_nothing(sshds):
    hosts = sshds()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        line = dial(reached(hosts), Asker())
        agent: Agent = settled(line)
        thread = line._session.transport
        line._session._wire.shut()
        with pytest.raises(HostUnreachable, match="the connection was lost"):
            agent.receive(PATIENCE)
        thread.join(PATIENCE)
        assert not thread.is_alive()
        agent.close()
        line.close()
    wait_for(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before)


@needs_sshd
def test_a_connection_is_hung_up_at_once_while_its_thread_stands_aside(line):
    settled(line)
    thread = line._session.transport
    began = time.monotonic()
    line.close()
    thread.join(PATIENCE)
    assert time.monotonic() - began < 2.0
    assert isinstance(thread, paramiko.Transport)
    assert not thread.is_alive()
