"""Start a Chromium, run a model in it, and keep or bring back its open pages. The standard library is all it needs.

    browser.py start PIDFILE PROFILE PORT PROGRAM [ARGUMENT…]
    browser.py run PORT MODEL INPUT          prints {"model", "result"}
    browser.py keep PORT FILE                writes the addresses of the open pages, where it answers
    browser.py bring PORT FILE               opens those that are not open

`run` opens a page of its own, has it compute, and closes it: what JavaScript says there is the answer. In the place of
`EXPRESSION` goes the call of your own model (WebNN, WebGPU, ONNX Runtime Web).
"""

import base64
import json
import os
import socket
import struct
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable  # noqa: TC003 -- a small program, without a second kind of imports
from pathlib import Path

PATIENCE = 8.0  # seconds for any one answer
EXPRESSION = "({model: %s, tokens: %s.split(' ').length})"


class Page:
    """A page's debugging connection: a WebSocket that carries JSON."""

    def __init__(self, address: str) -> None:
        parts = urllib.parse.urlsplit(address)
        self.socket = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=PATIENCE)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.read = self.socket.makefile("rb")
        if b" 101 " not in self.read.readline():
            raise OSError("the page takes no debugging connection")
        while self.read.readline().strip():
            pass

    def ask(self, method: str, **params: object) -> dict[str, object]:
        """Send a command, and return its answer."""
        data = json.dumps({"id": 1, "method": method, "params": params}).encode()
        mask = os.urandom(4)
        head = b"\x81" + (
            struct.pack("!B", 0x80 | len(data)) if len(data) < 126 else struct.pack("!BH", 0xFE, len(data))
        )
        self.socket.sendall(head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(data)))
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            said = json.loads(self._frame())
            if said.get("id") == 1:
                if "error" in said:
                    raise OSError(f"{method}: {said['error'].get('message')}")
                return dict(said["result"])
            if said.get("method") == "Inspector.targetCrashed":
                raise OSError("the page crashed: out of memory, or its process was killed")
        raise TimeoutError(f"{method} timed out")

    def _frame(self) -> bytes:
        found = b""
        while True:
            first, second = self._exactly(2)
            size = second & 0x7F
            if size >= 126:
                size = int.from_bytes(self._exactly(2 if size == 126 else 8), "big")
            found += self._exactly(size)
            if first & 0x0F == 8:
                raise ConnectionError("connection closed by the browser")
            if first & 0x80:
                return found

    def _exactly(self, size: int) -> bytes:
        found = self.read.read(size)
        if len(found) < size:
            raise ConnectionError("connection lost to the browser")
        return found


def ask(port: str, path: str, method: str = "GET") -> object:
    """Ask a browser's debugging port."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=PATIENCE) as answer:
        text = answer.read().decode()
    return json.loads(text) if text[:1] in {"{", "["} else text


def pages(port: str) -> list[str]:
    """Return the addresses of the open pages."""
    found = ask(port, "/json/list")
    return [str(each["url"]) for each in found if each["type"] == "page"] if isinstance(found, list) else []


def start(pidfile: str, profile: str, port: str, *program: str) -> None:
    """Become a headless Chromium with this debugging port, its pid in the file."""
    Path(profile).mkdir(parents=True, exist_ok=True)
    Path(pidfile).write_text(f"{os.getpid()}\n", encoding="ascii")
    flags = ["--headless", f"--remote-debugging-port={port}", f"--user-data-dir={profile}", "about:blank"]
    os.execvp(program[0], [*program, *flags])  # noqa: S606 -- its arguments are a list


def run(port: str, model: str, given: str) -> None:
    """Have a page of its own compute, and print what it says."""
    made = ask(port, "/json/new?about:blank", method="PUT")
    assert isinstance(made, dict)
    try:
        page = Page(str(made["webSocketDebuggerUrl"]))
        expression = EXPRESSION % (json.dumps(model), json.dumps(given))
        said = page.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
    finally:
        ask(port, f"/json/close/{made['id']}")
    if "exceptionDetails" in said:
        sys.exit(f"{model}: {json.dumps(said['exceptionDetails'])[:500]}")
    result = said["result"]
    value = result.get("value") if isinstance(result, dict) else None
    sys.stdout.write(f"{json.dumps({'model': model, 'result': value})}\n")


def keep(port: str, file: str) -> None:
    """Write what is open; a browser that does not answer keeps what was written before."""
    try:
        found = pages(port)
    except OSError:
        return
    draft = Path(f"{file}.new")
    draft.write_text(json.dumps(found), encoding="utf-8")
    draft.replace(file)


def bring(port: str, file: str) -> None:
    """Open what was open, and is not."""
    if not Path(file).exists():
        return
    for address in sorted(set(json.loads(Path(file).read_text(encoding="utf-8"))) - set(pages(port))):
        ask(port, f"/json/new?{urllib.parse.quote(address, safe='')}", method="PUT")


def main() -> None:
    """Do what the first word says."""
    known: dict[str, Callable[..., None]] = {"start": start, "run": run, "keep": keep, "bring": bring}
    word, *rest = sys.argv[1:]
    try:
        known[word](*rest)
    except OSError as error:
        sys.exit(f"browser on port {rest[0]}: {error}")


main()
