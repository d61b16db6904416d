"""A pool of two real browsers, headless, on free debugging ports."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import urllib.request
from typing import Any

from command_line import CommandLine, Ran, end, living

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHROMIUM = shutil.which("chromium")


def free_ports(count: int) -> list[int]:
    taken = [socket.socket() for _ in range(count)]
    for one in taken:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in taken]
    for one in taken:
        one.close()
    return ports


class Pool:
    def __init__(self, runbook: CommandLine) -> None:
        self.runbook = runbook
        self.root = runbook.home / "pool"
        self.root.mkdir()
        self.ports = dict(zip(("first", "second"), free_ports(2), strict=True))
        (self.root / "active.json").write_text(json.dumps({"name": "first", "port": self.ports["first"]}))
        given: dict[str, Any] = {
            "root": str(self.root),
            "chromium": [CHROMIUM, *FLAGS],
            "python": sys.executable,
            **{f"{name}_port": port for name, port in self.ports.items()},
        }
        self.vars = runbook.write("pool.json", json.dumps(given))

    def heal(self, *words: str, **more: Any) -> Ran:
        """Look and recover, without running a model."""
        return self._said("check", "--fix", *words, **more)

    def run(self, *words: str, **more: Any) -> Ran:
        """Run a model, with all that belongs to it."""
        return self._said("apply", *words, **more)

    def _said(self, command: str, *words: str, **more: Any) -> Ran:
        given = [word for name, value in more.items() for word in ("-e", f"{name}={value}")]
        return self.runbook.told(command, "browser-pool", *words, "-e", f"@{self.vars}", *given)

    def pid(self, name: str) -> int:
        return int((self.root / f"{name}.pid").read_text())

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self.pid(name), number)

    def alive(self, name: str) -> bool:
        return self.pid(name) in living(f"--user-data-dir={self.root}/{name}")

    @property
    def active(self) -> str:
        return json.loads((self.root / "active.json").read_text())["name"]

    def pages(self, name: str) -> list[str]:
        return [each["url"] for each in self._ask(name, "/json/list") if each["type"] == "page"]

    def open(self, name: str, address: str) -> None:
        self._ask(name, f"/json/new?{address}", method="PUT")

    def _ask(self, name: str, path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports[name]}{path}", method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            return json.load(answer)

    def stop(self) -> None:
        end(f"--user-data-dir={self.root}/")
