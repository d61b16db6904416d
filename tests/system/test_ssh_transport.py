"""What we use of paramiko that is private is still as we know it; and a server that lies harms nobody else."""

import contextlib
import socket
import threading
import time

import paramiko
import psutil
import pytest
from agents import wait_for
from paramiko.common import cMSG_CHANNEL_DATA, cMSG_EXT_INFO
from paramiko.message import Message
from sshds import lacking, make_key, sshds
from test_ssh_connections import _home, reached

from runbook.engine.errors import HostUnreachable
from runbook.engine.fleet.asker import Asker
from runbook.engine.fleet.dial import dial
from runbook.engine.fleet.ssh.channel import WINDOW
from runbook.engine.fleet.ssh.packets import LARGEST
from runbook.engine.fleet.ssh.transport import Transport
from runbook.engine.fleet.target import Target

__all__ = ["_home", "sshds"]
needs_sshd = pytest.mark.skipif(bool(lacking()), reason=lacking())


@needs_sshd
def test_an_idle_connection_does_not_poll(sshds):
    hosts = sshds()
    line = dial(reached(hosts), Asker())
    transport = line._session.transport
    assert transport._active_check_timeout < 1.0  # how long it sleeps while it dials
    assert transport.sock.gettimeout() >= 10.0
    (task,) = [each for each in psutil.Process().threads() if each.id == transport.native_id]
    woken = _switches(task.id)
    time.sleep(1.0)
    assert _switches(task.id) - woken <= 3  # polling it would be ten
    line.close()


def _switches(thread):
    with open(f"/proc/self/task/{thread}/status") as status:  # noqa: PTH123
        return sum(int(line.split()[1]) for line in status if "ctxt_switches" in line)


@needs_sshd
def test_the_cheapest_of_what_both_know_is_agreed_on(sshds):
    hosts = sshds()
    line = dial(reached(hosts), Asker())
    transport = line._session.transport
    assert transport.local_cipher == transport.remote_cipher == "aes128-gcm@openssh.com"
    assert transport.local_compression == "none"
    assert transport.preferred_kex[0].startswith(("mlkem768x25519", "curve25519"))
    line.close()


@needs_sshd
def test_what_the_configuration_allows_is_all_that_is_offered(sshds):
    hosts = sshds()
    args = f"{reached(hosts).ssh_args} -o Ciphers=aes256-ctr,nonsense -o KexAlgorithms=ecdh-sha2-nistp256"
    line = dial(reached(hosts, ssh_args=args), Asker())
    assert line._session.transport.local_cipher == "aes256-ctr"
    assert line._session.transport.preferred_kex == ("ecdh-sha2-nistp256",)
    line.close()


def test_messages_during_a_key_exchange_are_held_and_sent_in_their_order():
    ours, theirs = socket.socketpair()
    transport = Transport(ours, ("ssh-ed25519",))
    transport.active = True
    sent = []
    transport._send_message = sent.append
    transport.clear_to_send.clear()
    began = time.monotonic()
    for number in range(3):
        transport._send_user_message(number)
    assert time.monotonic() - began < 0.05
    assert sent == []
    assert not transport.ready_to_send()
    transport._activate_inbound = lambda: None
    transport._parse_newkeys(None)
    transport._send_user_message(3)
    assert sent == [0, 1, 2, 3]
    assert transport.ready_to_send()
    ours.close()
    theirs.close()


class Host(paramiko.ServerInterface):
    """A server that lets everybody in and then does as it likes."""

    def get_allowed_auths(self, username):
        return "publickey"

    def check_auth_publickey(self, username, key):
        return paramiko.AUTH_SUCCESSFUL

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel, command):
        return True


def flood(transport):
    """Send far more than the window that we gave."""
    channel = transport.accept(10.0)
    message = Message()
    message.add_byte(cMSG_CHANNEL_DATA)
    message.add_int(channel.remote_chanid)
    message.add_string(b"x" * 30_000)
    for _ in range(20 * WINDOW // 30_000):
        transport._send_message(message)
    return channel


def say_much(transport):
    """Name 4 billion extensions."""
    message = Message()
    message.add_byte(cMSG_EXT_INFO)
    message.add_int(0xFFFFFFFF)
    transport._send_message(message)
    return transport.accept(10.0)


@contextlib.contextmanager
def host(tmp_path, behave):
    line = make_key(tmp_path / "host_key")
    make_key(tmp_path / "mine")
    over = threading.Event()
    with socket.socket() as listening:
        listening.bind(("127.0.1.1", 0))
        listening.listen()

        def serve():
            sock, _ = listening.accept()
            with sock, contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                transport = paramiko.Transport(sock)
                transport.add_server_key(paramiko.Ed25519Key(filename=str(tmp_path / "host_key")))
                transport.start_server(server=Host())
                channel = behave(transport)  # kept, lest it be closed
                over.wait(20.0)
                del channel
            transport.close()

        thread = threading.Thread(target=serve)
        thread.start()
        port = listening.getsockname()[1]
        (tmp_path / "known").write_text(f"[127.0.1.1]:{port} {line}\n")
        args = f"-o UserKnownHostsFile={tmp_path}/known"
        try:
            yield Target("h1", address="127.0.1.1", port=port, key_file=str(tmp_path / "mine"), ssh_args=args)
        finally:
            over.set()
            thread.join(10.0)


def test_a_server_that_sends_more_than_it_may_is_cut_off(tmp_path):
    with host(tmp_path, flood) as target:
        line = dial(target, Asker())
        before = psutil.Process().memory_info().rss
        with contextlib.suppress(HostUnreachable), line.agent() as agent:
            wait_for(lambda: line._session.transport.take() or not line._session.transport.is_active())
            assert len(agent._link._channel.in_buffer) <= WINDOW + 2 * LARGEST
        assert not line._session.transport.is_active()
        assert line._session.why() == "a server that sends more than it may"
        assert psutil.Process().memory_info().rss - before < 20 * WINDOW
        line.close()


def test_a_server_that_runs_no_command_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(Host, "check_channel_exec_request", lambda *_: False)
    with host(tmp_path, lambda transport: transport.accept(10.0)) as target:
        line = dial(target, Asker())
        agent = line.agent()
        with pytest.raises(HostUnreachable, match="runs no command for us"):
            agent.ready(5.0)
        agent.close()
        line.close()


def test_a_server_that_names_no_end_of_extensions_costs_nothing(tmp_path):
    with host(tmp_path, say_much) as target:
        line = dial(target, Asker())
        line.agent().close()
        began = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - began < 0.2
        line.close()
