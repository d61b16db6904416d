"""One WebSocket (RFC 6455) within a time limit, by the standard library alone: opened, asked one thing, closed."""

import base64
import hashlib
import os
import socket
import ssl
import struct
import time
from typing import Tuple

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LONGEST = 16 * 1024  # bytes of the server's answer to the handshake
_LARGEST = 16 << 20  # bytes of a message
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10


class Unanswered(Exception):
    """What listens there is no WebSocket, or did not answer; the message says which."""


class WebSocket:
    """An open WebSocket. Every wait ends at `until`, a time of the monotonic clock.

    Raises:
        Unanswered: it can't be opened.
        OSError: nobody takes the connection.
    """

    def __init__(self, host: str, port: int, target: str, until: float, *, secure: bool = False) -> None:
        self._until = until
        self._read = b""
        self._socket = socket.create_connection((host, port), self._rest())
        try:
            if secure:
                self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=host)
            self._shake_hands(host, port, target)
        except BaseException:
            self._socket.close()
            raise

    def ask(self, text: str) -> str:
        """Send a text and return the next message.

        Raises:
            Unanswered: there was none in time, or the other side closed.
        """
        self._send(_TEXT, text.encode())
        message = b""
        while True:
            last, kind, data = self._frame()
            if kind == _PING:
                self._send(_PONG, data)
            elif kind == _CLOSE:
                raise Unanswered("the WebSocket was closed by the other side")
            elif kind != _PONG:
                message += data
                if len(message) > _LARGEST:
                    raise Unanswered("the answer is too long")
                if last:
                    return message.decode("utf-8", "replace")

    def ping(self) -> None:
        """Have the other side show that it lives.

        Raises:
            Unanswered: it does not.
        """
        token = os.urandom(8)
        self._send(_PING, token)
        while True:
            _, kind, data = self._frame()
            if kind == _PONG and data == token:
                return
            if kind == _PING:
                self._send(_PONG, data)
            elif kind == _CLOSE:
                raise Unanswered("the WebSocket was closed by the other side")

    def close(self) -> None:
        """Say goodbye, and hang up."""
        try:
            self._send(_CLOSE, struct.pack("!H", 1000))
        except (OSError, Unanswered):
            pass  # it is over either way
        finally:
            self._socket.close()

    def _shake_hands(self, host: str, port: int, target: str) -> None:
        key = base64.b64encode(os.urandom(16))
        name = f"[{host}]" if ":" in host else host
        lines = (
            f"GET {target} HTTP/1.1",
            f"Host: {name}:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key.decode()}",
            "Sec-WebSocket-Version: 13",
        )
        self._socket.settimeout(self._rest())
        self._socket.sendall("\r\n".join((*lines, "", "")).encode())
        while b"\r\n\r\n" not in self._read:
            if len(self._read) > _LONGEST:
                raise Unanswered("what answers is no WebSocket")
            self._receive()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        if first.split(" ")[1:2] != ["101"]:
            raise Unanswered(f"no WebSocket is opened there: {first[:100]}")
        wanted = base64.b64encode(hashlib.sha1(key + _MAGIC).digest()).decode()  # noqa: S324 -- as the RFC has it
        if headers.get("sec-websocket-accept") != wanted:
            raise Unanswered("what answers is no WebSocket: its handshake is wrong")

    def _send(self, kind: int, data: bytes) -> None:
        length, mask = len(data), os.urandom(4)
        if length < 126:
            head = struct.pack("!BB", 0x80 | kind, 0x80 | length)
        elif length < 1 << 16:
            head = struct.pack("!BBH", 0x80 | kind, 0x80 | 126, length)
        else:
            head = struct.pack("!BBQ", 0x80 | kind, 0x80 | 127, length)
        self._socket.settimeout(self._rest())
        self._socket.sendall(head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(data)))

    def _frame(self) -> Tuple[bool, int, bytes]:
        first, second = self._exactly(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self._exactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._exactly(8))
        if second & 0x80 or length > _LARGEST:
            raise Unanswered("what answers speaks no WebSocket that a client can take")
        return bool(first & 0x80), first & 0x0F, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        while len(self._read) < count:
            self._receive()
        taken, self._read = self._read[:count], self._read[count:]
        return taken

    def _receive(self) -> None:
        self._socket.settimeout(self._rest())
        data = self._socket.recv(1 << 16)
        if not data:
            raise Unanswered("the server hung up without an answer")
        self._read += data

    def _rest(self) -> float:
        rest = self._until - time.monotonic()
        if rest <= 0:
            raise TimeoutError("timed out")
        return rest
