"""The link to an agent over a channel of an SSH connection."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from typing import TYPE_CHECKING, Any, Final

from paramiko.common import cMSG_CHANNEL_REQUEST
from paramiko.message import Message

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from paramiko.channel import Channel

    from runbook.engine.fleet.ssh.session import Session

WINDOW: Final = 1 << 20  # bytes that the host may send before it waits for us to read
_PACKET: Final = 16 << 10  # bytes that are written at once, which always fit where the socket says that it has room
_STATUS: Final = 0.2  # seconds that the exit status may come after the last byte


class ChannelLink:
    """The link to what a command on a host reads and writes.

    Args:
        session: the connection.
        command: what the user's shell there is given.
        timeout: seconds for the channel to open.

    Raises:
        HostUnreachable: the host opens no channel.
    """

    def __init__(self, session: Session, command: str, timeout: float) -> None:
        self._session = session
        self._bell = _Bell()
        self._stalled = False
        try:
            self._channel: Channel = session.open("session", timeout)
        except BaseException:
            self._bell.close()
            raise
        self._channel.settimeout(0.0)
        self._channel.in_buffer.set_event(self._bell)
        self._channel.in_stderr_buffer.set_event(self._bell)
        session.transport.watch(self._channel.chanid, self._bell.ring)
        self._socket = session.transport.attend(self._bell.ring)
        self._bells = {self._bell.descriptor: select.POLLIN}
        self._both = {**self._bells, self._socket: select.POLLIN} if self._socket >= 0 else {}
        m = Message()
        m.add_byte(cMSG_CHANNEL_REQUEST)
        m.add_int(self._channel.remote_chanid)
        m.add_string("exec")
        m.add_boolean(True)  # a refusal closes the channel; nobody waits for the word that it is well
        m.add_string(command)
        session.transport._send_user_message(m)  # noqa: SLF001 -- exec_command waits, without a limit

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Send what fits into the channel's window and the socket's buffer."""
        taken = 0
        view = memoryview(data)
        self._stalled = False
        try:
            while taken < len(data) and self._session.transport.ready_to_send():
                if not self._session.room():
                    self._stalled = True
                    break
                taken += self._channel.send(bytes(view[taken : taken + _PACKET])) or len(data)
        except TimeoutError:
            pass  # the window is full; the bell rings when it grows
        except (OSError, EOFError):
            return len(data)
        finally:
            view.release()
        return min(taken, len(data))

    def read(self) -> bytes | None:
        """Take what arrived."""
        self._bell.hush()  # first: it rings for what is taken here where that lets the host have more
        if self._socket >= 0:
            with self._bell.muted():
                self._session.transport.take()
        if len(self._channel.in_stderr_buffer):
            self._bell.set()  # it may have rung for that
        data = self._receive(self._channel.in_buffer, self._channel.recv)
        if data == b"" and self._socket >= 0:
            self._session.transport.packetizer.neglect()  # how it ended is waited for, and not in a loop
        return data

    def words(self) -> bytes | None:
        """Take what arrived of its standard error."""
        return self._receive(self._channel.in_stderr_buffer, self._channel.recv_stderr)

    def _receive(self, buffer: Any, receive: Any) -> bytes | None:
        if not len(buffer) and not (self._channel.eof_received or self._channel.closed):
            return None  # the usual case, and to learn it by a timeout would cost more than the rest of a message
        channel = self._channel
        tells = channel.in_window_sofar + len(buffer) > channel.in_window_threshold  # the host that it can send more
        self._stalled = tells and not self._session.room()
        if self._stalled:
            return None
        try:
            data: bytes = receive(WINDOW)
        except TimeoutError:
            return None
        except (OSError, EOFError):
            return b""
        return data

    def polled(self) -> Mapping[int, int]:
        """Wait for the bell, which rings when something arrived and when the host takes more, and for the socket."""
        return self._both if self._both and self._session.transport.packetizer.aside else self._bells

    @property
    def stalled(self) -> bool:
        """The socket has no room."""
        return self._stalled

    def ended(self) -> str | None:
        """Say how the command ended."""
        channel = self._channel
        if self._session.transport.is_active():
            channel.status_event.wait(_STATUS)
        if channel.exit_status >= 0:
            return f"exit code {channel.exit_status}"
        name = getattr(channel, "exit_signal", "")
        return f"signal {name}" if name else None

    def lost(self) -> str | None:
        """Say why the connection ended, or that the host runs no command."""
        if getattr(self._channel, "refused", False):
            return "the host lets us in, but runs no command for us"
        if self._session.transport.is_active() or self._channel.exit_status >= 0:
            return None
        return f"the connection was lost: {self._session.why()}"

    def close(self) -> None:
        """Close the channel."""
        self._session.transport.forget(self._channel.chanid)
        if self._socket >= 0:
            self._session.transport.packetizer.neglect()
            os.close(self._socket)
            self._socket, self._both = -1, {}
        silent = _Silence()
        self._channel.in_buffer.set_event(silent)
        self._channel.in_stderr_buffer.set_event(silent)
        self._bell.close()
        self._session.leave(self._channel)


class _Bell:
    """A descriptor that is readable when something happened; rung by the transport's thread."""

    def __init__(self) -> None:
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._silent = False
        self._rung = False
        self._lock = threading.Lock()  # lest somebody else's descriptor of the same number is written to

    @contextlib.contextmanager
    def muted(self) -> Iterator[None]:
        """Don't ring for what arrives meanwhile: who would hear it is about to look."""
        self._silent = True
        try:
            yield
        finally:
            self._silent = False

    def set(self) -> None:
        """Ring, since something arrived."""
        if not self._silent:
            self.ring()

    def ring(self) -> None:
        """Ring."""
        with self._lock:
            if self.descriptor >= 0:
                self._rung = True
                os.eventfd_write(self.descriptor, 1)

    def clear(self) -> None:
        """Leave it to `hush`: of two streams that share it one may yet have something."""

    def hush(self) -> None:
        """Let it be silent until it rings again."""
        if not self._rung:
            return
        with self._lock, contextlib.suppress(BlockingIOError):
            self._rung = False
            os.eventfd_read(self.descriptor)

    def close(self) -> None:
        """Ring no more."""
        with self._lock:
            os.close(self.descriptor)
            self.descriptor = -1


class _Silence:
    """A bell that nobody hears."""

    def set(self) -> None:
        """Do nothing."""

    def clear(self) -> None:
        """Do nothing."""
