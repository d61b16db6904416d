"""Loopback servers that answer as providers of an LLM do, well or with the faults they are told."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

ANSWER = {"choices": [{"message": {"role": "assistant", "content": "OK"}}]}


class Provider:
    """Answers each request with the next of its faults, then well.

    A fault is a status, `(status, headers, body)`, `hang` (no answer), or `reset` (the connection breaks off).
    """

    living: ClassVar[list[Provider]] = []

    def __init__(self, *faults: Any, always: Any = None) -> None:
        self.faults, self.always = list(faults), always
        self.asked: list[dict[str, Any]] = []
        outer = self
        over = self._over = threading.Event()

        class Answers(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length", "0"))
                sent = self.rfile.read(size)
                outer.asked.append({"path": self.path, "json": json.loads(sent or b"null"), **dict(self.headers)})
                fault = outer.faults.pop(0) if outer.faults else outer.always
                if fault == "hang":
                    over.wait(60)
                elif fault == "reset":
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                else:
                    status, headers, body = fault if isinstance(fault, tuple) else (fault or 200, {}, None)
                    self.answer(status, headers, json.dumps(body or (ANSWER if status == 200 else {"error": "no"})))

            do_GET = do_POST  # noqa: N815 -- what http.server looks for

            def answer(self, status: int, headers: dict[str, str], body: str) -> None:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body)), "Connection": "close"}.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                """A test's output is its own."""

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A client that went away is what is tested."""

        self._server = Quiet(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.living.append(self)

    @classmethod
    def stop_all(cls) -> None:
        while cls.living:
            cls.living.pop().stop()

    def stop(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
