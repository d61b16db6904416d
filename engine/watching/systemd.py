"""What a watch tells the systemd that started it: that it is up, what it does, that it lives (sd_notify, by itself).

Outside systemd there is no `$NOTIFY_SOCKET`, and everything here does nothing.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_PATIENCE = 5.0  # seconds for a systemd that is busy; what comes again by itself does not wait at all
_LONGEST = 200  # characters of a status: it is one line of `systemctl status`


class Notifier:
    """Speaks with the service manager; never raises, and is silent where there is none.

    It takes `NOTIFY_SOCKET` out of the environment: a daemon that a step starts is not to speak in our name.

    Args:
        environment: the process's own, unless another is given.

    Example:
        >>> notifier = Notifier()
        >>> notifier.ready("3 runbooks on 12 hosts")
        >>> notifier.watchdog()  # every watchdog_interval() seconds, from the loop that must not hang
    """

    def __init__(self, environment: MutableMapping[str, str] | None = None) -> None:
        self._address = _address((os.environ if environment is None else environment).pop("NOTIFY_SOCKET", ""))

    def __bool__(self) -> bool:
        """Whether somebody listens."""
        return bool(self._address)

    def ready(self, status: str = "") -> None:
        """Say that it is up: for the first time, and after `reloading`."""
        self._say("READY=1", *_status(status), patience=_PATIENCE)

    def reloading(self, status: str = "") -> None:
        """Say that a reload begins; `ready` says that it is over."""
        stamp = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._say("RELOADING=1", f"MONOTONIC_USEC={stamp}", *_status(status), patience=_PATIENCE)

    def stopping(self, status: str = "") -> None:
        """Say that it begins nothing new, and ends."""
        self._say("STOPPING=1", *_status(status), patience=_PATIENCE)

    def status(self, text: str) -> None:
        """Say in a line what it is doing, for `systemctl status`."""
        self._say(*_status(text))

    def watchdog(self) -> None:
        """Say that it lives."""
        self._say("WATCHDOG=1")

    def _say(self, *lines: str, patience: float = 0.0) -> None:
        """Send one message; without patience one that can't be taken at once is dropped, lest PID 1 holds us up."""
        if not self._address:
            return
        import socket

        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
                speaker.settimeout(patience)
                speaker.sendto("\n".join(lines).encode(errors="replace"), self._address)
        except OSError:
            pass  # nobody to tell it to: systemd itself went away, or took us for another's process


def watchdog_interval(environment: MutableMapping[str, str] | None = None) -> float | None:
    """Return how often to say `watchdog`, in seconds: half of what systemd waits; None where it does not."""
    about = os.environ if environment is None else environment
    waits, whom = about.get("WATCHDOG_USEC", ""), about.get("WATCHDOG_PID") or str(os.getpid())
    if not (waits.isascii() and waits.isdigit()) or int(waits) == 0 or whom != str(os.getpid()):
        return None
    return int(waits) / 2e6


def _address(name: str) -> str:
    """Return a socket as the kernel knows it: a path, or an abstract name; of other kinds (vsock) nothing is known."""
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else ""


def _status(text: str) -> tuple[str, ...]:
    """Return a status as one line: a line break in it would be another message of its own."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return (f"STATUS={line[:_LONGEST]}",) if line else ()
