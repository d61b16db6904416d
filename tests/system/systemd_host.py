"""A real systemd for tests: a user's service manager that believes the machine was booted with systemd.

It lives in a mount namespace of its own with a fresh /run, and in a control group of its own. Its units are reached
from outside as `systemctl --user`, and, by an interpreter that enters the namespace, as the system's own units.
Started as a program this file is the keeper: it boots the manager and ends everything in the group once its standard
input closes, whatever became of the test run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

MANAGER = next((path for path in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd") if Path(path).exists()), None)
BOOT = 'mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && ln -s "$1/systemd/private" /run/systemd/private && exec "$2" --user --unit=basic.target'


def lacking() -> str:
    """What keeps this machine from having such a host; empty when nothing does."""
    if os.geteuid() != 0:
        return "only root can give a service manager a /run of its own"
    if MANAGER is None or any(shutil.which(program) is None for program in ("systemctl", "unshare", "nsenter")):
        return "no systemd is installed here: `apt-get install systemd`"
    return ""


class SystemdHost:
    """The manager, from its boot to the end of all that it started."""

    def __init__(self, place: Path) -> None:
        self.units = place / "units"
        self.runtime = place / "run"
        self.units.mkdir()
        self.runtime.mkdir(mode=0o700)
        (self.units / "basic.target").write_text("[Unit]\n")
        self._keeper = subprocess.Popen(
            [sys.executable, __file__, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        said = self._keeper.stdout.readline().split()
        if not said:
            self.close()
            raise RuntimeError(f"systemd did not boot: {(place / 'log').read_text()}")
        self.pid = int(said[0])
        self.python = place / "python"  # an interpreter for which its units are the system's
        self.python.write_text(f'#!/bin/sh\nexec nsenter --target {self.pid} --mount -- {sys.executable} "$@"\n')
        self.python.chmod(0o755)

    @property
    def env(self) -> dict[str, str]:
        """What systemctl must be told outside: it lists unit files by itself where the machine was not booted so."""
        return {"XDG_RUNTIME_DIR": str(self.runtime), "SYSTEMD_UNIT_PATH": str(self.units)}

    def unit(self, name: str, text: str) -> None:
        """Write a unit's file and have it read."""
        (self.units / name).write_text(textwrap.dedent(text))
        self.systemctl("daemon-reload")

    def systemctl(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            ["systemctl", "--user", *words],
            env={**os.environ, **self.env},
            check=check,
            capture_output=True,
            text=True,
            timeout=30,
        )
        return done.stdout.strip()

    def show(self, unit: str, name: str) -> str:
        return self.systemctl("show", "--value", f"--property={name}", "--", unit)

    def close(self) -> None:
        self._keeper.stdin.close()
        self._keeper.wait(20)
        self._keeper.stdout.close()


def groups(name: str) -> list[Path]:
    """Where a new group goes in each hierarchy of control groups."""
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        mounts = (
            [f"/sys/fs/cgroup/{controllers.removeprefix('name=')}"]
            if controllers
            else ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
        )
        mount = next((Path(mount) for mount in mounts if Path(mount, "cgroup.procs").exists()), None)
        if mount is not None:
            found.append(mount / path.strip("/") / name)
    return found


def members(group: Path) -> set[int]:
    return {int(pid) for procs in group.glob("**/cgroup.procs") for pid in procs.read_text().split()}


def end(made: list[Path]) -> None:
    """Kill all that is in the groups, and remove them."""
    for group in made:
        with contextlib.suppress(OSError):
            (group.parent / "cgroup.procs").write_text(str(os.getpid()))
    while left := set().union(*map(members, made)):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
    for group in made:
        for below in sorted(group.glob("**/"), reverse=True):
            with contextlib.suppress(OSError):
                below.rmdir()


def keep(place: Path) -> None:
    """Boot the manager, say its pid, and wait for the end of the tests."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the tests' to judge; they close standard input
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, lambda *_: sys.exit(1))
    signal.alarm(600)
    made = groups(f"runbook-test-{os.getpid()}")
    try:
        for group in made:
            group.mkdir()
            for setting in ("cpuset.cpus", "cpuset.mems"):  # without these a group of cgroup v1 takes nobody in
                if (group / setting).exists():
                    (group / setting).write_text((group.parent / setting).read_text())
            (group / "cgroup.procs").write_text(str(os.getpid()))
        told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        told.bind(str(place / "notify"))
        told.settimeout(15)
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(place),
            "XDG_RUNTIME_DIR": str(place / "run"),
            "SYSTEMD_UNIT_PATH": str(place / "units"),
            "NOTIFY_SOCKET": str(place / "notify"),
        }
        with (place / "log").open("wb") as log:
            manager = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-ec", BOOT, "sh", str(place / "run"), MANAGER],
                env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        while b"READY=1" not in told.recv(4096):
            pass
        sys.stdout.write(f"{manager.pid}\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        end(made)


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
