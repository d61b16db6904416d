"""A machine that boots: systemd as the first process of a container, on an overlay of this machine's own root.

Its boots are real ones for all that runs in it: another boot id each time, units started and stopped in order, and
`systemctl reboot`. What is below `kept` outlives a boot, as a disk does; the rest of the overlay does, too, and goes
with the host. `booted_fleet` has several that are reached by ssh. Started as a program this file is the keeper: it boots the machine again whenever it reboots, and ends
everything once its standard input closes, whatever became of the test run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from systemd_host import end, groups

SHARE = (
    'mount -t tmpfs tmpfs "$1/over" && mkdir "$1/over/upper" "$1/over/work" "$1/over/root" && mount -t overlay overlay'
    ' -o "lowerdir=/,upperdir=$1/over/upper,workdir=$1/over/work" "$1/over/root" && exec "$2" "$3" "$1" "$4"'
)
REBOOTED = 133  # how nspawn ends when it is not to boot the container again itself


def lacking() -> str:
    """What keeps this machine from having such a host; empty when nothing does."""
    if os.geteuid() != 0:
        return "only root can boot a container"
    if any(shutil.which(program) is None for program in ("systemd-nspawn", "unshare", "systemctl")):
        return "no systemd-nspawn is installed here: `apt-get install systemd-container`"
    return ""


class BootedHost:
    """The machine, from its first boot to its end.

    Args:
        place: a directory for what the keeper needs.
        units: by name, the text of units that are started at each boot.
        files: by name, what lies below `kept`: a text, or a file to copy.
        plug: a command that runs another one in the machine's network; without it the machine has none.
        kernel: let it read the kernel's log, which is this machine's, too.
    """

    def __init__(
        self,
        place: Path,
        units: dict[str, str],
        files: dict[str, str | Path],
        plug: tuple[str, ...] = (),
        *,
        kernel: bool = False,
    ) -> None:
        self.kept = place / "kept"
        if kernel:
            (place / "kernel").touch()
        for name in ("kept", "units", "over"):
            (place / name).mkdir()
        for name, content in files.items():
            file = self.kept / name
            if isinstance(content, Path):
                shutil.copy(content, file)
            else:
                file.write_text(content, encoding="utf-8")
                file.chmod(0o755)
        for name, text in units.items():
            (place / "units" / name).write_text(text, encoding="utf-8")
        self._log = place / "log"
        self._keeper = subprocess.Popen([sys.executable, __file__, str(place), *plug], stdin=subprocess.PIPE)

    def wait_for(self, name: str, within: float = 60.0) -> str:
        """Wait for a file below `kept` that is not empty, and return what it says."""
        until = time.monotonic() + within
        while time.monotonic() < until and self._keeper.poll() is None:
            with contextlib.suppress(FileNotFoundError):
                if found := (self.kept / name).read_text(encoding="utf-8"):
                    return found
            time.sleep(0.05)
        raise TimeoutError(f"no {name} within {within:g} s; the machine says:\n{self.said()}")

    def said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    def close(self) -> None:
        self._keeper.stdin.close()
        self._keeper.wait(30)


def keep(place: Path, plug: list[str]) -> None:
    """Share the root in a mount namespace of our own, boot there, and wait for the end of the tests."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the tests' to judge; they close standard input
    made = groups(f"runbook-boot-{os.getpid()}")
    try:
        for group in made:
            group.mkdir()
            for setting in ("cpuset.cpus", "cpuset.mems"):  # without these a group of cgroup v1 takes nobody in
                if (group / setting).exists():
                    (group / setting).write_text((group.parent / setting).read_text())
            (group / "cgroup.procs").write_text(str(os.getpid()))
        with (place / "log").open("wb") as log:
            inside = subprocess.Popen(
                [*plug, "unshare", "--mount", "--propagation", "private", "sh", "-ec", SHARE, "sh", place, sys.executable, __file__,
                 "plugged" if plug else "alone"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        threading.Thread(target=lambda: (sys.stdin.read(), inside.kill()), daemon=True).start()
        inside.wait(600)
    finally:
        end(made)


def boot(place: Path, network: str) -> None:
    """Boot the machine, again whenever it reboots."""
    root = place / "over/root"
    for wants in (root / "etc/systemd/system").glob("*.wants"):
        shutil.rmtree(wants)
    (root / "etc/fstab").write_text("")
    (root / "etc/machine-id").write_text(f"{os.getpid():032x}\n")
    names = [unit.name for unit in (place / "units").iterdir()]
    for unit in (place / "units").iterdir():
        shutil.copy(unit, root / "etc/systemd/system")
    target = f"[Unit]\nRequires=basic.target\nAfter=basic.target\nWants={' '.join(names)}\n"
    (root / "etc/systemd/system/test.target").write_text(target)
    machine = [
        *("systemd-nspawn", "--quiet", f"--directory={root}", f"--bind={place / 'kept'}", network),
        *("--register=no", "--keep-unit", f"--machine=boot{os.getpid()}", "--console=pipe", "--boot"),
        *(f"--bind-ro={tree}" for tree in elsewhere()),
        *(["--bind=/dev/kmsg", "--capability=CAP_SYSLOG"] if (place / "kernel").exists() else []),
        "systemd.unit=test.target",
    ]
    while subprocess.run(machine, check=False).returncode == REBOOTED:
        pass


def elsewhere() -> list[str]:
    """What a test needs of this machine: it may lie on another disk than the root, or in /tmp, which is another there."""
    needed = {str(Path(__file__).parents[2]), sys.prefix, sys.base_prefix} - {"/", "/usr"}
    return sorted(needed)


if __name__ == "__main__":
    where, words = Path(sys.argv[1]), sys.argv[2:]
    if words in (["alone"], ["plugged"]):
        boot(where, "--private-network" if words == ["alone"] else "--network-namespace-path=/proc/self/ns/net")
    else:
        keep(where, words)
