"""Break the service of `runbook apply quickstart` in six ways, for real.

    python3 break.py DIRECTORY
"""

import json
import os
import signal
import sys
import time


def pid_of(root, name):
    """Return the pid that a service keeps."""
    with open(os.path.join(root, "run", f"{name}.pid"), encoding="ascii") as file:
        return int(file.read())


def gone(pid):
    """Wait until a process is gone, or dead and not yet reaped."""
    for _ in range(100):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return
        except OSError:
            return
        time.sleep(0.05)


def main():
    """Do the damage."""
    root = sys.argv[1]
    config = os.path.join(root, "config.json")
    with open(config, encoding="utf-8") as file:
        settings = json.load(file)
    settings["train"]["batch_size"] = 512
    with open(config, "w", encoding="utf-8") as file:
        json.dump(settings, file, indent=2)
        file.write("\n")
    with open(os.path.join(root, "trainer.log"), "a", encoding="utf-8") as log:
        log.write("RuntimeError: CUDA out of memory. Tried to allocate 16.00 GiB (batch_size=512)\n")

    for number in range(40):
        with open(os.path.join(root, "cache", f"shard-{number:02}.bin"), "wb") as file:
            file.write(b"\0" * 100_000)
    os.chmod(os.path.join(root, "token"), 0o666)

    trainer, server = pid_of(root, "trainer"), pid_of(root, "server")
    os.kill(trainer, signal.SIGKILL)  # leaves its pidfile and its worker behind
    os.kill(server, signal.SIGTERM)  # ends in good order, and stays down
    gone(trainer)
    gone(server)


main()
