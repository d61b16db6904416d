"""A real journald for tests: it lives in a mount namespace of its own and writes into a directory of the test's."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

DAEMON = next(
    (path for path in ("/usr/lib/systemd/systemd-journald", "/lib/systemd/systemd-journald") if Path(path).exists()), ""
)
BOOT = 'mount -t tmpfs tmpfs /run && mkdir -p /run/log/journal && mount --bind "$1" /run/log/journal && exec "$2"'
SEND = """
import socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
    journal.connect("/run/systemd/journal/socket")
    for line in sys.stdin:
        journal.send(bytes.fromhex(line))
"""


def lacking() -> str:
    """What keeps this machine from having one; empty when nothing does."""
    if os.geteuid() != 0:
        return "only root can give journald a /run of its own"
    if not DAEMON or any(shutil.which(program) is None for program in ("journalctl", "unshare", "nsenter")):
        return "no journald is installed here: `apt-get install systemd`"
    return ""


class Journald:
    """The daemon, and what programs tell it."""

    def __init__(self, place: Path) -> None:
        self.directory = place
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-ec", BOOT, "sh", str(place), DAEMON],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._sent = 0
        try:
            self._until(lambda: list(place.glob("*/system.journal")))
            self.send("are you there", identifier="test")
        except BaseException:
            self.close()
            raise

    def send(self, *messages: str | bytes | tuple[str, str], identifier: str = "vllm", priority: int = 6) -> None:
        """Log messages (or pairs of an identifier and a message) and wait until they can be read."""
        lines = []
        self._sent += len(messages)
        for message in messages:
            writer, text = message if isinstance(message, tuple) else (identifier, message)
            data = text.encode() if isinstance(text, str) else text
            head = f"SYSLOG_IDENTIFIER={writer}\nPRIORITY={priority}\nRUNBOOK_TEST=1\nMESSAGE\n".encode()
            lines.append((head + len(data).to_bytes(8, "little") + data + b"\n").hex())
        enter = ["nsenter", "--target", str(self._process.pid), "--mount", "--", sys.executable, "-c", SEND]
        subprocess.run(enter, input="\n".join(lines) + "\n", text=True, check=True, timeout=20)
        self._until(lambda: self.count() >= self._sent)

    def count(self) -> int:
        argv = [
            "journalctl",
            f"--directory={self.directory}",
            "--output=cat",
            "--output-fields=PRIORITY",
            "RUNBOOK_TEST=1",
            "--quiet",
        ]
        return len(subprocess.run(argv, capture_output=True, check=True).stdout.splitlines())

    def vacuum(self) -> None:
        """Begin a new file and throw away the old ones."""
        self._process.send_signal(signal.SIGUSR2)
        self._until(lambda: list(self.directory.glob("*/system@*.journal")))
        argv = ["journalctl", f"--directory={self.directory}", "--vacuum-files=1", "--quiet"]
        subprocess.run(argv, check=True, capture_output=True)
        assert not list(self.directory.glob("*/system@*.journal"))
        self._sent = 0

    def close(self) -> None:
        self._process.kill()
        self._process.wait(20)

    def _until(self, there) -> None:  # type: ignore[no-untyped-def]
        until = time.monotonic() + 20
        while not there():
            assert time.monotonic() < until, "journald does not write"
            assert self._process.poll() is None, "journald ended"
            time.sleep(0.02)
