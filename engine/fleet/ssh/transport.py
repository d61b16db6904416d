"""paramiko's transport as a fleet needs it: without polling, blocking and words of its own, and with limits.

What is private in paramiko and used here, in `packets` and in `proof` is held by tests/system/test_ssh_transport.py.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import paramiko
from paramiko.channel import Channel
from paramiko.common import (
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_CHANNEL_FAILURE,
    MSG_CHANNEL_REQUEST,
    MSG_CHANNEL_WINDOW_ADJUST,
    MSG_EXT_INFO,
    MSG_NEWKEYS,
    MSG_SERVICE_ACCEPT,
    cMSG_GLOBAL_REQUEST,
    cMSG_SERVICE_REQUEST,
)
from paramiko.message import Message

from runbook import __version__
from runbook.engine.fleet.ssh.packets import LARGEST, Packets, Rubbish
from runbook.engine.fleet.ssh.proof import Proof

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_EXTENSIONS: Final = 64  # that a server may name
_CHEAP: Final = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
_FOR_CHANNELS: Final = frozenset({MSG_CHANNEL_DATA, MSG_CHANNEL_EXTENDED_DATA, MSG_CHANNEL_WINDOW_ADJUST})

_logger = logging.getLogger("paramiko")
_logger.addHandler(logging.NullHandler())  # what it has to say is in our errors
_logger.propagate = False
_logger.setLevel(logging.CRITICAL + 1)


class Transport(paramiko.Transport):  # type: ignore[misc]
    """One connection.

    Args:
        sock: what it travels over.
        key_types: names of host key algorithms, the best first.
        ciphers: names, where the configuration limits them.
        kexes: the same for key exchange.
    """

    _CLIENT_ID = f"runbook_{__version__}"

    def __init__(
        self, sock: Any, key_types: Sequence[str], *, ciphers: Sequence[str] = (), kexes: Sequence[str] = ()
    ) -> None:
        super().__init__(sock, packetizer_class=Packets)
        self.daemon = True
        self.name = "runbook ssh"
        self.goodbye = ""  # what the server said when it hung up
        self._key_types = tuple(key_types)
        self._kexes, self._ciphers = _ordered(self._preferred_kex, kexes), _ordered(self._preferred_ciphers, ciphers)
        self._held: deque[Message] = deque()  # messages that wait for the end of a key exchange
        self._accepted = threading.Event()
        self._opened: dict[int, Callable[[], None]] = {}  # by channel: who is told that its window has grown
        self._handler_table[MSG_SERVICE_ACCEPT] = lambda _m: self._accepted.set()
        self._handler_table[MSG_NEWKEYS] = self._parse_newkeys
        self._handler_table[MSG_EXT_INFO] = self._parse_ext_info
        self._channel_handler_table = {
            **paramiko.Transport._channel_handler_table,  # noqa: SLF001
            MSG_CHANNEL_WINDOW_ADJUST: self._widen,
            MSG_CHANNEL_DATA: lambda channel, m: self._take(channel, m, Channel._feed),  # noqa: SLF001
            MSG_CHANNEL_EXTENDED_DATA: lambda channel, m: self._take(channel, m, Channel._feed_extended),  # noqa: SLF001
            MSG_CHANNEL_REQUEST: self._requested,
            MSG_CHANNEL_FAILURE: self._refused,
        }

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """Host key algorithms; those first by which the host is known."""
        return self._key_types

    @property
    def preferred_kex(self) -> tuple[str, ...]:
        """Key exchanges."""
        return self._kexes

    @property
    def preferred_ciphers(self) -> tuple[str, ...]:
        """Ciphers."""
        return self._ciphers

    def run(self) -> None:
        """Read until the end."""
        try:
            super().run()
        except BaseException as error:  # noqa: BLE001 -- a thread's last words would go to the terminal
            self.saved_exception = error
            self.active = False
            with contextlib.suppress(OSError):
                self.sock.close()

    def authentication(self, timeout: float) -> Proof:
        """Begin to authenticate."""
        self.auth_timeout = timeout
        m = Message()
        m.add_byte(cMSG_SERVICE_REQUEST)
        m.add_string("ssh-userauth")
        self._send_message(m)
        deadline = time.monotonic() + timeout
        while not self._accepted.wait(0.05):
            if not self.active:
                raise self.get_exception() or EOFError()
            if time.monotonic() > deadline:
                raise TimeoutError
        self.auth_handler = Proof(self)
        return self.auth_handler

    def settle(self, quiet: float, most: int) -> None:
        """Stop polling: from now on the thread wakes for what arrives, and to see whether the other side lives.

        Args:
            quiet: seconds of silence after which it is asked for a sign of life; 0 = never.
            most: how many of those may stay out.
        """
        self.sock.settimeout(quiet or 3600.0)
        self.packetizer.quiet, self.packetizer.most = quiet, most
        self.packetizer.alive = self._ask if quiet else None

    def ready_to_send(self) -> bool:
        """Tell whether a message goes out at once: no key exchange is under way."""
        return bool(self.clear_to_send.is_set()) and not self._held

    def watch(self, channel: int, grown: Callable[[], None]) -> None:
        """Have somebody told when a channel's window grows."""
        self._opened[channel] = grown

    def attend(self, ring: Callable[[], None]) -> int:
        """Let a loop read in place of the thread, once that rings, while there is but one channel.

        Returns:
            A descriptor that the loop has to listen to while `packetizer.aside`, to call `take`, and to close when it
            is done; -1 where nobody but the thread can read.
        """
        if len(self._channels) > 1 or not isinstance(self.sock, socket.socket):
            return -1  # who waits at another channel does not serve this one; a tunnel is no socket
        try:
            descriptor = os.dup(self.sock.fileno())
        except OSError:  # it has ended
            return -1
        if self.packetizer.attend(descriptor, ring, self._calm):
            return descriptor
        os.close(descriptor)
        return -1

    def open_channel(self, *args: Any, **more: Any) -> Channel:
        """Open a channel; from now on the thread reads."""
        self.packetizer.neglect()
        return super().open_channel(*args, **more)

    def take(self) -> None:
        """Read what has arrived, in the loop that attends to this."""
        self.packetizer.take(self._passed_on)

    def _calm(self) -> bool:
        """Tell whether what comes next is read alike by everybody, and by its length alone."""
        return not self.in_kex and not self._expected_packet and self.remote_cipher in _CHEAP

    def _passed_on(self, kind: int, m: Message) -> bool:
        """Pass on what is for a channel."""
        channel = self._channels.get(m.get_int()) if kind in _FOR_CHANNELS else None
        if channel is None:
            m.rewind()
            return False
        self._channel_handler_table[kind](channel, m)
        return True

    def forget(self, channel: int) -> None:
        """Tell them no more."""
        self._opened.pop(channel, None)

    def _widen(self, channel: Channel, m: Message) -> None:
        channel._window_adjust(m)  # noqa: SLF001
        if (grown := self._opened.get(channel.chanid)) is not None:
            grown()

    @staticmethod
    def _take(channel: Channel, m: Message, feed: Callable[[Channel, Message], None]) -> None:
        """Take data, within the window that the other side was given: paramiko itself takes whatever comes."""
        feed(channel, m)
        if len(channel.in_buffer) + len(channel.in_stderr_buffer) > channel.in_window_size + LARGEST:
            raise Rubbish("a server that sends more than it may")

    @staticmethod
    def _requested(channel: Channel, m: Message) -> None:
        at = m.packet.tell()
        if m.get_binary() == b"exit-signal":
            m.get_boolean()
            channel.exit_signal = m.get_binary()[:20].decode("ascii", "replace")
            return
        m.packet.seek(at)
        channel._handle_request(m)  # noqa: SLF001

    @staticmethod
    def _refused(channel: Channel, m: Message) -> None:
        channel.refused = True
        channel._request_failed(m)  # noqa: SLF001

    def _parse_ext_info(self, m: Message) -> None:
        """Read what the server can do besides, as far as we know it."""
        for _ in range(min(m.get_int(), _EXTENSIONS)):
            name, value = m.get_binary(), m.get_binary()
            if name == b"server-sig-algs":
                self.server_extensions = {"server-sig-algs": value}

    def _ask(self) -> None:
        m = Message()
        m.add_byte(cMSG_GLOBAL_REQUEST)
        m.add_string("keepalive@openssh.com")
        m.add_boolean(True)
        self._send_user_message(m)

    def _send_user_message(self, data: Message) -> None:
        """Send a message, after a key exchange that is under way; who sends never waits for that."""
        if not self.active:
            return
        with self.clear_to_send_lock:
            if not self.clear_to_send.is_set() or self._held:
                self._held.append(data)
                return
            self._send_message(data)

    def _log(self, *_: Any) -> None:
        """Say nothing: what it has to say is in our errors, and to put it together costs time."""

    def _parse_newkeys(self, m: Message) -> None:
        super()._parse_newkeys(m)
        with self.clear_to_send_lock:
            while self._held:
                self._send_message(self._held.popleft())
        for grown in list(self._opened.values()):
            grown()

    def _parse_disconnect(self, m: Message) -> None:
        m.get_int()
        self.goodbye = m.get_binary().decode("utf-8", "replace")[:500]


def _ordered(known: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the algorithms of a configuration that there are; without one all, what costs least first."""
    if wanted:
        return tuple(name for name in wanted if name in known)
    return (*(name for name in known if _cheap(name)), *(name for name in known if not _cheap(name)))


def _cheap(name: str) -> bool:
    return name in _CHEAP or name.startswith(("mlkem768x25519", "curve25519"))
