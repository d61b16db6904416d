"""The web server that takes an Alertmanager's messages: POST /alerts/NAME, JSON, in a thread of its own.

It believes nothing: what is sent is bounded in size, number and time, and where other machines can reach it only who
has the token is heard.
"""

from __future__ import annotations

import contextlib
import hmac
import http.server
import json
import socket
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from runbook.engine import listening
from runbook.engine.alerts import payload
from runbook.engine.alerts.inbox import PATIENCE, Full, Inbox
from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

OPTION: Final = "--alerts"
LARGEST: Final = 4 << 20  # bytes of a message
LINES: Final = 16  # connections at a time
SLOWEST: Final = 20.0  # seconds for a request, from the first byte to the answer
RATE: Final = 20.0  # messages a second, for long
BURST: Final = 100.0  # at once


class Listener:
    """The server while it listens.

    Args:
        address: HOST:PORT; a port alone is one of the loopback interface.
        token: what a sender has to show (`Authorization: Bearer …`); must be there where other machines can connect.
        inbox: where messages go.
        clock: seconds since the epoch.

    Raises:
        UserError: the address can't be listened on, or must not be without a token.
    """

    def __init__(
        self, address: str, token: str | None, inbox: Inbox, *, clock: Callable[[], float] = time.time
    ) -> None:
        host, port = listening.parse(address, OPTION)
        if token is None and not listening.is_loopback(host):
            what = f"{listening.written(host, port)} can be reached by others, and nothing tells who may send alerts"
            mend = 'name a token in runbook.toml: [alerts] token = {file = "PATH"}; or listen on 127.0.0.1'
            raise UserError(what, where=OPTION, mend=mend)
        self._server = listening.bound(lambda: _Server((host, port), token, inbox, clock), (host, port), OPTION)
        self.address = listening.written(host, int(self._server.server_address[1]))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="alerts", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hear no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 32

    def __init__(self, address: tuple[str, int], token: str | None, inbox: Inbox, clock: Callable[[], float]) -> None:
        self.address_family = listening.family(address[0])
        self.token = token
        self.inbox = inbox
        self.clock = clock
        self._lines = threading.Semaphore(LINES)
        self._lock = threading.Lock()
        self._credit, self._at = BURST, time.monotonic()
        super().__init__(address, _Handler)

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
        """Say nothing of a sender that went away."""

    def in_time(self) -> bool:
        """Tell whether messages come slowly enough."""
        with self._lock:
            now = time.monotonic()
            self._credit = min(BURST, self._credit + (now - self._at) * RATE)
            self._at = now
            if self._credit < 1.0:
                return False
            self._credit -= 1.0
            return True


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    server_version = "runbook"
    sys_version = ""
    timeout = 10.0  # seconds without a byte

    def do_POST(self) -> None:
        """Take a message."""
        self.close_connection = True
        if not self._may():
            self._answer(HTTPStatus.UNAUTHORIZED, "the token is missing or wrong")
            return
        head, _, name = self.path.partition("?")[0].strip("/").partition("/")
        receiver = unquote(name)
        if head != "alerts" or "/" in receiver or len(receiver) > 200:
            self._answer(HTTPStatus.NOT_FOUND, "send alerts to /alerts/NAME")
            return
        kind = (self.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
        if kind != "application/json" or self.headers.get("Origin") is not None:
            # A page in somebody's browser can send to the loopback interface too, but not this type, unasked.
            self._answer(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send application/json, and not from a browser")
            return
        body = self._body()
        if body is None:
            return
        if not self.server.in_time():
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "too many messages: group your alerts")
            return
        self._take(body, receiver)

    def _take(self, body: bytes, receiver: str) -> None:
        try:
            post = self.server.inbox.put(payload.message(body, receiver, self.server.clock()))
        except payload.Unfit as error:
            self._answer(HTTPStatus.BAD_REQUEST, str(error))
            return
        except Full as error:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
            return
        if post.wait(PATIENCE):
            self._answer(HTTPStatus.OK, "taken")
        else:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "it could not be written down yet: send it again")

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length")
        if length is None or not (length.isascii() and length.isdigit() and len(length) < 12):
            self._answer(HTTPStatus.LENGTH_REQUIRED, "say how long it is: Content-Length")
            return None
        if int(length) > LARGEST:
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {LARGEST >> 20} MiB are taken")
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            return None
        return body

    def _may(self) -> bool:
        """Compare the token in a time that tells nothing of it."""
        if self.server.token is None:
            return True
        scheme, _, shown = (self.headers.get("Authorization") or "").partition(" ")
        given = shown.strip().encode("utf-8", "surrogateescape")
        return hmac.compare_digest(given, self.server.token.encode()) and scheme.lower() == "bearer"

    def _answer(self, status: HTTPStatus, what: str) -> None:
        text = json.dumps({"status": "ok" if status is HTTPStatus.OK else "refused", "what": what}).encode() + b"\n"
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.send_header("Connection", "close")
            if status is HTTPStatus.UNAUTHORIZED:
                self.send_header("WWW-Authenticate", "Bearer")
            self.end_headers()
            self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Write nothing: what is sent may be anything."""


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
