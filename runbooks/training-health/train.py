"""A training run for `runbook drill training-health`: it takes steps, with a worker, a status file and a checkpoint.

Run as `python3 train.py DIRECTORY [--worker]`. It keeps its pid in DIRECTORY/run.pid. TERM ends it.
"""

import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

LIFE = 300.0  # seconds after which it ends by itself


def stop(*_: object) -> None:
    """End in good order."""
    sys.exit(0)


def checkpoint(place: Path) -> None:
    """Write a checkpoint: weights as safetensors, and the state of the trainer."""
    place.mkdir(parents=True, exist_ok=True)
    weights = struct.pack("<256f", *range(256))
    about = {"layer.weight": {"dtype": "F32", "shape": [16, 16], "data_offsets": [0, len(weights)]}}
    head = json.dumps(about).encode()
    (place / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + weights)
    (place / "trainer_state.json").write_text('{"global_step": 100}\n', encoding="ascii")


def train(root: Path, until: float) -> None:
    """Take steps, and say how many."""
    status = root / "status" / "training_status.json"
    step = 100
    while time.monotonic() < until:
        step += 1
        draft = status.with_suffix(".new")
        draft.write_text(json.dumps({"status": "training", "current_step": step}) + "\n", encoding="ascii")
        draft.replace(status)
        time.sleep(0.1)


def main() -> None:
    """Train, or be its worker."""
    root, until = Path(sys.argv[1]), time.monotonic() + LIFE
    signal.signal(signal.SIGTERM, stop)
    if "--worker" in sys.argv:
        time.sleep(LIFE)
        return
    worker = subprocess.Popen([sys.executable, __file__, str(root), "--worker"])
    first = root / "checkpoints" / "checkpoint-100"
    if not first.exists():
        checkpoint(first)
    (root / "run.pid").write_text(f"{os.getpid()}\n", encoding="ascii")
    try:
        train(root, until)
    finally:
        worker.terminate()
        worker.wait()
        (root / "run.pid").unlink()


main()
