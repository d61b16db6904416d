"""What is asked of systemd: the machine's, or a user's own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIME: Final = 300.0  # seconds: a stop waits for `--grace`
_SYSTEM: Final = Path("/etc/systemd/system")


class Systemd:
    """One systemd.

    Args:
        system: the machine's; otherwise that of the user who asks.
    """

    def __init__(self, *, system: bool) -> None:
        self.system = system
        self.folder = _SYSTEM if system else _own_folder()

    def version(self, *, running: bool = True) -> int:
        """Return its version; 0 where there is none.

        Raises:
            UserError: it must be `running`, and is not.
        """
        there = shutil.which("systemctl") is not None
        if running and not (there and Path("/run/systemd/system").is_dir()):
            mend = "`--cron` writes a line for cron instead; or start `runbook watch` by what starts services here"
            raise UserError("systemd does not run this machine", mend=mend)
        if running and not self.system:
            os.environ.setdefault("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}")
            done = self._call("show", "--property=Version", "--value")
            if done.returncode:
                mend = "log in as that user, not by su or sudo; `loginctl enable-linger` keeps theirs running"
                raise UserError(f"your own systemd does not answer: {_said(done)}", mend=mend)
        found = re.search(r"\d+", self._call("--version").stdout) if there else None
        return int(found[0]) if found else 0

    def do(self, *orders: str) -> None:
        """Give an order, and wait for its end.

        Raises:
            UserError: it refuses, or the unit failed.
        """
        done = self._call(*orders)
        if done.returncode:
            raise UserError(_said(done), where=f"systemctl {' '.join([*self.scope, *orders])}")

    def log(self, unit: str, *, since: float) -> list[str]:
        """Return the last lines that a unit wrote since a time, in seconds since the epoch."""
        argv = [
            "journalctl",
            *self.scope,
            "--no-pager",
            "--output=cat",
            "--lines=5",
            f"--since=@{int(since)}",  # a second early rather than late
            f"--unit={unit}",
        ]
        if self.scope:
            argv[-1] = f"--user-unit={unit}"
        try:
            done = subprocess.run([*argv, "_TRANSPORT=stdout"], capture_output=True, text=True, timeout=20, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired):
            return []
        return [line for line in done.stdout.splitlines() if line.strip()]

    def show(self, unit: str, *names: str) -> Mapping[str, str]:
        """Return properties of a unit; nothing where nobody answers."""
        if shutil.which("systemctl") is None:
            return {}
        done = self._call("show", f"--property={','.join(names)}", "--", unit)
        pairs = (line.partition("=") for line in done.stdout.splitlines())
        return {name: value for name, _, value in pairs}

    @property
    def scope(self) -> tuple[str, ...]:
        """The option that names it."""
        return () if self.system else ("--user",)

    def _call(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = ["systemctl", *self.scope, "--no-ask-password", "--no-pager", *words]
        try:
            return subprocess.run(argv, capture_output=True, text=True, timeout=_TIME, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UserError(f"systemctl does not answer: {error}") from error


def lingers() -> bool:
    """Tell whether a user's systemd goes on without a session of theirs."""
    import getpass

    return Path("/var/lib/systemd/linger", getpass.getuser()).exists()


def _own_folder() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or f"{Path.home()}/.config"
    return Path(home) / "systemd/user"


def _said(done: subprocess.CompletedProcess[str]) -> str:
    """Return what it said, as one line."""
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return lines[0] if lines else f"exit code {done.returncode}"
