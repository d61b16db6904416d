"""SSH's packets: with limits, with signs of life that want an answer, and read by whoever waits for them."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from paramiko.message import Message
from paramiko.packet import NeedRekeyException, Packetizer
from paramiko.ssh_exception import SSHException

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Packet = tuple[int, Message]

LARGEST: Final = 1 << 18  # bytes of one packet; sshd sends at most 32 KiB of data in one
BANNER: Final = 1 << 16  # bytes that may come before a server says its version
_ROUND: Final = 16  # bytes of which AES takes whole multiples
_AT_ONCE: Final = 1 << 18  # bytes that are read by one call
_LOOKS: Final = 15.0  # seconds after which the connection's thread looks whether what waits was read


class Silent(SSHException):  # type: ignore[misc]
    """The other side did not answer for too long."""


class Rubbish(SSHException):  # type: ignore[misc]
    """What came is no SSH, or more of it than there may be."""


class Packets(Packetizer):  # type: ignore[misc]
    """Packets with limits, a clock instead of a thread for the handshake's, and keepalives that want an answer.

    They are read by the connection's thread, which hands what it reads to another: two threads wake for each packet.
    So an attendant, who waits for them anyway, may read them himself: the thread stands aside and is given back what
    is not data. It takes over again where nobody comes for what has arrived, since servers ask for signs of life.
    """

    _Packetizer__remainder: bytes
    _Packetizer__iv_in: bytes
    _Packetizer__iv_out: bytes
    _Packetizer__sequence_number_in: int
    _Packetizer__sequence_number_out: int

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self.heard = time.monotonic()  # when something came last
        self.unanswered = 0
        self.alive: Callable[[], None] | None = None  # asks for a sign of life
        self.most = 3  # signs of life that may stay out
        self.quiet = 0.0  # seconds of silence before one is asked for
        self.aside = False  # the thread reads nothing at the moment
        self._sock = sock
        self.descriptor = sock.fileno() if isinstance(sock, socket.socket) else -1  # what an attendant waits for
        self._until: float | None = None
        self._before = 0
        self._reading = threading.Lock()  # whoever reads holds it
        self._attendant: Callable[[], None] | None = None  # is told that the thread has stood aside
        self._wake = threading.Event()
        self._back: list[Packet | BaseException] = []  # what is given back to the thread

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

    def begin(self) -> None:
        """Be the thread that reads."""
        self._reading.acquire()

    def attend(self, aside: Callable[[], None] | None) -> None:
        """Let somebody read by `arrived` whenever the socket is readable; he is told when he may. None: no longer."""
        self._attendant = aside
        self._wake.set()

    def read_message(self) -> Packet:
        """Read the next packet, if there is no one else who does."""
        if self._attendant is not None:
            self._stand_aside()
        if self._back:
            found = self._back.pop()
            if isinstance(found, BaseException):
                raise found
            return found
        packet: Packet = super().read_message()
        return packet

    def arrived(self) -> Iterator[tuple[bytes, int]]:
        """Read what is there and yield it packet by packet, with their numbers; nothing where the thread reads."""
        if not self._reading.acquire(blocking=False):
            return
        try:
            if self._back or not self.aside:
                return
            data = os.read(self._sock.fileno(), _AT_ONCE)
            if not data:
                raise EOFError  # noqa: TRY301 -- the thread is to end by it
            self._Packetizer__remainder += data
            self.heard, self.unanswered = time.monotonic(), 0
            while not self._back and (size := self._whole()):
                yield self._opened(size)
        except BlockingIOError:
            pass
        except Exception as error:  # noqa: BLE001 -- whatever it is, the connection ends by it as it always did
            self.give_back(error)
        finally:
            self._reading.release()

    def give_back(self, what: Packet | BaseException) -> None:
        """Leave a packet, or what went wrong, to the thread; it reads from here on."""
        self._back.append(what)
        self._wake.set()

    def close(self) -> None:
        """Close it; a thread that stands aside comes back."""
        super().close()
        self._wake.set()

    def push(self, payload: bytes) -> None:
        """Send a packet, as `send_message` does, in fewer words."""
        size = _ROUND - (len(payload) + 4) % _ROUND + len(payload) + 4  # what is encrypted: at least 4 bytes are added
        with self._Packetizer__write_lock:
            if (
                self._Packetizer__aead_out
                and self._Packetizer__compress_engine_out is None
                and self._Packetizer__block_size_out == _ROUND
                and self._Packetizer__sent_packets + 1 < self.REKEY_PACKETS
                and self._Packetizer__sent_bytes + 2 * size < self.REKEY_BYTES
            ):
                padding = size - len(payload) - 1
                head = size.to_bytes(4, "big")
                body = b"%c%b%b" % (padding, payload, os.urandom(padding))
                out = head + self._Packetizer__block_engine_out.encrypt(self._Packetizer__iv_out, body, head)
                self._Packetizer__iv_out = _next_iv(self._Packetizer__iv_out)
                self._Packetizer__sequence_number_out = (self._Packetizer__sequence_number_out + 1) & 0xFFFFFFFF
                self._Packetizer__sent_bytes += len(out)
                self._Packetizer__sent_packets += 1
                try:
                    sent = self._sock.send(out)
                except TimeoutError:
                    sent = 0
                if sent < len(out):
                    self.write_all(out[sent:])
                return
        self.send_message(Message(payload))

    def _opened(self, size: int) -> tuple[bytes, int]:
        """Return the next packet, which is there as a whole, and its number; as `read_message` does, in fewer words."""
        number: int = self._Packetizer__sequence_number_in
        if (
            not self._Packetizer__aead_in
            or self._Packetizer__compress_engine_in is not None
            or self.need_rekey()
            or self._Packetizer__received_packets + 1 >= self.REKEY_PACKETS
            or self._Packetizer__received_bytes + size >= self.REKEY_BYTES
        ):
            kind, m = super().read_message()
            return bytes((kind,)) + m.asbytes(), number
        read: bytes = self._Packetizer__remainder
        body = self._Packetizer__block_engine_in.decrypt(self._Packetizer__iv_in, read[4:size], read[:4])
        self._Packetizer__remainder = read[size:]
        self._Packetizer__iv_in = _next_iv(self._Packetizer__iv_in)
        self._Packetizer__sequence_number_in = (number + 1) & 0xFFFFFFFF
        self._Packetizer__received_bytes += size
        self._Packetizer__received_packets += 1
        payload = body[1 : len(body) - body[0]]
        if not payload:
            raise Rubbish("a packet with nothing in it")
        return payload, number

    def _trigger_rekey(self) -> None:
        """Have the thread exchange keys anew."""
        super()._trigger_rekey()
        self._wake.set()

    def _whole(self) -> int:
        """Return how many bytes the next packet has, where all of it was read; else 0."""
        read: bytes = self._Packetizer__remainder
        if len(read) < 4:
            return 0
        size = int.from_bytes(read[:4], "big")
        if size > LARGEST:
            raise Rubbish(f"a packet that says it has {size} bytes")
        size += 4 + self._Packetizer__mac_size_in
        return size if len(read) >= size else 0

    def _stand_aside(self) -> None:
        """Wait, where another reads, until there is something that only the thread can see to."""
        if self._wanted() or self.descriptor < 0:
            return
        if not (self._Packetizer__aead_in or self._Packetizer__etm_in):
            return  # how long a packet is can't be told without decrypting it
        self.aside = True
        self._reading.release()
        try:
            if (attendant := self._attendant) is not None:
                attendant()
            while True:
                self._wake.wait(min(self.quiet or _LOOKS, _LOOKS))
                self._wake.clear()
                with self._reading:
                    if self._wanted() or self._waits():
                        break
                    self._check_keepalive()
        finally:
            self._reading.acquire()
            self.aside = False
        if self.need_rekey() and not self._back:
            raise NeedRekeyException

    def _wanted(self) -> bool:
        """Tell whether the thread has something to do."""
        return bool(
            self._back or self._attendant is None or self.need_rekey() or self.closed or self._Packetizer__remainder
        )

    def _waits(self) -> bool:
        """Tell whether something has arrived that nobody has read."""
        poll = select.poll()
        poll.register(self._sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))

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


def _next_iv(iv: bytes) -> bytes:
    """Return what GCM counts up for each packet: the last 8 of its 12 bytes (RFC 5647)."""
    return iv[:4] + ((int.from_bytes(iv[4:], "big") + 1) & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "big")
