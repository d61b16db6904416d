"""A machine that boots, with runbook on it, on which a test says commands as its root does."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from booted_host import BootedHost, lacking

__all__ = ["Machine", "lacking"]
_READY = "[Unit]\nAfter=dbus.service\n[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo up > {kept}/up'\n"


class Machine(BootedHost):
    """One machine, up and idle; it has no network but its own loopback."""

    def __init__(self, place: Path) -> None:
        super().__init__(place, {"ready.service": _READY.format(kept=place / "kept")}, {}, kernel=True)
        try:
            self.wait_for("up")
            self.init = self._first()
            # of the machine out here, where somebody may be writing just now
            self.sh("rm -rf /var/lib/runbook || rm -rf /var/lib/runbook || rm -rf /var/lib/runbook")
        except BaseException:
            self.close()
            raise

    def _first(self) -> int:
        """Return the pid, out here, of the first process of the machine."""
        parents = {}
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                head, _, tail = entry.read_text().rpartition(") ")
            except OSError:
                continue
            pid, _, name = head.partition(" (")
            parents[int(pid)] = int(tail.split()[1]), name
        for pid, (parent, name) in parents.items():
            above = parent if name == "systemd" else 0
            while above:
                if above == self._keeper.pid:
                    return pid
                above, _ = parents.get(above, (0, ""))
        raise RuntimeError(f"the machine has no first process:\n{self.said()}")

    def run(
        self, *argv: str, check: bool = True, text: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command there, as root, with an environment of its own."""
        env = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            **environment,
        }
        enter = ["nsenter", f"--target={self.init}", "--mount", "--uts", "--ipc", "--net", "--pid", "--root"]
        inner = ["env", "--chdir=/", "-i", *(f"{name}={value}" for name, value in env.items()), *argv]
        done = subprocess.run(
            [*enter, *inner], input=text or "", capture_output=True, text=True, timeout=120, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{shlex.join(argv)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def sh(self, script: str, **environment: str) -> str:
        """Run a script there and return what it says."""
        return self.run("sh", "-ec", script, **environment).stdout.strip()

    def runbook(self, *words: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run runbook there."""
        program = Path(sys.executable).with_name("runbook")
        return self.run(str(program), *words, check=check, **environment)

    def write(self, path: str, text: str) -> str:
        """Write a file there."""
        self.run("sh", "-ec", 'mkdir -p "$(dirname "$1")"; cat > "$1"', "sh", path, text=text)
        return path

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", f"--property={name}", "--value", "--", unit).stdout.strip()

    def until(self, script: str, within: float = 60.0) -> str:
        """Wait until a script succeeds there, and return what it said."""
        end = time.monotonic() + within
        while (done := self.run("sh", "-ec", script, check=False)).returncode:
            if time.monotonic() > end:
                log = self.run("journalctl", "--no-pager", "-n", "60", "-u", "runbook*", check=False).stdout
                raise TimeoutError(f"not within {within:g} s: {script}\n{done.stdout}{done.stderr}\n{log}")
            time.sleep(0.1)
        return done.stdout.strip()


def wanted_by_root() -> str:
    """Return what a root of these tests lacks."""
    return "only root can boot a machine" if os.geteuid() else ""
