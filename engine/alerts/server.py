"""The web server that takes an Alertmanager's messages: POST /alerts/NAME, JSON, in a thread of its own.

It believes nothing: what is sent is bounded in size, number and time, and where other machines can reach it only who
has the token is heard.
"""

from __future__ import annotations

import contextlib
import hmac
import http.server
import json
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from runbook.engine import listening
from runbook.engine.alerts import payload
from runbook.engine.alerts.inbox import PATIENCE, Full, Inbox
from runbook.engine.errors import UserError
from runbook.engine.listening import Server

if TYPE_CHECKING:
    from collections.abc import Callable

OPTION: Final = "--alerts"
LARGEST: Final = 4 << 20  # bytes of a message
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
        self.close = self._server.begin()


class _Server(Server):
    def __init__(self, address: tuple[str, int], token: str | None, inbox: Inbox, clock: Callable[[], float]) -> None:
        self.token = token
        self.inbox = inbox
        self.clock = clock
        self._lock = threading.Lock()
        self._credit, self._at = BURST, time.monotonic()
        super().__init__(address, _Handler)

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
        self.server.arrived(self.connection)
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
