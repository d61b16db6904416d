"""What a steady tick costs a host: 50 detectors of all kinds, looked at by one agent that has looked before.

The processor time is that of the agent and all that it started, so that what happens in its workers counts as well.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import measure

from runbook.engine.fleet import Spec, local
from runbook.engine.language import params as parameters
from runbook.modules import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.fleet import Agent

NEEDS_ANSIBLE = False
LIMIT = 20.0  # milliseconds
_MANY = 50
_PAUSE = 1.05  # seconds between two ticks: those that follow at once have to take samples of the processor's load
_TICK = os.sysconf("SC_CLK_TCK")
_FAKE = Path(__file__).resolve().parents[1] / "tests" / "system" / "fake_nvml.c"
_PAGE = "".join(f'vllm:tokens_total{{model="m{model}"}} {model}\n' for model in range(300))


def results(rounds: int) -> list[measure.Result]:
    """Measure; a round is two ticks."""
    with tempfile.TemporaryDirectory(prefix="runbook-bench-") as folder, _server() as port, _process() as pid:
        root = Path(folder)
        gpus = _gpus(root)
        with local.connect(root / "agent") as agent:
            wall, busy = _ticks(agent, _specs(root, port, pid, gpus=gpus), 2 * rounds, root / "host")
    kinds = "" if gpus else " (without gcc, and so without GPUs)"
    detail = f"{statistics.median(wall):.1f} ms ({min(wall):.1f} to {max(wall):.1f}), {len(wall)} ticks{kinds}"
    return [
        measure.Result("wall time of a steady tick of 50 detectors", statistics.median(wall), LIMIT, "ms", (detail,)),
        measure.Result("processor time of the same on the host", busy, LIMIT, "ms"),
    ]


def _ticks(agent: Agent, specs: list[Spec], count: int, host: Path) -> tuple[list[float], float]:
    """Return the milliseconds of each tick, and the mean processor time of one."""
    agent.ready()
    for _ in range(3):
        specs = measure.looked(agent, specs)
        time.sleep(_PAUSE)  # in which the agent imports what its workers had to
    wall = []
    pid = agent._link._ended.__self__._pid  # type: ignore[attr-defined]  # noqa: SLF001 -- whose time is measured
    before = _spent(pid)
    for number in range(count):
        with (host / "train-3.log").open("a") as log:  # something happens, and not everywhere
            log.write(f"step {number} loss 0.{number}\n")
        (host / "status-1.json").write_text(json.dumps({"step": number, "loss": 1 / (number + 1)}))
        begun = time.perf_counter()
        specs = measure.looked(agent, specs)
        wall.append((time.perf_counter() - begun) * 1000)
        time.sleep(_PAUSE)
    return wall, (_spent(pid) - before) * 1000 / count


def _specs(root: Path, port: int, pid: int, *, gpus: bool) -> list[Spec]:
    """Make what there is to look at, and return fifty detectors for it."""
    host = root / "host"
    host.mkdir()
    for number in range(16):
        lines = (f"2026-01-31T12:00:00Z step {step} loss 0.{step}\n" for step in range(2000))
        (host / f"train-{number}.log").write_text("".join(lines))
        (host / f"config-{number}.json").write_text(json.dumps({"batch_size": number}))
        (host / f"status-{number}.json").write_text(json.dumps({"step": number, "loss": 0.5}))
    (host / "run.pid").write_text(f"{pid}\n")
    patterns = {"oom": "CUDA out of memory", "nccl": "NCCL WARN", "killed": "(?i)oom-kill"}
    kinds: dict[str, list[dict[str, Any]]] = {
        "log": [{"paths": [f"{host}/train-{number}.log"], "patterns": patterns} for number in range(14)],
        "file": [{"path": f"{host}/config-{number}.json", "format": "json"} for number in range(8)],
        "health": [{}, {"path": "/"}, {"path": str(host)}, {"path": "/tmp"}],
        "process": [{"match": f"train-{number}[.]py"} for number in range(3)],
        "daemon": [{"unit": f"{host}/run.pid"} for _ in range(3)],
        "port": [{"address": f"127.0.0.1:{port}"} for _ in range(4)],
        "gpu": [{"expected": 8}, {}] if gpus else [],
        "progress": [{"json": f"{host}/status-{number}.json", "field": "step"} for number in range(6)],
        "metric": [
            *({"log": f"{host}/train-{number}.log", "pattern": r"loss (?P<value>\S+)"} for number in range(3)),
            *({"json": f"{host}/status-{number}.json", "field": "loss"} for number in range(3)),
        ],
    }
    kinds["file"] += [{"path": f"{host}/train-{number}.log"} for number in range(_MANY)]
    wanted = [(kind, params) for kind, several in kinds.items() for params in several]
    wanted = sorted(wanted, key=lambda one: one[0] == "file")[:_MANY]
    return [
        Spec(f"{kind} {at}", kind, parameters.coerce(catalogue.probe(kind), params))
        for at, (kind, params) in enumerate(wanted)
    ]


def _gpus(root: Path) -> bool:
    """Let the agent find eight GPUs of the tests' own library."""
    compiler = shutil.which("gcc")
    if compiler is None:
        return False
    library = root / "lib"
    library.mkdir()
    flags = ["-O1", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, "-o", str(library / "libnvidia-ml.so.1"), str(_FAKE)], check=True)
    lines = ["count=8", "all.temperature=41", "all.memory_total=80000", "all.memory_used=4000", "all.utilization=97"]
    lines += ["all.recovery=0", *(f"gpu{index}.uuid=GPU-{index}" for index in range(8))]
    (root / "gpus").write_text("\n".join(lines) + "\n")
    os.environ.update({"LD_LIBRARY_PATH": str(library), "FAKE_NVML": str(root / "gpus")})
    return True


@contextmanager
def _process() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        try:
            yield process.pid
        finally:
            process.kill()


@contextmanager
def _server() -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(_PAGE.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def _spent(pid: int) -> float:
    """Return the seconds of processor time of a process, of its children and of those of them that have ended."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / _TICK + sum(_spent(int(child)) for child in children)


if __name__ == "__main__":
    for result in results(int(sys.argv[1]) if len(sys.argv) > 1 else 10):
        print(result)
