"""One authenticated connection, over which channels are opened; and how a channel carries another connection."""

from __future__ import annotations

import contextlib
import select
import socket
from typing import TYPE_CHECKING, Any, Final, Protocol

from paramiko.ssh_exception import ChannelException, SSHException

from runbook.engine.errors import HostUnreachable
from runbook.engine.fleet.ssh import trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from paramiko.channel import Channel

    from runbook.engine.fleet.ssh.transport import Transport

_WINDOW: Final = 1 << 20  # bytes that the other side may send before it waits for us to read
_PACKET: Final = 32 << 10  # bytes in one message
_ROOM: Final = 64 << 10  # bytes that must fit into a tunnel before something is written to it


class Wire(Protocol):
    """What a connection travels over."""

    def room(self) -> bool:
        """Tell whether a packet can be written without waiting."""

    def shut(self) -> None:
        """Cut it, so that whoever reads from it sees its end."""

    def done(self) -> None:
        """Clear up when it is closed."""

    def said(self) -> str:
        """Return what a command that it leads to has to say; empty where there is none."""


class Socket:
    """A socket: to the host, or to a command on this machine."""

    def __init__(
        self, sock: socket.socket, after: Callable[[], None] | None = None, said: Callable[[], str] | None = None
    ) -> None:
        self.sock = sock
        self._after = after  # what is to be done when it is closed
        self._said = said  # tells what whoever is at its other end on this machine has to say

    def said(self) -> str:
        """Ask the command, if it leads to one."""
        return self._said() if self._said is not None else ""

    def room(self) -> bool:
        """Tell whether the kernel takes a packet; it says so only when a third of the buffer is free."""
        descriptor = self.sock.fileno()
        if descriptor < 0:
            return True  # what is written fails at once
        poll = select.poll()  # of its own: several threads ask
        poll.register(descriptor, select.POLLOUT)
        return bool(poll.poll(0))

    def shut(self) -> None:
        """Cut it; a thread that reads wakes up."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def done(self) -> None:
        """End the command, if it leads to one."""
        if self._after is not None:
            self._after()


class Tunnel:
    """A channel of one connection as the socket of the next: how a jump host passes us on."""

    def __init__(self, channel: Channel, jump: Session) -> None:
        self._channel, self._jump = channel, jump
        self._closed = False  # looked at by paramiko

    def room(self) -> bool:
        """Tell whether the jump host and the channel take a packet."""
        return bool(self._jump.room() and self._channel.out_window_size >= _ROOM)

    def shut(self) -> None:
        """Cut it."""
        self._channel._unlink()  # noqa: SLF001 -- wakes who reads, and sends nothing
        self._jump.leave(self._channel)

    def done(self) -> None:
        """Nothing is left of it."""

    def said(self) -> str:
        """No command takes part."""
        return ""

    def recv(self, size: int) -> bytes:
        """Read, as a socket does."""
        data: bytes = self._channel.recv(size)
        return data

    def send(self, data: bytes) -> int:
        """Write, as a socket does."""
        return int(self._channel.send(data))

    def settimeout(self, timeout: float | None) -> None:
        """Let reads wait for so long."""
        self._channel.settimeout(timeout)

    def close(self) -> None:
        """Close it."""
        self._closed = True
        self.shut()


class Session:
    """A connection that is authenticated.

    Args:
        name: the host's, for messages.
        transport: it.
        wire: what it travels over.
        undo: hangs up, and lets go of what it was made with.
    """

    def __init__(self, name: str, transport: Transport, wire: Wire, undo: contextlib.ExitStack) -> None:
        self.name, self.transport = name, transport
        self._wire, self._undo = wire, undo
        self._closed = False

    def room(self) -> bool:
        """Tell whether a message can be sent without waiting."""
        return not self.transport.is_active() or self._wire.room()

    def open(self, kind: str, timeout: float, to: tuple[str, int] | None = None) -> Channel:
        """Open a channel; waits for the host's answer.

        Raises:
            HostUnreachable: it refuses, or does not answer in time.
        """
        more: dict[str, Any] = {} if to is None else {"dest_addr": to, "src_addr": ("127.0.0.1", 0)}
        try:
            return self.transport.open_channel(
                kind, window_size=_WINDOW, max_packet_size=_PACKET, timeout=timeout, **more
            )
        except ChannelException as error:
            raise trouble.refused(self.name, error, to) from error
        except (SSHException, OSError, EOFError) as error:
            if self.transport.is_active():
                raise HostUnreachable(
                    f"the host opened no channel within {timeout:g} s", where=self.name, mend=trouble.SLOW
                ) from error
            raise HostUnreachable(f"the connection was lost: {self.why(error)}", where=self.name) from error

    def leave(self, channel: Channel) -> None:
        """Close a channel, telling the host where that can be done without waiting."""
        if self.transport.is_active() and self._wire.room():
            with contextlib.suppress(OSError, EOFError, SSHException):
                channel.close()
        channel._unlink()  # noqa: SLF001 -- else it would be closed when it is collected, by whichever thread does that

    def why(self, error: BaseException | None = None) -> str:
        """Say why the connection ended."""
        if self._closed:
            return "it was hung up here"
        return trouble.lost(error or self.transport.saved_exception, self.transport.goodbye)

    def close(self) -> None:
        """Hang up; its thread ends."""
        self._closed = True
        self._undo.close()
