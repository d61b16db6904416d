"""What a pass over a healthy host costs: ten detectors, against a playbook that checks half of it; and its memory."""

from __future__ import annotations

import contextlib
import http.server
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import measure

if TYPE_CHECKING:
    from collections.abc import Iterator

NEEDS_ANSIBLE = True
_MEGABYTE = 1_000_000


def results(rounds: int) -> list[measure.Result]:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="runbook-bench-") as folder, _server() as port:
        root = _host(Path(folder, "host"))
        environment = {
            "RUNBOOK_JOURNAL": str(Path(folder, "journal.db")),
            "RUNBOOK_AGENT_DIR": str(Path(folder, "agent")),
            "ANSIBLE_HOME": str(Path(folder, "ansible")),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,  # spares it the search
        }
        given = ["-e", f"root={root}", "-e", f"http_port={port}"]
        ours = [measure.RUNBOOK, "apply", str(measure.DATA / "healthy.yaml"), *given]
        theirs = [measure.ANSIBLE, "-i", "localhost,", str(measure.DATA / "playbook.yml"), *given]
        programs = {"runbook apply, 10 detectors": ours, "ansible-playbook, 5 tasks": theirs}
        taken = measure.interleaved(programs, rounds, environment)
        peaks = [_peaks(ours, environment) for _ in range(3)]
    name = "healthy apply against the playbook"
    engine, agent = (max(peak[part] for peak in peaks) for part in (0, 1))
    return [
        measure.ratio(name, *programs, taken, 1 / 5),
        measure.Result("resident memory of the engine", engine, 60, "MB"),
        measure.Result("resident memory of the agent and each of its children", agent, 60, "MB"),
    ]


def _host(root: Path) -> Path:
    """Make what the detectors and the playbook look at."""
    (root / "cache").mkdir(parents=True)
    (root / "cache" / "weights.bin").write_bytes(b"\0" * 65536)
    (root / "token").write_text("a token\n")
    (root / "token").chmod(0o600)
    (root / "config.json").write_text('{"batch_size": 32}\n')
    (root / "train.log").write_text("".join(f"step {step} loss 0.{step}\n" for step in range(10_000)))
    return root


@contextlib.contextmanager
def _server() -> Iterator[int]:
    """Answer HTTP requests with 200 on a port of its own."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:  # type: ignore[override]
        """Say nothing: it would count as the benchmark's output."""


def _peaks(argv: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run once, and return the highest resident memory of the process and of any below it, in MB."""
    process = subprocess.Popen(argv, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
    own = below = 0.0
    while process.poll() is None:
        own = max(own, _peak(process.pid))
        below = max([below, *map(_peak, _descendants(process.pid))])
        time.sleep(0.002)
    return own, below


def _peak(pid: int) -> float:
    """Return the kernel's high-water mark of a process, so that looking seldom misses nothing."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0 kB")
    return int(line.split()[1]) * 1024 / _MEGABYTE


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found + [below for child in found for below in _descendants(child)]
