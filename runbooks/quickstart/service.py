"""A small service for `runbook apply quickstart`: it trains on nothing, with a worker, a pidfile, a config and a log.

    python3 service.py NAME DIRECTORY [--worker]

The service NAME keeps its pid in DIRECTORY/run/NAME.pid, reads DIRECTORY/config.json before each step, and writes
DIRECTORY/train.log. A batch that is too big for its pretended GPU makes it complain as PyTorch does. TERM ends it.
"""

import json
import os
import signal
import subprocess
import sys
import time

FITS = 64  # the largest batch that the pretended GPU holds
LIFE = 300.0  # seconds after which it ends by itself, whatever became of whoever started it


def stop(number, frame):
    """End in good order."""
    sys.exit(0)


def work(until):
    """Wait for the end, as a worker does."""
    while time.monotonic() < until:
        time.sleep(0.2)


def train(name, root, until):
    """Take steps, each as big as the config says."""
    step = 0
    while time.monotonic() < until and os.path.isdir(root):
        with open(os.path.join(root, "config.json"), encoding="utf-8") as file:
            batch = json.load(file)["train"]["batch_size"]
        step += 1
        with open(os.path.join(root, f"{name}.log"), "a", encoding="utf-8") as log:
            if batch > FITS:
                log.write(f"RuntimeError: CUDA out of memory. Tried to allocate {batch // 32}.00 GiB (batch_size={batch})\n")
            else:
                log.write(f"step {step} loss {2 / (step + 1):.3f} batch_size={batch}\n")
        time.sleep(0.2)


def main():
    """Run the service, or its worker."""
    name, root = sys.argv[1:3]
    until = time.monotonic() + LIFE
    signal.signal(signal.SIGTERM, stop)
    if "--worker" in sys.argv:
        work(until)
        return
    pidfile = os.path.join(root, "run", f"{name}.pid")
    worker = subprocess.Popen([sys.executable, os.path.abspath(__file__), name, root, "--worker"])
    with open(pidfile, "w", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")
    try:
        train(name, root, until)
    finally:
        worker.terminate()
        worker.wait()
        if os.path.exists(pidfile):
            os.unlink(pidfile)


main()
