"""A server of HTTP whose answers can be broken while it runs; a program of its own: `python -I server.py STATE`.

STATE is a JSON file: `port`, `folder`, `answers` by the beginning of the path, and `fault`, which the drill writes anew
to break it. It is read at every request, so a restart of this program cures nothing that the file says.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import os
import re
import select
import signal
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

LONG = 3600.0  # seconds that a request hangs
GLANCE = 0.05  # seconds after which a change of the state is seen
PART = 1 << 16
BREAKS = ("cut", "stall", "reset", "corrupt")  # at a byte of the body
LARGE = 1 << 16  # bytes from which a hub keeps a file by its SHA-256
COMMIT = hashlib.sha1(b"drill").hexdigest()  # noqa: S324 -- git's own


class State:
    """What the state file says, and how many requests the present fault has met."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._known: dict[str, Any] = {}
        self._stamp = 0
        self._met: dict[str, int] = {}
        self._lock = threading.Lock()

    def read(self) -> dict[str, Any]:
        """Return what it says now."""
        with self._lock:
            stamp = os.stat(self._path).st_mtime_ns  # noqa: PTH116 -- asked twenty times a second
            if stamp != self._stamp:
                self._known = json.loads(Path(self._path).read_text(encoding="utf-8"))
                self._stamp = stamp
            return self._known

    def fault(self, path: str, length: int) -> dict[str, Any]:
        """Return the fault that a request meets; each of `times` is counted.

        Args:
            path: that is asked for.
            length: bytes of the answer, which must reach to the place where it is broken.
        """
        fault: dict[str, Any] = self.read().get("fault") or {}
        at = [fault[kind] for kind in BREAKS if kind in fault]
        elsewhere = not path.startswith(fault.get("path", "/")) or bool(at and min(at) >= length)
        if not fault or elsewhere or fault.get("how") == "well":
            return {}
        with self._lock:
            met = self._met[str(self._stamp)] = self._met.get(str(self._stamp), 0) + 1
        if met > fault.get("times", met):
            return {}
        if met == 1:
            Path(f"{self._path}.met").touch()  # the fault has hit somebody
        return fault


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    state: State

    def do_GET(self) -> None:
        """Answer."""
        length = int(self.headers.get("Content-Length") or 0)
        if length:
            self.rfile.read(length)
        path = self.path.partition("?")[0]
        known = self.state.read()
        matching = [begin for begin in known.get("answers") or {} if path.startswith(begin)]
        answer = known["answers"][max(matching, key=len)] if matching else {}
        _, _, usual = self._usual(path, known, answer)
        fault = self.state.fault(path, len(usual) if self.command == "GET" else 0)
        if fault.keys() & {"status", "body", "json"}:  # what it says in the place of the usual
            answer = {name: value for name, value in answer.items() if name not in {"status", "body", "json"}}
        answer = {**answer, **fault}
        time.sleep(answer.get("delay", 0.0))
        if answer.get("how") == "hang":
            time.sleep(LONG)
        if answer.get("how") == "reset":
            self._reset()
            return
        status, headers, body = self._usual(path, known, answer)
        self._send(status, headers, body, answer)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_GET  # noqa: N815 -- the library's names

    def _usual(self, path: str, known: dict[str, Any], answer: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        folder = known.get("folder")
        headers = {name: str(value) for name, value in (answer.get("headers") or {}).items()}
        if "retry_after" in answer:
            headers["Retry-After"] = str(answer["retry_after"])
        if "json" in answer:
            _, headers, body = self._json(answer["json"], headers)
            return answer.get("status", 200), headers, body
        if "body" in answer or "status" in answer or folder is None:
            status = answer.get("status", 200)
            return status, headers, answer.get("body", "ok" if status < 400 else "").encode()
        if known.get("hub"):
            return self._hub(path, Path(folder), headers)
        file = Path(folder, path.lstrip("/"))
        if not file.resolve().is_relative_to(Path(folder).resolve()) or not file.is_file():
            return 404, headers, b"not found"
        body = file.read_bytes()
        return self._part(body, {**headers, "ETag": f'"{hashlib.sha256(body).hexdigest()}"'})

    def _hub(self, path: str, folder: Path, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Answer as a Hugging Face hub does whose repositories are directories ORG/NAME of the folder."""
        parts = [part for part in path.split("/") if part not in {"", ".", ".."}]
        name, rest = (
            ("/".join(parts[2:4]), parts[4:]) if parts[:2] == ["api", "models"] else ("/".join(parts[:2]), parts[2:])
        )
        files = {
            str(file.relative_to(folder / name)): file for file in sorted((folder / name).rglob("*")) if file.is_file()
        }
        if not name or not files:
            return 404, {**headers, "X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}, b"{}"
        if rest[:1] == ["tree"]:
            return self._json([_entry(one, file.read_bytes()) for one, file in files.items()], headers)
        if rest[:1] != ["resolve"]:
            siblings = [{"rfilename": one} for one in files]
            return self._json(
                {"id": name, "modelId": name, "sha": COMMIT, "private": False, "siblings": siblings}, headers
            )
        file = files.get("/".join(rest[2:]))
        if file is None:
            return 404, {**headers, "X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}, b"{}"
        body = file.read_bytes()
        entry = _entry(file.name, body)
        etag = f'"{entry["lfs"]["oid"] if "lfs" in entry else entry["oid"]}"'
        headers = {**headers, "X-Repo-Commit": COMMIT, "ETag": etag}
        if "lfs" in entry:
            headers.update({"X-Linked-Etag": etag, "X-Linked-Size": str(len(body))})
        return self._part(body, headers)

    @staticmethod
    def _json(value: Any, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        return 200, {**headers, "Content-Type": "application/json"}, json.dumps(value).encode()

    def _part(self, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Return a body, or the part of it that was asked for."""
        headers = {**headers, "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if wanted is None:
            return 200, headers, body
        first, last = int(wanted[1]), min(int(wanted[2] or len(body)), len(body) - 1)
        if first >= len(body):
            return 416, {**headers, "Content-Range": f"bytes */{len(body)}"}, b""
        return 206, {**headers, "Content-Range": f"bytes {first}-{last}/{len(body)}"}, body[first : last + 1]

    def _send(self, status: int, headers: dict[str, str], body: bytes, answer: dict[str, Any]) -> None:
        at = answer.get("corrupt")
        if at is not None and at < len(body):
            body = body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :]
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        stops = [answer[kind] for kind in ("cut", "stall", "reset") if kind in answer]
        end = min([len(body), *stops])
        for start in range(0, end, PART):
            self.wfile.write(body[start : min(start + PART, end)])
        self.wfile.flush()
        if end < len(body) or (stops and end == len(body) == 0):
            self.close_connection = True
            if "stall" in answer:
                time.sleep(LONG)
            if "reset" in answer:
                self._reset()

    def _reset(self) -> None:
        """Let the other side see a reset instead of an end."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ARG002 -- the library's name
        """Say what was asked."""
        sys.stderr.write(f"{self.command} {self.path} {args[1] if len(args) > 1 else ''}\n")


def _entry(name: str, body: bytes) -> dict[str, Any]:
    """Return what a hub says of a file: its id in git, and for a large one its SHA-256."""
    oid = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()  # noqa: S324 -- git's own
    entry: dict[str, Any] = {"type": "file", "path": name, "size": len(body), "oid": oid}
    if len(body) >= LARGE:
        entry["lfs"] = {"oid": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 134}
    return entry


class Server(http.server.ThreadingHTTPServer):
    """Takes connections."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who went away is no error."""


def serve(state: State, handler: type[Handler]) -> None:
    """Take connections for as long as the state does not say `refuse`."""
    while True:
        while (state.read().get("fault") or {}).get("how") == "refuse":
            time.sleep(GLANCE)
        with Server(("127.0.0.1", state.read()["port"]), handler) as server:
            while (state.read().get("fault") or {}).get("how") != "refuse":
                if select.select([server], [], [], GLANCE)[0]:
                    server.handle_request()


def main() -> None:
    """Serve until TERM, with a pidfile meanwhile."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    state = State(sys.argv[1])
    pidfile = Path(state.read()["pidfile"])
    pidfile.parent.mkdir(parents=True, exist_ok=True)
    pidfile.write_text(f"{os.getpid()}\n", encoding="ascii")
    try:
        serve(state, type("Told", (Handler,), {"state": state}))
    finally:
        pidfile.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
