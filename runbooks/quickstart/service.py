"""A small service for `runbook apply quickstart`: it trains on nothing, with a worker, a pidfile, a config and a log.

Run as `python3 service.py NAME DIRECTORY [--worker]`. The service NAME keeps its pid in DIRECTORY/run/NAME.pid, reads
DIRECTORY/config.json before each step, and writes DIRECTORY/NAME.log. A batch that is too big for its pretended GPU
makes it complain as PyTorch does. TERM ends it.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

FITS = 64  # the largest batch that the pretended GPU holds
LIFE = 300.0  # seconds after which it ends by itself, whatever became of whoever started it


def stop(*_: object) -> None:
    """End in good order."""
    sys.exit(0)


def work(until: float) -> None:
    """Wait for the end, as a worker does."""
    while time.monotonic() < until:
        time.sleep(0.2)


def train(name: str, root: Path, until: float) -> None:
    """Take steps, each as big as the config says."""
    step = 0
    while time.monotonic() < until and root.is_dir():
        batch = json.loads((root / "config.json").read_text(encoding="utf-8"))["train"]["batch_size"]
        step += 1
        with (root / f"{name}.log").open("a", encoding="utf-8") as log:
            if batch > FITS:
                wanted = f"{batch // 32}.00 GiB (batch_size={batch})"
                log.write(f"RuntimeError: CUDA out of memory. Tried to allocate {wanted}\n")
            else:
                log.write(f"step {step} loss {2 / (step + 1):.3f} batch_size={batch}\n")
        time.sleep(0.2)


def main() -> None:
    """Run the service, or its worker."""
    name, root = sys.argv[1], Path(sys.argv[2])
    until = time.monotonic() + LIFE
    signal.signal(signal.SIGTERM, stop)
    if "--worker" in sys.argv:
        work(until)
        return
    argv = [sys.executable, str(Path(__file__).resolve()), name, str(root), "--worker"]
    worker = subprocess.Popen(argv)
    pidfile = root / "run" / f"{name}.pid"
    pidfile.write_text(f"{os.getpid()}\n", encoding="ascii")
    try:
        train(name, root, until)
    finally:
        worker.terminate()
        worker.wait()
        with contextlib.suppress(OSError):
            pidfile.unlink()


main()
