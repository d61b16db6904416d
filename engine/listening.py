"""Addresses that this program listens on: how they are written, and what is said when one can't be had."""

from __future__ import annotations

import contextlib
import errno
import http.server
import ipaddress
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

LOOPBACK: Final = "127.0.0.1"
LINES: Final = 64  # connections at a time
HEADERS: Final = 3.0  # seconds for all headers of a request, however they trickle in
SLOWEST: Final = 20.0  # seconds for a request, from the connection to the answer
Made = TypeVar("Made")


def parse(text: str, where: str) -> tuple[str, int]:
    """Return the host and the port of an address; a port alone is one of the loopback interface.

    Args:
        text: as it was given.
        where: the option that gave it, for messages.

    Raises:
        UserError: it is none.

    Example:
        >>> parse("9464", "--metrics"), parse("[::1]:9464", "--metrics"), parse("0.0.0.0:9464", "--metrics")
        (('127.0.0.1', 9464), ('::1', 9464), ('0.0.0.0', 9464))
    """
    host, _, port = text.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UserError(
            f"`{text}` is no address", where=where, mend=f"an IPv6 address stands in brackets: [{host}]:{port}"
        )
    if not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise UserError(f"`{text}` names no port", where=where, mend=f"write it as {LOOPBACK}:9464")
    return host or LOOPBACK, int(port)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def family(host: str) -> socket.AddressFamily:
    """Return the family of an address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def bound(make: Callable[[], Made], address: tuple[str, int], where: str) -> Made:
    """Return what listens there.

    Raises:
        UserError: nothing can.
    """
    try:
        return make()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        mend = "another watch, or another program, has it: name another port" if error.errno == errno.EADDRINUSE else ""
        raise UserError(f"{written(*address)} can't be listened on: {reason}", where=where, mend=mend) from error


def written(host: str, port: int) -> str:
    """Return an address as it is written."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Line:
    """A connection that is served."""

    def __init__(self) -> None:
        self.since = time.monotonic()
        self.headed = False  # its headers are there
        self.whole = False  # so is what it sends

    def late(self, now: float) -> bool:
        return now - self.since > (SLOWEST if self.headed else HEADERS)


class _Heads:
    """A handler that tells its server when the headers of a request are there."""

    server: Server
    connection: socket.socket
    headers: Any

    def parse_request(self) -> bool:
        """Read the headers."""
        parsed: bool = super().parse_request()  # type: ignore[misc]
        self.server.headed(self.connection, whole=parsed and self.headers.get("Content-Length") is None)
        return parsed


class Server(http.server.ThreadingHTTPServer):
    """A web server whose connections are bounded in number and time, whoever makes them."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 32

    def __init__(self, address: tuple[str, int], handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        self.address_family = family(address[0])
        self._lines: dict[Any, _Line] = {}  # the oldest first
        self._guard = threading.Lock()
        super().__init__(address, type(handler.__name__, (_Heads, handler), {}))

    def begin(self) -> Callable[[], None]:
        """Serve, in a thread; return what ends it."""
        thread = threading.Thread(target=self.serve_forever, args=(0.1,), name="server", daemon=True)
        thread.start()

        def close() -> None:
            self.shutdown()
            thread.join()
            self.server_close()

        return close

    def headed(self, connection: socket.socket, *, whole: bool) -> None:
        """Take in that the headers of a request are there."""
        with self._guard:
            line = self._lines.get(connection)
            if line is not None:
                line.headed, line.whole = True, whole

    def arrived(self, connection: socket.socket) -> None:
        """Take in that a request is there as a whole: it makes way for no other."""
        self.headed(connection, whole=True)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection; where there are too many, the oldest whose sender is not through makes way."""
        with self._guard:
            if len(self._lines) >= LINES:
                idle = next((each for each, line in self._lines.items() if not line.whole), None)
                if idle is not None:
                    del self._lines[idle]
                    _cut(idle)
            has_room = len(self._lines) < LINES
            if has_room:
                self._lines[request] = _Line()
        if not has_room:
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._forget(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._forget(request)

    def service_actions(self) -> None:
        """End what takes too long: a sender may send a byte a minute."""
        now = time.monotonic()
        with self._guard:
            late = [each for each, line in self._lines.items() if line.late(now)]
        for each in late:
            _cut(each)

    def _forget(self, request: Any) -> None:
        with self._guard:
            self._lines.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
