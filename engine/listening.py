"""Addresses that this program listens on: how they are written, and what is said when one can't be had."""

from __future__ import annotations

import contextlib
import errno
import http.server
import ipaddress
import socket
import threading
from typing import TYPE_CHECKING, Any, Final, TypeVar

from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

LOOPBACK: Final = "127.0.0.1"
LINES: Final = 16  # connections at a time
SLOWEST: Final = 20.0  # seconds for a request, from its first byte to the answer
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


class Server(http.server.ThreadingHTTPServer):
    """A web server whose connections are bounded in number and time, whoever makes them."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 32

    def __init__(self, address: tuple[str, int], handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        self.address_family = family(address[0])
        self._lines = threading.Semaphore(LINES)
        super().__init__(address, handler)

    def begin(self) -> Callable[[], None]:
        """Serve, in a thread; return what ends it."""
        thread = threading.Thread(target=self.serve_forever, args=(0.1,), name="server", daemon=True)
        thread.start()

        def close() -> None:
            self.shutdown()
            thread.join()
            self.server_close()

        return close

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection, if there are not too many."""
        if not self._lines.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._lines.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve it, and end it when it takes too long: a sender may send a byte a minute."""
        late = threading.Timer(SLOWEST, _cut, (request,))
        late.daemon = True
        late.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            late.cancel()
            self._lines.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
