"""The few calls of the Linux kernel that Python 3.11 has no words for: namespaces and mounts."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import socket
import stat
import struct
from typing import Any, Final

NEW_USER, NEW_PID, NEW_MOUNTS, NEW_NETWORK, NEW_IPC = 0x10000000, 0x20000000, 0x00020000, 0x40000000, 0x08000000
BIND, RECURSIVE, PRIVATE, REMOUNT, READ_ONLY = 0x1000, 0x4000, 0x40000, 0x20, 0x1
NO_SUID, NO_DEV, NO_EXEC = 0x2, 0x4, 0x8
_DETACH: Final = 2  # MNT_DETACH
_LOSE: Final = 24  # PR_CAPBSET_DROP
_SEARCH, _MODULE, _RAW_IO, _TRACE, _ADMIN, _BOOT = 2, 16, 17, 19, 21, 22  # capabilities
_TIME, _MKNOD, _KERNEL_LOG, _BPF = 25, 27, 34, 39
_PARENT_DEATH_SIGNAL: Final = 1  # PR_SET_PDEATHSIG
_MOUNT_SETATTR: Final = 442  # the same number on every architecture
_AT_FDCWD, _AT_RECURSIVE, _ATTR_READ_ONLY = -100, 0x8000, 0x1
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 0x1  # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP
_SET_ADDRESS: Final = 0x8916  # SIOCSIFADDR

_libc: Final = ctypes.CDLL(None, use_errno=True)


def unshare(kinds: int) -> None:
    """Leave namespaces for new ones.

    Raises:
        OSError: the kernel, or who set it up, does not let us.
    """
    _call("new namespaces", _libc.unshare, kinds)


def end_with_parent(parent: int) -> None:
    """See that the kernel kills this process when its parent, which had this pid, ends; however that ends.

    Args:
        parent: 0 in a PID namespace of our own, whose parent lies outside.
    """
    _call("prctl", _libc.prctl, _PARENT_DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def lose_the_machine() -> None:
    """Take from every program that is started what reaches through namespaces: modules, clocks, reboots, mounts.

    Who may trace others could have the first process of the place, which keeps all of it, mount things in its name.
    """
    for capability in (_SEARCH, _MODULE, _RAW_IO, _TRACE, _ADMIN, _BOOT, _TIME, _MKNOD, _KERNEL_LOG, _BPF):
        try:
            _call("prctl", _libc.prctl, _LOSE, capability, 0, 0, 0)
        except OSError as error:
            if error.errno != errno.EINVAL:  # the kernel is older than this capability
                raise


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount something.

    Raises:
        OSError: it can't be.
    """
    words = [word.encode() if word else None for word in (source, target, kind)]
    _call(target, _libc.mount, *words, ctypes.c_ulong(flags), options.encode() if options else None)


def bind(source: str, target: str) -> None:
    """Show a file, or a tree with all that is mounted in it, at another place too."""
    mount(source, target, flags=BIND | RECURSIVE)


def read_only(target: str) -> None:
    """Let nobody write in a mounted tree any more, nor in what is mounted below it.

    Raises:
        OSError: it can't be done.
    """
    attributes = struct.pack("=QQQQ", _ATTR_READ_ONLY, 0, 0, 0)
    flags = _AT_RECURSIVE
    done = _libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, target.encode(), flags, attributes, len(attributes))
    if done == 0:
        return
    for point in _below(target):  # a kernel before 5.12
        no_devices = 0 if stat.S_ISCHR(os.lstat(point).st_mode) else NO_DEV
        mount("none", point, flags=REMOUNT | BIND | READ_ONLY | NO_SUID | no_devices)


def writable(target: str) -> None:
    """Let a mount of our own be written in again; what is mounted below it stays as it is.

    Raises:
        OSError: it can't be done.
    """
    mount("none", target, flags=REMOUNT | BIND | NO_SUID | NO_DEV)


def pivot(root: str) -> None:
    """Make a mounted tree the root, and let go of the old one."""
    os.chdir(root)
    _call(root, _libc.pivot_root, b".", b".")
    _call(root, _libc.umount2, b".", _DETACH)
    os.chdir("/")


def loopback_up() -> None:
    """Switch on the loopback of a new network namespace.

    It has a second address: of a machine with 127.0.0.1 alone, getaddrinfo says that it has no IPv4 (AI_ADDRCONFIG).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        request = struct.pack("16sH14x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(asked, _GET_FLAGS, request), 16)
        fcntl.ioctl(asked, _SET_FLAGS, struct.pack("16sH14x", b"lo", flags | _UP))
        address = socket.inet_aton("127.0.0.2")
        fcntl.ioctl(asked, _SET_ADDRESS, struct.pack("16sHH4s16x", b"lo:2", socket.AF_INET, 0, address))


def _call(what: str, function: Any, *words: Any) -> None:
    if function(*words) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)


def _below(target: str) -> list[str]:
    """Return what is mounted at a path and below it, the deepest last."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:  # noqa: PTH123
        points = [line.split()[4].encode().decode("unicode_escape") for line in table]
    return sorted(point for point in points if point == target or point.startswith(f"{target.rstrip('/')}/"))
