"""SSH's packets: with limits, and with signs of life that want an answer."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from paramiko.packet import NeedRekeyException, Packetizer
from paramiko.ssh_exception import SSHException

if TYPE_CHECKING:
    from collections.abc import Callable

    from paramiko.message import Message

LARGEST: Final = 1 << 18  # bytes of one packet; sshd sends at most 32 KiB of data in one
BANNER: Final = 1 << 16  # bytes that may come before a server says its version
_LENGTH: Final = 4  # bytes that a packet begins with, in the clear under AES-GCM
_BLOCK: Final = 16  # bytes that paramiko reads first
_TAG: Final = 16  # bytes that AES-GCM adds to a packet
_NEVER: Final = 1e6  # seconds: a wait can't be much longer
_AT_ONCE: Final = 64 << 10  # bytes


class Silent(SSHException):  # type: ignore[misc]
    """The other side did not answer for too long."""


class Rubbish(SSHException):  # type: ignore[misc]
    """What came is no SSH, or more of it than there may be."""


class Packets(Packetizer):  # type: ignore[misc]
    """Packets with limits, a clock instead of a thread for the handshake's, and keepalives that want an answer.

    A loop that serves many connections may `attend` to one: then the connection's own thread stands aside between two
    packets, the loop reads, and the thread wakes only for what is not for a channel. To wake a thread for each answer
    costs more than to read it.
    """

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
        self._turn = threading.Condition()
        self._ring: Callable[[], None] | None = None  # tells the loop that it is to read
        self._calm: Callable[[], bool] | None = None
        self._descriptor = -1  # the loop's own of the socket: the thread closes its own when it likes
        self._aside = False  # it is the loop that reads
        self._left: tuple[int, Message] | BaseException | None = None  # to the thread
        self._buffer = bytearray()  # what the loop has read, and nobody has taken

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
        known = bytes(self._buffer[:n])
        del self._buffer[:n]
        if len(known) == n:
            return known
        rest: bytes = super().read_all(n - len(known), check_rekey and not known)
        self.heard, self.unanswered = time.monotonic(), 0
        return known + rest

    def read_message(self) -> tuple[int, Message]:
        """Read a packet; what a loop reads comes from there, if it is for the thread at all."""
        if self._calm is not None and self._calm():
            left = self._stand_aside()
            if isinstance(left, BaseException):
                raise left
            if left is not None:
                return left
            self._check_keepalive()
        read: tuple[int, Message] = super().read_message()
        return read

    def close(self) -> None:
        """End; a thread that stands aside sees it."""
        super().close()
        with self._turn:
            self._leave(EOFError())
            self.neglect()

    def attend(self, descriptor: int, ring: Callable[[], None], calm: Callable[[], bool]) -> bool:
        """Let a loop read; False where another does so already.

        Args:
            descriptor: of the socket, not blocking; the thread closes its own when it likes.
            ring: is called, by the thread, when the loop is to begin.
            calm: tells whether packets can be read by somebody else: no keys are being exchanged.
        """
        with self._turn:
            if self._ring is not None:
                return False
            self._descriptor, self._ring, self._calm = descriptor, ring, calm
        return True

    def neglect(self) -> None:
        """Let the thread read again."""
        with self._turn:
            self._ring = self._calm = None
            self._leave(None)

    @property
    def aside(self) -> bool:
        """It is the loop that reads."""
        return self._aside

    def take(self, passed_on: Callable[[int, Message], bool]) -> None:
        """Read what has arrived, in the loop; what `passed_on` does not pass on is left to the thread."""
        with self._turn:
            try:
                if self._aside:
                    self._fill()
                while self._aside and self._whole():
                    kind, message = super().read_message()
                    if not passed_on(kind, message):
                        self._leave((kind, message))
                if self._aside and self.need_rekey():
                    self._leave(NeedRekeyException())
            except Exception as error:  # noqa: BLE001 -- whatever it is ends the connection, which is the thread's
                self._leave(error)

    def _stand_aside(self) -> tuple[int, Message] | BaseException | None:
        """Wait until the loop leaves something to this thread; None where the thread is to read itself.

        That is also so after a silence: a loop that is busy elsewhere sees no sign of life.
        """
        with self._turn:
            if self._ring is None:
                return None
            self._aside, self._left = True, None
            self._ring()  # something may be left in the buffer
            while self._aside and (rest := self.heard + (self.quiet or _NEVER) - time.monotonic()) > 0:
                self._turn.wait(rest)
            self._aside = False
            return self._left

    def _leave(self, left: tuple[int, Message] | BaseException | None) -> None:
        """Leave something to the thread, which reads from now on, until it stands aside again."""
        with self._turn:
            if self._aside:
                self._aside, self._left = False, left
                self._turn.notify_all()

    def _fill(self) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._descriptor, _AT_ONCE)
            if not data:
                raise EOFError
            self._buffer += data
            self.heard, self.unanswered = time.monotonic(), 0

    def _whole(self) -> bool:
        """Tell whether a packet is there, or the beginning of one that is refused."""
        length = int.from_bytes(self._buffer[:_LENGTH], "big")
        return len(self._buffer) >= (_BLOCK if length > LARGEST else _LENGTH + length + _TAG)

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
