"""From nothing to an authenticated connection, each phase with its own time and its own words."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

from paramiko.ssh_exception import IncompatiblePeer, SSHException

from runbook.engine.errors import HostUnreachable
from runbook.engine.fleet.ssh import auth, host_key, trouble
from runbook.engine.fleet.ssh.packets import Rubbish
from runbook.engine.fleet.ssh.session import Session, Socket, Tunnel
from runbook.engine.fleet.ssh.transport import Transport

if TYPE_CHECKING:
    from runbook.engine.fleet.asker import Asker
    from runbook.engine.fleet.ssh.hop import Hop
    from runbook.engine.fleet.ssh.session import Wire

_BUFFER: Final = 256 << 10  # bytes that the kernel keeps for a socket: so that it always takes a packet when it says so
_GRACE: Final = 0.5  # seconds for a proxy command to end by itself


class Jump(Protocol):
    """A connection to a jump host, which several may need."""

    @property
    def session(self) -> Session:
        """The connection, which passes us on."""

    def release(self) -> None:
        """Need it no more."""


def connect(hop: Hop, asker: Asker, password: str | None, jump: Jump | None = None) -> Session:
    """Connect to a host and log in.

    Args:
        hop: the host.
        asker: for passphrases, and to tell of new host keys.
        password: of the user, if one was given.
        jump: what passes us on, if something does; released when the connection is closed, or could not be made.

    Raises:
        HostUnreachable: some phase failed.
    """
    with contextlib.ExitStack() as undo:
        if jump is not None:
            undo.callback(jump.release)
        known = host_key.entries(hop)
        wire, sock = _wire(hop, None if jump is None else jump.session)
        undo.callback(wire.done)
        undo.callback(sock.close)
        undo.callback(wire.shut)
        transport = Transport(sock, host_key.preferred(hop, known), ciphers=hop.ciphers, kexes=hop.kexes)
        undo.callback(transport.join, 5.0)
        undo.callback(transport.close)
        undo.callback(wire.shut)
        _negotiate(transport, hop, wire)
        key = transport.get_remote_server_key()
        blob = key.public_blob.key_blob if key.public_blob is not None else key.asbytes()
        host_key.check(hop, known, transport.host_key_type, blob, asker)
        auth.authenticate(transport, hop, asker, password)
        transport.settle(*hop.alive)
        return Session(hop.name, transport, wire, undo.pop_all())


def _wire(hop: Hop, jump: Session | None) -> tuple[Wire, Any]:
    if jump is not None:
        tunnel = Tunnel(jump.open("direct-tcpip", hop.timeout, (hop.address, hop.port)), jump)
        return tunnel, tunnel
    if hop.proxy_command:
        command = _Command(hop)
        return Socket(command.sock, command.end, command.said), command.sock
    sock = _dialled(hop)
    return Socket(sock), sock


def _dialled(hop: Hop) -> socket.socket:
    """Make a TCP connection, trying the addresses of a name in turn."""
    deadline = time.monotonic() + hop.connect_timeout
    try:
        places = socket.getaddrinfo(hop.address, hop.port, hop.family, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise trouble.unconnected(hop.name, _os(error), hop.address, hop.port, hop.connect_timeout) from error
    last: OSError = TimeoutError()
    for family, kind, protocol, _, place in places:
        sock = None
        try:
            sock = socket.socket(family, kind, protocol)
            sock.settimeout(max(0.1, deadline - time.monotonic()))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            if hop.bind:
                sock.bind((hop.bind, 0))
            sock.connect(place)
        except OSError as error:
            last = error
            if sock is not None:
                sock.close()
            if time.monotonic() >= deadline:
                break
        else:
            return sock
    raise trouble.unconnected(hop.name, last, hop.address, hop.port, hop.connect_timeout) from last


def _os(error: OSError | UnicodeError) -> OSError:
    return error if isinstance(error, OSError) else socket.gaierror(socket.EAI_NONAME, "it can't be a name")


class _Command:
    """A command whose standard input and output are the connection: ProxyCommand."""

    def __init__(self, hop: Hop) -> None:
        self.sock, theirs = socket.socketpair()
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 -- closed at the end
        try:
            self._process = subprocess.Popen(  # noqa: S603 -- the user's own configuration
                ["/bin/sh", "-c", f"exec {hop.proxy_command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._said,
                start_new_session=True,
            )
        except OSError:
            self.sock.close()
            self._said.close()
            raise
        finally:
            theirs.close()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)

    def said(self) -> str:
        """Return the end of what it wrote to its standard error, and how it ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.2)
        self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, self._said.tell() - 2000))
        words = " ".join(self._said.read().decode("utf-8", "replace").split())
        code = self._process.poll()
        how = "" if code is None else f"exit code {code}" if code >= 0 else f"signal {-code}"
        return ": ".join(filter(None, (how, words)))

    def end(self) -> None:
        """End it and all that it started, unless it does so by itself at once."""
        self.sock.close()
        try:
            self._process.wait(_GRACE if self._process.poll() is None else 0)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._said.close()


def _negotiate(transport: Transport, hop: Hop, wire: Wire) -> None:
    """Agree on keys; what fails is told by its phase."""
    transport.banner_timeout = transport.handshake_timeout = hop.timeout
    try:
        transport.start_client()
    except (SSHException, OSError, EOFError) as error:
        raise _unagreed(transport, hop, error, wire) from error


def _unagreed(transport: Transport, hop: Hop, error: BaseException, wire: Wire) -> HostUnreachable:
    place = f"{hop.address} port {hop.port}"
    cause = error.__context__ if "protocol banner" in str(error) and error.__context__ is not None else error
    before = not transport.remote_version
    phase = "before it said its version" if before else "during key exchange"
    if isinstance(cause, TimeoutError):
        what = f"{place} takes connections, but did not {'say its version' if before else 'exchange keys'} within "
        return HostUnreachable(
            f"{what}{hop.timeout:g} s ({'banner' if before else 'key exchange'})", where=hop.name, mend=trouble.SLOW
        )
    command = wire.said()
    if command:
        return HostUnreachable(
            f"its proxy command ended {phase}: {command}", where=hop.name, mend=f"try it by itself: {hop.proxy_command}"
        )
    if (
        isinstance(cause, Rubbish | UnicodeError)
        or "Indecipherable" in str(cause)
        or "Invalid SSH banner" in str(cause)
    ):
        return HostUnreachable(
            f"what listens on {place} is no SSH server: {cause}",
            where=hop.name,
            mend="look whether `ansible_port` is right",
        )
    if isinstance(cause, IncompatiblePeer):
        return HostUnreachable(
            f"no way of encryption is known to both: {cause}",
            where=hop.name,
            mend="it may be a very old or a very strict sshd",
        )
    if isinstance(cause, EOFError | ConnectionError) and before:
        return HostUnreachable(
            f"{place} hung up {phase}: {trouble.lost(cause, transport.goodbye)}",
            where=hop.name,
            mend="its sshd may have too many connections that are not logged in yet (MaxStartups), or bar this address "
            "(hosts.deny, fail2ban); fewer --forks help against the first",
        )
    if isinstance(cause, EOFError | OSError):
        return HostUnreachable(
            f"{place} hung up {phase}: {trouble.lost(cause, transport.goodbye)}", where=hop.name, mend=trouble.LOG
        )
    return HostUnreachable(
        f"what listens on {place} does not keep to SSH's protocol: {cause}", where=hop.name, mend=trouble.LOG
    )
