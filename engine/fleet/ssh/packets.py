"""SSH's packets: with limits, and with signs of life that want an answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from paramiko.packet import Packetizer
from paramiko.ssh_exception import SSHException

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST: Final = 1 << 18  # bytes of one packet; sshd sends at most 32 KiB of data in one
BANNER: Final = 1 << 16  # bytes that may come before a server says its version


class Silent(SSHException):  # type: ignore[misc]
    """The other side did not answer for too long."""


class Rubbish(SSHException):  # type: ignore[misc]
    """What came is no SSH, or more of it than there may be."""


class Packets(Packetizer):  # type: ignore[misc]
    """Packets with limits, a clock instead of a thread for the handshake's, and keepalives that want an answer."""

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self.heard = time.monotonic()  # when something came last
        self.unanswered = 0
        self.alive: Callable[[], None] | None = None  # asks for a sign of life
        self.most = 3  # signs of life that may stay out
        self.quiet = 0.0  # seconds of silence before one is asked for
        self._sock = sock
        self._until: float | None = None
        self._before = 0

    def start_handshake(self, timeout: float) -> None:
        """Begin to count, without a thread for it."""
        self._until = time.monotonic() + timeout

    def handshake_timed_out(self) -> bool:
        """Raise where the time for the handshake is over: paramiko would call it an end of the connection."""
        if self._until is not None and time.monotonic() > self._until:
            raise TimeoutError
        return False

    def complete_handshake(self) -> None:
        """Stop counting when keys are agreed on; paramiko does so after the first message."""
        if self._initial_kex_done:
            self._until = None

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        """Read exactly so many bytes, as long as that is not too many."""
        if n > LARGEST or n < 0:
            raise Rubbish(f"a packet that says it has {n} bytes")
        data: bytes = super().read_all(n, check_rekey)
        self.heard, self.unanswered = time.monotonic(), 0
        return data

    def _read_timeout(self, timeout: float) -> bytes:
        """Read a part of the lines before the first packet; all of them together have so many seconds."""
        if self._until is None:
            self._until = time.monotonic() + timeout
        self.handshake_timed_out()
        data: bytes = super()._read_timeout(max(0.05, self._until - time.monotonic()))
        self._before += len(data)
        if self._before > BANNER:
            raise Rubbish(f"more than {BANNER >> 10} KiB before a version")
        return data

    def _check_keepalive(self) -> None:
        if self.alive is None or time.monotonic() - self.heard < self.quiet * (self.unanswered + 1):
            return
        if self.unanswered >= self.most:
            raise Silent(f"no sign of life for {time.monotonic() - self.heard:.0f} s")
        self.unanswered += 1
        self.alive()
