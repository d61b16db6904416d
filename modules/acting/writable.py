"""The `writable` entries of a runbook: the only trees in which a step may write, delete, move or own.

Pure judgments over paths; `tree.py` opens what they allow.
"""

import os
import pwd
from functools import cache
from typing import FrozenSet, Optional, Sequence, Tuple

from runbook.modules.declare import Refused

_TOP = (
    *("bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "lost+found", "media", "opt", "proc"),
    *("root", "run", "sbin", "sys", "tmp", "usr", "var", "dev/shm", "usr/bin", "usr/lib", "usr/lib32", "usr/lib64"),
    *("usr/libexec", "usr/local", "usr/sbin", "usr/share", "var/lib", "var/tmp"),
)
_SYSTEM = frozenset("/" + path for path in _TOP)
_KERNEL = ("/proc/", "/sys/", "/boot/", "/dev/")  # nothing below these is anybody's tree
_SHARED_MEMORY = "/dev/shm/"  # noqa: S108 -- the exception: people put caches there


@cache
def homes() -> FrozenSet[str]:
    """Return the home directories of all accounts of this machine."""
    return frozenset(os.path.normpath(account.pw_dir) for account in pwd.getpwall() if account.pw_dir.startswith("/"))


def plain(path: str) -> str:
    """Return an absolute path without `.` and doubled slashes.

    Raises:
        Refused: it is relative, or climbs with `..`.
    """
    if not path.startswith("/"):
        raise Refused(f"{path or 'an empty path'}: not an absolute path")
    if "\0" in path:
        raise Refused("a path with a NUL byte in it")
    parts = path.split("/")
    if ".." in parts:
        raise Refused(f"{path}: `..` may leave what is writable; name the path itself")
    return "/" + "/".join(part for part in parts if part not in {"", "."})


def refusal(entry: str, accounts: FrozenSet[str] = frozenset()) -> Optional[str]:
    """Say why a path can't be a `writable` entry; None when it can. Lint asks without `accounts`."""
    try:
        path = plain(entry)
    except Refused as error:
        return str(error)
    if path == "/":
        return "`/` is the whole machine"
    if path in _SYSTEM:
        return f"{path} belongs to the system; name a directory below it"
    if path.startswith(_KERNEL) and not path.startswith(_SHARED_MEMORY):
        return f"{path} belongs to the kernel or the boot loader"
    if path in accounts:
        return f"{path} is an account's home; name a directory below it"
    return None


def covering(path: str, writable: Sequence[str]) -> Tuple[str, str]:
    """Return (the path made plain, the deepest `writable` entry that it lies in), judged by their text alone.

    Raises:
        Refused: nothing covers it, or the entry that does is not one that may be.
    """
    wanted = plain(path)
    if not writable:
        raise Refused(f"{wanted}: nothing is writable; name its tree in the runbook: `writable: [{wanted}]`")
    best = ""
    for entry in writable:
        try:
            candidate = plain(entry)
        except Refused:
            continue  # said below, when no other entry covers the path
        if len(candidate) > len(best) and (wanted == candidate or wanted.startswith(candidate.rstrip("/") + "/")):
            best = candidate
    listed = ", ".join(writable)
    if not best:
        wrong = next((reason for entry in writable if (reason := refusal(entry))), "")
        raise Refused(f"{wanted} lies outside of what is writable ({listed}){'; ' + wrong if wrong else ''}")
    reason = refusal(best, homes())
    if reason:
        raise Refused(f"{wanted}: `writable: [{listed}]` can't be used: {reason}")
    return wanted, best
