"""The step `reconnect`."""

import json as notation
import re
import socket
import time
import urllib.parse
from typing import TYPE_CHECKING, Any, Dict, List, Tuple

from runbook.modules.actions import Action, Do, Run
from runbook.modules.declare import Argv, Duration, Failed, Impact, Invalid, Step
from runbook.modules.frozen import frozen
from runbook.modules.host import Host

if TYPE_CHECKING:
    from runbook.modules.acting.hands import Hands

_ADDRESS = re.compile(r"(?:tcp://)?(?:(?P<host>[^\s:/\[\]@]+|\[[0-9A-Fa-f:.%\w]+\]):)?(?P<port>[0-9]{1,5})")
_VERSION = '{"id": 1, "method": "Browser.getVersion"}'  # answered by the browser's own main thread
_ATTEMPT = 5.0  # seconds that one attempt may take at most


@frozen
class Reconnect(Step):
    """Open a new connection to an endpoint, again and again until what listens there answers; each is closed again.

    It heals what only lost its connection: nothing is restarted. `address` says how far an answer goes. `host:port`,
    or a port of this host: the connection is taken. `http://` and `https://`: the request is answered with a status
    from 200 to 399. `ws://` and `wss://`: the WebSocket opens, and answers a ping. `cdp://host:port`: a browser's
    debugging port (Chrome DevTools) names its WebSocket, which answers a command; a browser whose main thread hangs
    does not.

    A `command` runs before the first attempt: what makes a client drop its old connection and open a new one.

    Example:
        - reconnect: 127.0.0.1:6379
        - reconnect: {address: "cdp://127.0.0.1:9222", within: 20s}
        - reconnect: {address: "http://127.0.0.1:8000/health", command: [nmcli, connection, up, ib0]}
    """

    impact = Impact.LOW
    idempotent = True  # but see `again`
    timeout = 3600.0  # `within` is the bound

    address: str  # where: host:port, or a URL with http, https, ws, wss or cdp before its ://
    within: Duration = 30.0  # how long it may take until it answers
    every: Duration = 0.5  # the time between two attempts
    command: Argv = ()  # a command that makes the connection anew, run before

    def check(self) -> None:
        """Refuse what is no endpoint."""
        _parts(self.address)
        if self.every <= 0:
            raise Invalid("`every` must be longer than 0: write 500ms")

    def again(self) -> bool:
        """Whether it only looks."""
        return not self.command

    def plan(self, host: Host) -> List[Action]:
        """Connect, after the command."""
        before: List[Action] = [Run(self.command)] if self.command else []
        return [*before, Do(f"connect anew to {self.address}", lambda hands: self._connect(host, hands))]

    def _connect(self, host: Host, hands: "Hands") -> Dict[str, Any]:
        hands.touched = False  # connections are opened and closed, and nothing else is done
        begun = time.monotonic()
        attempts = 0
        while True:
            attempts += 1
            opened = time.monotonic()
            rest = begun + self.within - opened
            error = _attempt(host, self.address, max(0.05, min(_ATTEMPT, rest)))
            now = time.monotonic()
            if not error:
                return {"changed": False, "attempts": attempts, "latency": now - opened, "after": now - begun}
            if now + self.every >= begun + self.within:
                times = "once" if attempts == 1 else f"{attempts} times"
                raise Failed(f"{self.address} did not answer within {self.within:g} s, asked {times}: {error}")
            hands.progress(f"attempt {attempts}: {error}")
            time.sleep(self.every)


def _attempt(host: Host, address: str, seconds: float) -> str:
    """Connect once; return why that did not work, or an empty text."""
    from runbook.modules.outwait import outwait
    from runbook.modules.probes.port import reason
    from runbook.modules.websocket import Unanswered

    scheme, name, port, target = _parts(address)
    until = time.monotonic() + seconds
    try:
        if scheme in ("http", "https"):
            return _asked(host, address, seconds)[0]
        if scheme == "tcp":
            outwait(lambda: socket.create_connection((name, port), seconds).close(), seconds)
        elif scheme == "cdp":
            return _browser(host, name, port, until)
        else:
            outwait(lambda: _pinged(name, port, target, until, secure=scheme == "wss"), seconds)
    except Unanswered as error:
        return str(error)
    except OSError as error:
        return reason(error, seconds)
    return ""


def _asked(host: Host, url: str, seconds: float) -> Tuple[str, str]:
    """Return why an HTTP request was not answered well, and the answer."""
    from runbook.modules.web import Request, fetch

    answer = fetch(Request("GET", url), seconds, host.env)
    if answer.status == 0:
        return answer.error, ""
    return ("" if answer.status < 400 else f"it answers with status {answer.status}"), answer.body


def _pinged(name: str, port: int, target: str, until: float, *, secure: bool) -> None:
    from runbook.modules.websocket import WebSocket

    opened = WebSocket(name, port, target, until, secure=secure)
    try:
        opened.ping()
    finally:
        opened.close()


def _browser(host: Host, name: str, port: int, until: float) -> str:
    from runbook.modules.outwait import outwait

    where = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    error, body = _asked(host, f"http://{where}/json/version", until - time.monotonic())
    if error:
        return error
    try:
        named = notation.loads(body)["webSocketDebuggerUrl"]
        path = urllib.parse.urlsplit(named).path  # no more of it: what answers does not say where we connect
    except (ValueError, TypeError, KeyError):
        return "what answers is no browser: its /json/version names no WebSocket"
    if not re.fullmatch(r"/[\w/.-]{1,200}", path):
        return "what answers is no browser: its WebSocket has a strange name"
    answer = outwait(lambda: _told(name, port, path, until), max(0.05, until - time.monotonic()))
    try:
        return "" if "result" in notation.loads(answer) else f"the browser refuses: {answer[:200]}"
    except (ValueError, TypeError):
        return "what answers is no browser: its WebSocket speaks no JSON"


def _told(name: str, port: int, path: str, until: float) -> str:
    from runbook.modules.websocket import WebSocket

    opened = WebSocket(name, port, path, until)
    try:
        return opened.ask(_VERSION)
    finally:
        opened.close()


def _parts(address: str) -> Tuple[str, str, int, str]:
    """Return scheme, host, port and path.

    Raises:
        Invalid: it is no endpoint.
    """
    found = _ADDRESS.fullmatch(address.strip())
    if found is not None:
        if not 0 < int(found["port"]) < 65536:
            raise Invalid(f"`{address}` has no port: it is a number from 1 to 65535")
        return "tcp", (found["host"] or "127.0.0.1").strip("[]"), int(found["port"]), "/"
    from runbook.modules.web_address import parts

    scheme = address.partition("://")[0].lower()
    if scheme not in ("http", "https", "ws", "wss", "cdp"):
        raise Invalid(f"`{address}` is no endpoint: write host:port, or a URL with http, https, ws, wss or cdp")
    plain = "https" if scheme in ("https", "wss") else "http"
    try:
        _, name, port, target = parts(f"{plain}{address[len(scheme) :]}")
    except ValueError as error:
        raise Invalid(str(error).replace(f"`{plain}://", f"`{scheme}://")) from error
    if scheme == "cdp" and target != "/":
        raise Invalid(f"`{address}` has a path: a browser names its WebSocket itself; write cdp://host:port")
    return scheme, name, port, target
