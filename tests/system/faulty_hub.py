"""A Hugging Face hub on loopback with its content delivery network on another port, both as unreliable as a test wants.

It serves a repo's files as the real one does (commit, tree, `resolve` with a redirect for large files, ETags, ranges,
error codes), counts the bytes it sends, and logs each request with the headers that matter. Faults come one after the
other from a list, or from `faulty`, asked for every request of a large file's content.
"""

import contextlib
import email.utils
import gzip
import hashlib
import itertools
import json
import random
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = hashlib.sha1(b"first").hexdigest()
HOSTS = {"hub": "127.0.0.1", "cdn": "127.0.0.2"}  # other hosts, and not only other ports, to the library of 1.x
STEP = 256 << 10  # bytes that are sent at once; fewer where the speed is limited


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request: cut, reset, stall, corrupt, slow, an HTTP status, or an answer in bad faith.

    In bad faith are `nothing` (a range without content), `short` (a range answered from byte 0 on, with few bytes) and
    `endless` (more and more bytes, whatever was asked).
    """

    kind: str
    after: int = 0  # bytes of this answer that are sent before; of `corrupt` the byte that is flipped
    headers: dict = field(default_factory=dict)
    seconds: float = 30.0  # that a stall lasts


class Hub:
    """Starts when it is made; `close` ends it."""

    def __init__(self, files, *, large=lambda name: name.endswith(".safetensors"), cdn=True, repo="org/toy", buffer=0):
        self.repo = repo
        self.commit = COMMIT
        self.large = large
        self.files = dict(files)
        self.faults = []  # of requests for content, in order
        self.meta = []  # of requests for anything else
        self.faulty = None  # a function of (name, begin, end) that returns a Fault or None
        self.token = None  # when one is needed
        self.log = []
        self.sent = 0  # bytes of large files
        self.buffer = buffer  # bytes that may be on their way, and count as sent though nobody got them
        self.rate = 0.0  # bytes per second of one answer; 0 is as fast as it goes
        self.ranges = True
        self.pages = 0  # that the listing goes on for: 1 leads to itself, more to others with new names, less than 0 to empty ones
        self.compressed = False  # small files, whatever the client accepts
        self.branches = {"main"}
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.servers = [_Server(self, "hub")] + ([_Server(self, "cdn")] if cdn else [])
        self.url = f"http://127.0.0.1:{self.servers[0].server_port}"
        self.cdn = f"http://{HOSTS[self.servers[-1].kind]}:{self.servers[-1].server_port}"

    def close(self):
        self.ended.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def etag(self, name):
        body = self.files[name]
        known = self.__dict__.setdefault("etags", {})
        if known.get(name, (None,))[0] is not body:
            known[name] = body, hashlib.sha256(body).hexdigest() if self.large(name) else blob(body)
        return known[name][1]

    def asked(self, about):
        """The requests whose path holds a text."""
        return [line for line in self.log if about in line["path"]]

    def next_fault(self, content, name="", begin=0, end=0):
        with self.lock:
            waiting = self.faults if content else self.meta
            if waiting:
                return waiting.pop(0)
        return self.faulty(name, begin, end) if content and self.faulty else None


def blob(body):
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


def date_in(seconds):
    """A `Retry-After` as a date, and the server's clock, which is an hour off."""
    now = time.time() - 3600
    return {
        "Retry-After": email.utils.formatdate(now + seconds, usegmt=True),
        "Date": email.utils.formatdate(now, usegmt=True),
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, hub, kind):
        self.hub = hub
        self.kind = kind
        super().__init__((HOSTS[kind], 0), _Handler)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, hub.buffer) if hub.buffer else None
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def handle_error(self, *_):
        pass  # a client that was killed


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 0

    def log_message(self, *_):
        pass

    def send_response(self, code, message=None):
        self.send_response_only(code, message)  # without a `Date`, which a fault may set

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        hub = self.server.hub
        path = unquote(urlsplit(self.path).path)
        hub.log.append({
            "server": self.server.kind, "method": self.command, "path": path, "at": time.monotonic(),
            "range": self.headers.get("Range"), "authorization": self.headers.get("Authorization"),
        })  # fmt: skip
        parts = path.strip("/").split("/")
        if self.server.kind == "cdn":
            self.content(hub, path.strip("/"))
        elif hub.token is not None and self.headers.get("Authorization") != f"Bearer {hub.token}":
            self.error(401, "Invalid username or password.", "")
        elif parts[0] == "api":
            self.api(hub, path, parts)
        elif "/resolve/" in path:
            self.resolve(hub, path)
        else:
            self.error(404, "Not found", "")

    def api(self, hub, path, parts):
        fault = hub.next_fault(content=False)
        if fault is not None:
            return self.fail(fault)
        name = "/".join(parts[2:4])
        if name != hub.repo:
            return self.error(404, "Repository not found", "RepoNotFound")
        if "tree" in parts:
            about = []
            for one, body in hub.files.items():
                entry = {
                    "type": "file",
                    "path": one,
                    "size": len(body),
                    "oid": blob(body) if len(body) < 1 << 20 else blob(one.encode()),
                }
                if hub.large(one):
                    entry["lfs"] = {"oid": hub.etag(one), "size": len(body), "pointerSize": 134}
                about.append(entry)
            if hub.pages:
                return self.page(hub, path, about)
            return self.json(about)
        revision = path.partition("/revision/")[2] or "main"
        if revision not in {*hub.branches, hub.commit}:
            return self.error(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        siblings = [{"rfilename": one} for one in hub.files]
        return self.json({"_id": "1", "id": hub.repo, "modelId": hub.repo, "sha": hub.commit, "private": False,
                          "siblings": siblings, "tags": [], "downloads": 0, "likes": 0})  # fmt: skip

    def page(self, hub, path, about):
        """Send a page of a listing that does not end."""
        number = len(hub.asked("/tree/"))
        if hub.pages < 0:
            about = []
        elif hub.pages > 1:
            about = [{**about[0], "path": f"{number}/{each}"} for each in range(1000)]
        headers = {"Content-Type": "application/json", "Link": f'<{hub.url}{path}?cursor={number}>; rel="next"'}
        return self.answer(200, json.dumps(about).encode(), headers)

    def resolve(self, hub, path):
        repo, _, rest = path.strip("/").partition("/resolve/")
        name = rest.partition("/")[2]
        if repo != hub.repo or name not in hub.files:
            return self.error(404, "Entry not found", "EntryNotFound")
        etag, body = hub.etag(name), hub.files[name]
        headers = {"X-Repo-Commit": hub.commit, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        if not hub.large(name):
            fault = hub.next_fault(content=False) if hub.compressed else None
            if hub.compressed and not self.headers.get("Range"):
                body, headers = gzip.compress(body), {**headers, "Content-Encoding": "gzip"}
            return self.body(hub, name, body, headers, fault)
        headers.update({"X-Linked-Size": str(len(body)), "X-Linked-Etag": f'"{etag}"'})
        if hub.cdn == hub.url:
            return self.content(hub, name, headers)
        return self.answer(302, b"", {**headers, "Location": f"{hub.cdn}/{name}"})

    def content(self, hub, name, headers=None):
        if name not in hub.files:
            return self.error(404, "no such key", "")
        begin = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        fault = hub.next_fault(True, name, begin, len(hub.files[name])) if self.command == "GET" else None
        if fault is not None and fault.kind.isdigit():
            return self.fail(fault)
        if fault is not None and fault.kind in {"nothing", "short", "endless"}:
            return self.bad_faith(hub.files[name], fault, begin)
        return self.body(hub, name, hub.files[name], headers or {"Accept-Ranges": "bytes"}, fault)

    def body(self, hub, name, body, headers, fault):
        begin, end, code = 0, len(body), 200
        asked = self.headers.get("Range")
        if asked and hub.ranges and self.command == "GET":
            first, _, last = asked[6:].partition("-")
            begin, end, code = int(first), min(int(last or end) + 1, end), 206
            if begin >= len(body):
                return self.answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
            headers = {**headers, "Content-Range": f"bytes {begin}-{end - 1}/{len(body)}"}
        self.send_response(code)
        for key, value in {**headers, "Content-Length": str(end - begin)}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return None
        with contextlib.suppress(OSError):
            self.stream(hub, name, memoryview(body)[begin:end], fault)
        return None

    def bad_faith(self, body, fault, begin):
        ranged = fault.kind == "nothing" and begin > 0
        self.send_response(206 if ranged else 200)
        if ranged:
            self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        pieces = {
            "nothing": [] if ranged else [body[:16]],
            "short": [body[:16]],
            "endless": itertools.repeat(b"x" * STEP),
        }
        with contextlib.suppress(OSError):
            for piece in pieces[fault.kind]:
                self.connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.server.hub.sent += len(piece)
            self.connection.sendall(b"0\r\n\r\n")

    def stream(self, hub, name, view, fault):
        stop = min(fault.after, len(view)) if fault and fault.kind in {"cut", "reset", "stall"} else len(view)
        if fault and fault.kind == "corrupt":
            copy = bytearray(view)
            copy[fault.after % len(copy)] ^= 0x41
            view = memoryview(bytes(copy))
        at, began, step = 0, time.monotonic(), STEP if not hub.rate else STEP >> 4
        while at < stop and not hub.ended.is_set():
            piece = view[at : min(at + step, stop)]
            self.connection.sendall(piece)
            at += len(piece)
            if hub.large(name):
                with hub.lock:
                    hub.sent += len(piece)
            if hub.rate:
                hub.ended.wait(max(0.0, began + at / hub.rate - time.monotonic()))
        if stop < len(view):
            self.break_off(hub, fault)

    def break_off(self, hub, fault):
        if fault.kind == "stall":
            hub.ended.wait(fault.seconds)
        if fault.kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        with contextlib.suppress(OSError):
            if fault.kind != "reset":
                self.connection.shutdown(socket.SHUT_RDWR)
            self.connection.close()

    def fail(self, fault):
        self.answer(int(fault.kind), b'{"error": "made up"}', {"Content-Type": "application/json", **fault.headers})

    def error(self, status, message, code):
        headers = {"X-Error-Message": message, "Content-Type": "application/json"}
        self.answer(
            status, json.dumps({"error": message}).encode(), {**headers, **({"X-Error-Code": code} if code else {})}
        )

    def json(self, value):
        self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def answer(self, status, body, headers):
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def weights(size, seed=0):
    """Bytes that no two files share."""
    return random.Random(seed).randbytes(size)
