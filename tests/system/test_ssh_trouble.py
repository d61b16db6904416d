"""What goes wrong between here and a host is told by its phase, in time, and leaves nothing behind."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import paramiko
import pytest
from sshds import Sshd, lacking, make_key, sshds
from test_ssh_connections import _home, descriptors, reached, threads, works

from runbook.engine.errors import HostUnreachable
from runbook.engine.fleet.asker import Asker
from runbook.engine.fleet.dial import dial
from runbook.engine.fleet.target import Target

__all__ = ["_home", "sshds"]
pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())


def trouble(target, asker=None):
    """Return what was told, of which nothing is left but words."""
    before = descriptors(), len(threading.enumerate())
    with pytest.raises(HostUnreachable) as caught:
        works(target, asker)
    assert not threads()
    assert len(threading.enumerate()) <= before[1]
    assert descriptors() <= before[0] + 1  # what is imported keeps one
    return caught.value


@pytest.fixture(scope="module", autouse=True)
def _imported():
    with contextlib.suppress(HostUnreachable):
        dial(Target("nowhere", address="127.0.1.1", port=1), Asker())


def test_a_name_that_nobody_knows_is_told():
    error = trouble(Target("gpu9", address="gpu9.invalid"))
    assert error.what.startswith(("the name gpu9.invalid is not known", "the name gpu9.invalid can't be looked up"))
    assert error.where == "gpu9"


def test_a_machine_that_refuses_is_up_without_an_sshd(sshds):
    hosts = sshds()
    hosts["h1"].stop()
    error = trouble(reached(hosts))
    assert error.what.endswith("refuses the connection: the machine is up, and nothing listens there")


def test_a_way_that_there_is_not_is_told():
    error = trouble(Target("gpu9", address="240.0.0.1", timeout=0.3))
    assert "240.0.0.1 port 22" in error.what


def test_a_host_behind_a_wall_is_given_up_in_time():
    with socket.socket() as full:  # a queue of one that is full: the kernel drops further SYNs
        full.bind(("127.0.1.1", 0))
        full.listen(0)
        waiting = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
            waiting.append(sock)
        began = time.monotonic()
        error = trouble(Target("gpu9", address="127.0.1.1", port=full.getsockname()[1], timeout=0.5))
        assert time.monotonic() - began < 3.0
        for sock in waiting:
            sock.close()
    assert error.what.endswith("did not answer within 0.5 s (connect)")


@contextlib.contextmanager
def server(behave):
    """Listen, and behave so to each who connects."""
    over = threading.Event()
    with socket.socket() as listening:
        listening.bind(("127.0.1.1", 0))
        listening.listen()

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = listening.accept()
                    with sock, contextlib.suppress(OSError):
                        behave(sock, over)

        thread = threading.Thread(target=serve, name="a server")
        thread.start()
        try:
            yield Target("h1", address="127.0.1.1", port=listening.getsockname()[1], timeout=0.6)
        finally:
            over.set()
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            thread.join(10.0)


def drip(sock, over):
    for letter in b"SSH-2.0-OpenSSH_9.2p1 with a very long comment\r\n" * 50:
        sock.send(bytes([letter]))
        if over.wait(0.05):
            return


def drip_later(sock, over):
    sock.send(b"SSH-2.0-x\r\n")
    for letter in ((1 << 16) - 4).to_bytes(4, "big") + b"x" * 2000:
        sock.send(bytes([letter]))
        if over.wait(0.05):
            return


def said(text, wait=False):
    def behave(sock, over):
        sock.sendall(text)
        if wait:
            over.wait(20.0)
        else:
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass

    return behave


def endless(sock, over):
    while not over.is_set():
        sock.sendall(b"Welcome to a very chatty host\r\n" * 100)


def reset(sock, _over):
    sock.recv(10)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


PACKET = b"SSH-2.0-x\r\n"


@pytest.mark.parametrize(
    ("behave", "what"),
    [
        (drip, "did not say its version within 0.6 s (banner)"),
        (drip_later, "did not exchange keys within 0.6 s (key exchange)"),
        (said(b"", wait=True), "did not say its version within 0.6 s (banner)"),
        (said(b"SSH-2.0-x\r\n", wait=True), "did not exchange keys within 0.6 s (key exchange)"),
        (said(b""), "hung up before it said its version: the other side closed it"),
        (said(b"SSH-2.0-x\r\n"), "hung up during key exchange: the other side closed it"),
        (said(b"HTTP/1.1 400 Bad Request\r\n" * 200), "is no SSH server"),
        (said(b"SSH-2.0-x\r\n\xff\xff\xff\xfc" + b"x" * 100), "is no SSH server: a packet that says it has"),
        (said(b"\0\1\2\3\xff\n" * 200), "is no SSH server"),
        (endless, "is no SSH server"),
        (reset, "hung up before it said its version: reset by the other side"),
        (said(b"SSH-1.5-old\r\n", wait=True), "no way of encryption is known to both"),
    ],
)
def test_what_does_not_behave_like_an_sshd_is_told_in_time(behave, what):
    with server(behave) as target:
        began = time.monotonic()
        error = trouble_beside(target)
        assert time.monotonic() - began < 6.0
    assert what in error.what
    assert error.mend


def trouble_beside(target, asker=None):
    """Return what was told, in a process that also is the other side."""
    with pytest.raises(HostUnreachable) as caught:
        works(target, asker)
    assert not threads()
    return caught.value


class Door(paramiko.ServerInterface):
    """A server that behaves badly when somebody knocks."""

    def __init__(self, transport, how, over):
        self._transport, self._how, self._over = transport, how, over

    def get_allowed_auths(self, username):
        return "publickey"

    def check_auth_none(self, username):
        return paramiko.AUTH_FAILED

    def check_auth_publickey(self, username, key):
        if self._how == "close":
            self._transport.close()
        elif self._how == "wait":
            self._over.wait(20.0)
        return paramiko.AUTH_SUCCESSFUL if self._how == "open" else paramiko.AUTH_FAILED

    def check_channel_request(self, kind, chanid):
        self._over.wait(20.0)
        return paramiko.OPEN_FAILED_CONNECT_FAILED


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("close", "the connection ended during authentication: the other side closed it"),
        ("wait", "it did not answer within 0.6 s (authentication)"),
        ("refuse", "may not log in at 127.0.1.1"),
        ("open", "the host opened no channel within 0.6 s"),
    ],
)
def test_a_server_that_fails_after_the_keys_were_exchanged_is_told_by_its_phase(tmp_path, how, what):
    host_key = make_key(tmp_path / "host_key")
    make_key(tmp_path / "mine")

    def behave(sock, over):
        transport = paramiko.Transport(sock)
        transport.add_server_key(paramiko.Ed25519Key(filename=str(tmp_path / "host_key")))
        with contextlib.suppress(paramiko.SSHException, EOFError):
            transport.start_server(server=Door(transport, how, over))
            over.wait(20.0)
        transport.close()

    with server(behave) as target:
        (tmp_path / "known").write_text(f"[127.0.1.1]:{target.port} {host_key}\n")
        more = {"key_file": str(tmp_path / "mine"), "ssh_args": f"-o UserKnownHostsFile={tmp_path}/known"}
        named = {name: getattr(target, name) for name in ("name", "address", "port", "timeout")}
        error = trouble_beside(Target(**named, **more))
    assert what in error.what


def test_an_sshd_that_stands_still_is_given_up_in_time(sshds):
    hosts = sshds()
    hosts["h1"].freeze()
    try:
        began = time.monotonic()
        error = trouble(reached(hosts, timeout=0.5))
        assert time.monotonic() - began < 3.0
    finally:
        hosts["h1"].thaw()
    assert "takes connections, but did not say its version within 0.5 s (banner)" in error.what


def test_a_login_without_a_right_key_tells_which_were_tried(sshds, tmp_path):
    hosts = sshds()
    make_key(tmp_path / "wrong")
    error = trouble(reached(hosts, key_file=str(tmp_path / "wrong")))
    assert "may not log in at 127.0.1.1" in error.what
    assert f"{tmp_path}/wrong (ssh-ed25519 SHA256:" in error.what
    assert "ssh-copy-id" in error.mend
    assert "no key: no ssh-agent; nothing at" in trouble(reached(hosts, key_file="")).what


def test_too_many_keys_are_told_as_what_they_are(sshds, tmp_path):
    hosts = sshds(conf="MaxAuthTries 2\n")
    args = reached(hosts).ssh_args
    for number in range(4):
        make_key(tmp_path / f"wrong{number}")
        args += f" -o IdentityFile={tmp_path}/wrong{number}"
    error = trouble(reached(hosts, key_file="", ssh_args=args))
    assert "too many authentication failures" in error.what
    assert "IdentitiesOnly" in error.mend


def test_a_host_that_takes_no_keys_says_what_it_takes(sshds):
    if os.geteuid() != 0:
        pytest.skip("only root's sshd can ask for a password of this machine")
    hosts = sshds(conf="PubkeyAuthentication no\nPasswordAuthentication yes\nPermitRootLogin yes\n")
    error = trouble(reached(hosts))
    assert "it takes password alone" in error.mend
    assert "tried" in trouble(reached(hosts, password="not this one")).what


@pytest.fixture
def with_password(sshds, tmp_path):
    """Start an sshd on whose host the user rbops has the password `right one`."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a machine other users for a while")

    def start(conf, *more):
        crypted = subprocess.run(["openssl", "passwd", "-6", "right one"], check=True, capture_output=True, text=True)
        (tmp_path / "passwd").write_text(Path("/etc/passwd").read_text() + "rbops:x:0:0::/root:/bin/sh\n")
        line = f"rbops:{crypted.stdout.strip()}:19000:0:99999:7:::\n"
        (tmp_path / "shadow").write_text(Path("/etc/shadow").read_text() + line)
        files = {"passwd": "passwd", "shadow": "shadow", **dict(more)}
        mounts = "".join(f"mount --bind {tmp_path}/{name} /etc/{place} && " for name, place in files.items())
        usual = "PasswordAuthentication yes\nPermitRootLogin yes\n"
        return sshds(conf=f"{usual}{conf}\n", before=("unshare", "-m", "sh", "-c", f'{mounts}exec "$@"', "-"))

    return start


@pytest.mark.root
def test_the_password_of_the_inventory_opens_and_a_wrong_one_does_not(with_password):
    hosts = with_password("PubkeyAuthentication no")
    assert works(reached(hosts, user="rbops", password="right one")) == "h1"
    error = trouble(reached(hosts, user="rbops", password="wrong one"))
    assert "rbops may not log in" in error.what
    assert "; the password" in error.what
    assert "wrong" not in str(error)


@pytest.mark.root
def test_the_password_answers_the_questions_of_pam(with_password, tmp_path):
    (tmp_path / "pam").write_text("auth required pam_unix.so nodelay\naccount required pam_permit.so\n")
    conf = "PubkeyAuthentication no\nPasswordAuthentication no\nKbdInteractiveAuthentication yes\nUsePAM yes"
    hosts = with_password(conf, ("pam", "pam.d/sshd"))
    assert works(reached(hosts, user="rbops", password="right one")) == "h1"
    assert "may not log in" in trouble(reached(hosts, user="rbops", password="wrong one")).what


@pytest.mark.root
@pytest.mark.parametrize("methods", ["publickey,password", "password,publickey"])
def test_a_host_that_wants_a_key_and_a_password_gets_both(with_password, methods):
    hosts = with_password(f"AuthenticationMethods {methods}")
    assert works(reached(hosts, user="rbops", password="right one")) == "h1"
    assert "may not log in" in trouble(reached(hosts, user="rbops")).what


def test_a_session_too_many_is_told(sshds):
    hosts = sshds(conf="MaxSessions 1\n")
    line = dial(reached(hosts), Asker())
    with line.agent() as agent:
        agent.ready()
        with pytest.raises(HostUnreachable, match="the host opens no further session") as caught:
            line.agent()
        assert "MaxSessions" in caught.value.mend
    line.close()


def test_a_connection_that_is_dropped_because_there_are_too_many_is_told(sshds):
    hosts = sshds(conf="MaxStartups 1:100:1\n")
    with socket.create_connection((hosts["h1"].address, hosts["h1"].port)) as first:
        first.recv(10)
        error = trouble(reached(hosts))
    assert "hung up before it said its version" in error.what
    assert "MaxStartups" in error.mend


def test_a_host_by_its_ipv6_address_is_reached(sshds):
    if not Path("/proc/net/if_inet6").exists() or " lo\n" not in Path("/proc/net/if_inet6").read_text():
        pytest.skip("no IPv6 here")
    hosts = sshds()
    six = Sshd(hosts.directory, "h6", "::1", "")
    hosts["h6"] = six
    six.start()
    hosts.write()
    assert works(reached(hosts, "h6")) == "h6"
    six.stop()
    assert "refuses the connection" in trouble(reached(hosts, "h6")).what


def test_nothing_of_it_is_printed_by_paramiko(sshds, capfd):
    hosts = sshds()
    with server(said(b"SSH-2.0-x\r\n" + b"\0" * 1000)) as target:
        trouble_beside(target)
    hosts.key.unlink()
    trouble(reached(hosts))
    assert capfd.readouterr() == ("", "")


def test_a_line_is_only_dialled_with_what_it_needs():
    """The command line without an SSH host does not import paramiko."""
    program = "import sys; import runbook.engine.fleet, runbook.engine.fleet.dial, runbook.engine.fleet.target;"
    program += "import runbook.engine.fleet.ssh.hop; sys.exit('paramiko' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
