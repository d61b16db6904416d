"""The place of a drill: a root of its own in which this machine can be read, and only the scratch directory written.

It needs root, or user namespaces that anyone may make. Nothing of it lies on a disk, so nothing is left of it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

from runbook.engine.drill import linux
from runbook.engine.language.drill_words import OWN, SCRATCH

KERNEL_LOG: Final = "/dev/kmsg"
_ROOT: Final = "/run"  # where the new root is made: the place has a /run of its own
_SIZE: Final = "size=100g,nr_inodes=4m,mode=0755"  # not taken: a tmpfs takes what is written
_EMPTY: Final = frozenset({"proc", "dev", "run", SCRATCH[1:], OWN[1:]})  # what the place has its own of
_SETTINGS: Final = ("sys", "sysrq-trigger", "irq", "bus", "fs")  # of /proc: they are the machine's, not the place's
_DEVICES: Final = ("null", "zero", "full", "random", "urandom", "tty")


def leave() -> None:
    """Go into namespaces of our own; the next child is the first process of the new PID namespace.

    Raises:
        OSError: neither root nor user namespaces are to be had.
    """
    kinds = linux.NEW_PID | linux.NEW_MOUNTS | linux.NEW_NETWORK | linux.NEW_IPC
    if os.geteuid() == 0:
        with contextlib.suppress(PermissionError):  # root of a container
            linux.unshare(kinds)
            return
    user, group = os.geteuid(), os.getegid()
    linux.unshare(linux.NEW_USER | kinds)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 -- the kernel's own file
            file.write(text)


def build() -> None:
    """Build the place and move into it; called by the first process of a new PID namespace.

    Raises:
        OSError: a part of it can't be mounted here.
    """
    linux.mount("none", "/", flags=linux.RECURSIVE | linux.PRIVATE)
    linux.mount("drill", _ROOT, "tmpfs", options="mode=0755")
    shown = [_shown(name) for name in sorted(os.listdir("/")) if name not in _EMPTY]  # noqa: PTH208
    _own()
    linux.pivot(_ROOT)
    for name in filter(None, shown):
        linux.read_only(f"/{name}")
    for name in _SETTINGS:
        if os.path.exists(f"/proc/{name}"):  # noqa: PTH110
            linux.bind(f"/proc/{name}", f"/proc/{name}")
            linux.read_only(f"/proc/{name}")
    linux.mount("none", "/", flags=linux.REMOUNT | linux.BIND | linux.READ_ONLY)
    linux.loopback_up()


def _shown(name: str) -> str:
    """Show an entry of the old root in the new one; return its name where it is a mount."""
    source, target = f"/{name}", f"{_ROOT}/{name}"
    kind = os.lstat(source).st_mode
    if stat.S_ISLNK(kind):
        Path(target).symlink_to(Path(source).readlink())
    elif stat.S_ISDIR(kind):
        Path(target).mkdir()
        linux.bind(source, target)
        return name
    return ""


def _own() -> None:
    """Make what the place has of its own: processes, devices, and what may be written."""
    for name in _EMPTY:
        Path(f"{_ROOT}/{name}").mkdir()
    linux.mount("proc", f"{_ROOT}/proc", "proc", flags=linux.NO_SUID | linux.NO_DEV | linux.NO_EXEC)
    for name in ("run", SCRATCH[1:], OWN[1:]):
        linux.mount("drill", f"{_ROOT}/{name}", "tmpfs", options=_SIZE)
    linux.mount("drill", f"{_ROOT}/dev", "tmpfs", options="mode=0755")
    for name in _DEVICES:
        os.close(os.open(f"{_ROOT}/dev/{name}", os.O_CREAT | os.O_WRONLY))
        linux.bind(f"/dev/{name}", f"{_ROOT}/dev/{name}")
    os.close(os.open(f"{_ROOT}{KERNEL_LOG}", os.O_CREAT | os.O_WRONLY, 0o644))
    for name, leads in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        Path(f"{_ROOT}/dev/{name}").symlink_to(leads)
    for name, kind, options in (("shm", "tmpfs", "mode=1777"), ("pts", "devpts", "newinstance,ptmxmode=0666")):
        Path(f"{_ROOT}/dev/{name}").mkdir()
        linux.mount("drill", f"{_ROOT}/dev/{name}", kind, options=options)
    Path(f"{_ROOT}/dev/ptmx").symlink_to("pts/ptmx")
    for name in ("home", "tmp", "agent", "logs", "bin"):
        Path(f"{_ROOT}{OWN}/{name}").mkdir()
