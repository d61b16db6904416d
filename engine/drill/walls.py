"""The place of a drill: a root of its own in which this machine can be read, and only the scratch directory written.

It needs root, or user namespaces that anyone may make. Nothing of it lies on a disk, so nothing is left of it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runbook.engine.drill import linux
from runbook.engine.language.drill_words import OWN, SCRATCH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KERNEL_LOG: Final = "/dev/kmsg"
_ROOT: Final = "/run"  # where the new root is made: the place has a /run of its own
_SIZE: Final = "size=100g,nr_inodes=4m,mode=0755"  # not taken: a tmpfs takes what is written
_EMPTY: Final = frozenset({"proc", "dev", "run", SCRATCH[1:], OWN[1:]})  # what the place has its own of
_SETTINGS: Final = ("sys", "sysrq-trigger", "irq", "bus", "fs")  # of /proc: they are the machine's, not the place's
_DEVICES: Final = ("null", "zero", "full", "random", "urandom", "tty")
_TEMPORARY: Final = ("/tmp", "/var/tmp")  # noqa: S108 -- where anybody may put a socket or a pipe, at any time


def leave() -> frozenset[str]:
    """Go into namespaces of our own; the next child is the first process of the new PID namespace.

    Returns:
        The sockets and pipes by which programs of this machine can be spoken to: no mount makes one read-only.

    Raises:
        OSError: neither root nor user namespaces are to be had.
    """
    doors = frozenset(_doors())
    kinds = linux.NEW_PID | linux.NEW_MOUNTS | linux.NEW_NETWORK | linux.NEW_IPC
    if os.geteuid() == 0:
        with contextlib.suppress(PermissionError):  # root of a container
            linux.unshare(kinds)
            return doors
    user, group = os.geteuid(), os.getegid()
    linux.unshare(linux.NEW_USER | kinds)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 -- the kernel's own file
            file.write(text)
    return doors


def build(doors: frozenset[str], needed: Iterable[str]) -> None:
    """Build the place and move into it; called by the first process of a new PID namespace.

    Args:
        doors: what `leave` found; nobody is behind them in the place.
        needed: files and directories that are to be seen even where the place has a directory of its own.

    Raises:
        OSError: a part of it can't be mounted here.
    """
    linux.mount("none", "/", flags=linux.RECURSIVE | linux.PRIVATE)
    linux.mount("drill", _ROOT, "tmpfs", options="mode=0755")
    shown = [_shown(name) for name in sorted(os.listdir("/")) if name not in _EMPTY]  # noqa: PTH208
    _own()
    temporary = sorted({os.path.realpath(path) for path in _TEMPORARY if os.path.isdir(path)})  # noqa: PTH112
    for path in temporary:
        _empty(path, needed)
    linux.pivot(_ROOT)
    for name in filter(None, shown):
        linux.read_only(f"/{name}")
    for path in temporary:
        linux.writable(path)
    for path in sorted(doors):
        with contextlib.suppress(OSError):  # it is not in the place
            kind = os.lstat(path).st_mode
            if stat.S_ISSOCK(kind) or stat.S_ISFIFO(kind):
                linux.bind("/dev/null", path)
    _name_itself()
    for name in _SETTINGS:
        if os.path.exists(f"/proc/{name}"):  # noqa: PTH110
            linux.bind(f"/proc/{name}", f"/proc/{name}")
            linux.read_only(f"/proc/{name}")
    linux.mount("none", "/", flags=linux.REMOUNT | linux.BIND | linux.READ_ONLY)
    linux.loopback_up()


def _name_itself() -> None:
    """Let the place find itself by this machine's name, which a server of names tells elsewhere."""
    known, own = Path("/etc/hosts"), Path(OWN, "hosts")
    if known.is_file():
        own.write_text(f"127.0.0.1 {os.uname().nodename}\n{known.read_text(encoding='utf-8')}", encoding="utf-8")
        linux.bind(str(own), str(known))
        linux.read_only(str(known))


def _doors() -> Iterator[str]:
    """Yield the paths of bound sockets, and of pipes that a program holds open, as far as we may see them."""
    networks: set[str] = set()
    for process in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
        about = f"/proc/{process}"
        with contextlib.suppress(OSError):  # it has ended, or is not ours to look at
            network = os.readlink(f"{about}/ns/net")  # noqa: PTH115
            if network not in networks:
                yield from _bound(f"{about}/net/unix")
                networks.add(network)
            for number in os.listdir(f"{about}/fd"):  # noqa: PTH208
                with contextlib.suppress(OSError):
                    path = os.readlink(f"{about}/fd/{number}")  # noqa: PTH115
                    if path.startswith("/") and stat.S_ISFIFO(os.stat(f"{about}/fd/{number}").st_mode):  # noqa: PTH116
                        yield path


def _bound(sockets: str) -> Iterator[str]:
    with open(sockets, encoding="utf-8", errors="surrogateescape") as table:  # noqa: PTH123
        for line in table:
            path = line.rstrip("\n").split(" ", 7)[-1].lstrip()
            if path.startswith("/"):
                yield path


def _empty(path: str, needed: Iterable[str]) -> None:
    """Lay an empty directory over one of this machine's, and show again what is needed of it."""
    linux.mount("drill", f"{_ROOT}{path}", "tmpfs", options=_SIZE.replace("0755", "1777"))
    ways = {way for one in needed if one for way in (os.path.abspath(one), os.path.realpath(one))}  # noqa: PTH100
    laid: list[str] = []
    for one in sorted(ways):
        if not one.startswith(f"{path}/") or any(one.startswith(f"{other}/") for other in laid):
            continue
        target = Path(f"{_ROOT}{one}")
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            kind = os.stat(one).st_mode  # noqa: PTH116
            target.parent.mkdir(parents=True, exist_ok=True)
            if stat.S_ISDIR(kind):
                target.mkdir()
            else:
                target.touch()
            linux.bind(one, str(target))
            laid.append(one)


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
        with contextlib.suppress(PermissionError):  # an old kernel, and not root: who may not change a device either
            linux.read_only(f"{_ROOT}/dev/{name}")  # its mode and owner are the machine's
    os.close(os.open(f"{_ROOT}{KERNEL_LOG}", os.O_CREAT | os.O_WRONLY, 0o644))
    for name, leads in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        Path(f"{_ROOT}/dev/{name}").symlink_to(leads)
    for name, kind, options in (("shm", "tmpfs", "mode=1777"), ("pts", "devpts", "newinstance,ptmxmode=0666")):
        Path(f"{_ROOT}/dev/{name}").mkdir()
        linux.mount("drill", f"{_ROOT}/dev/{name}", kind, options=options)
    Path(f"{_ROOT}/dev/ptmx").symlink_to("pts/ptmx")
    for name in ("home", "tmp", "agent", "logs", "bin"):
        Path(f"{_ROOT}{OWN}/{name}").mkdir()
