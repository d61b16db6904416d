"""Break the services of `runbook apply quickstart` in six ways, for real. Run as `python3 break.py DIRECTORY`."""

import json
import os
import signal
import sys
import time
from pathlib import Path


def pid_of(root: Path, name: str) -> int:
    """Return the pid that a service keeps."""
    return int((root / "run" / f"{name}.pid").read_text(encoding="ascii"))


def gone(pid: int) -> None:
    """Wait until a process is gone, or dead and not yet reaped."""
    for _ in range(100):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        if stat.rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)


def main() -> None:
    """Do the damage."""
    root = Path(sys.argv[1])
    config = root / "config.json"
    settings = json.loads(config.read_text(encoding="utf-8"))
    settings["train"]["batch_size"] = 512
    draft = root / "config.json.new"
    draft.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    draft.replace(config)
    with (root / "trainer.log").open("a", encoding="utf-8") as log:
        log.write("RuntimeError: CUDA out of memory. Tried to allocate 16.00 GiB (batch_size=512)\n")

    for number in range(40):
        (root / "cache" / f"shard-{number:02}.bin").write_bytes(b"\0" * 100_000)
    (root / "token").chmod(0o666)

    trainer, server = pid_of(root, "trainer"), pid_of(root, "server")
    os.kill(trainer, signal.SIGKILL)  # leaves its pidfile and its worker behind
    os.kill(server, signal.SIGTERM)  # ends in good order, and stays down
    gone(trainer)
    gone(server)


main()
