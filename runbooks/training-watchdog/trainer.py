"""A training daemon in small, for the tests and drills of `training-watchdog`. Run as `python3 trainer.py DIRECTORY`.

It keeps its pid in DIRECTORY/run/trainer.pid and reads DIRECTORY/config.json. Each step it writes the number into
DIRECTORY/status/training_status.json, every tenth a checkpoint, and it goes on from the newest one. It takes jobs from
DIRECTORY/inbox to DIRECTORY/processing. A batch of more than `fits` (64) breaks it off as PyTorch would; so do a
configuration and a checkpoint that can't be read. While DIRECTORY/hang is there it takes no step. TERM ends it.
"""

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

LIFE = 300.0  # seconds after which it ends by itself, whatever became of whoever started it
PACE = 0.1  # seconds a step
SAVED = 10  # steps between two checkpoints


def stop(*_: object) -> None:
    """End in good order."""
    sys.exit(0)


def written(path: Path, content: bytes) -> None:
    """Replace a file at once."""
    draft = path.with_name(f".{path.name}.new")
    draft.write_bytes(content)
    draft.replace(path)


def said(root: Path, line: str) -> None:
    """Write a line to the log."""
    with (root / "logs" / "train.log").open("a", encoding="utf-8") as log:
        log.write(f"{line}\n")


def resumed(root: Path) -> int:
    """Return the step of the newest checkpoint; fail as a loader would where it is broken."""
    saved = sorted((root / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    if not saved:
        return 0
    weights = (saved[-1] / "adapter_model.safetensors").read_bytes()
    size = struct.unpack("<Q", weights[:8])[0] if len(weights) >= 8 else 0
    try:
        json.loads(weights[8 : 8 + size])
    except ValueError:
        said(root, "safetensors_rust.SafetensorError: Error while deserializing header: InvalidHeaderDeserialization")
        sys.exit(1)
    return int(saved[-1].name.split("-")[1])


def save(root: Path, step: int) -> None:
    """Write a checkpoint, and then its name."""
    header = json.dumps({"lora": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
    draft = root / "checkpoints" / f".{step}.new"
    draft.mkdir(exist_ok=True)
    (draft / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0\1\2\3")
    (draft / "trainer_state.json").write_text(json.dumps({"global_step": step}), encoding="utf-8")
    with contextlib.suppress(OSError):  # another run has been here
        draft.rename(root / "checkpoints" / f"checkpoint-{step}")


def config(root: Path) -> dict[str, int]:
    """Read the configuration, and fail as a trainer would where its batch is too big."""
    settings: dict[str, int] = json.loads((root / "config.json").read_text(encoding="utf-8"))
    batch = settings["batch_size"]
    if batch > settings.get("fits", 64):
        where = "GPU 0 has a total capacity of 79.11 GiB"
        said(root, f"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate {batch}.00 GiB. {where}")
        sys.exit(1)
    return settings


def train(root: Path, until: float) -> None:
    """Take steps."""
    step = resumed(root)
    (root / "hang").unlink(missing_ok=True)  # it was the last process that hung
    said(root, f"resuming from step {step}")
    while time.monotonic() < until and root.is_dir():
        if not (root / "hang").exists():
            batch = config(root)["batch_size"]
            step += 1
            written(root / "status" / "training_status.json", json.dumps({"current_step": step}).encode())
            said(root, f"step {step} loss {2 / (step + 1):.3f} batch_size={batch}")
            for job in (root / "inbox").iterdir() if step % SAVED == 0 else ():
                job.rename(root / "processing" / job.name)
            if step % SAVED == 0:
                save(root, step)
        time.sleep(PACE)


def main() -> None:
    """Run the daemon, or its worker."""
    root, until = Path(sys.argv[1]), time.monotonic() + LIFE
    signal.signal(signal.SIGTERM, stop)
    if "--worker" in sys.argv:
        while time.monotonic() < until and root.is_dir():
            time.sleep(PACE)
        return
    worker = subprocess.Popen([sys.executable, *sys.argv, "--worker"])
    pidfile = root / "run" / "trainer.pid"
    written(pidfile, f"{os.getpid()}\n".encode())
    try:
        train(root, until)
    finally:
        worker.terminate()
        worker.wait()
        with contextlib.suppress(OSError):
            pidfile.unlink()


main()
