"""From what a runbook needs to what systemd keeps from its watch: the settings of a unit, each with its reason.

What is left open says in a comment who wants it. Where a runbook starts programs of its own, these inherit whatever
the unit has, and nobody but their author knows what they need: then hardly anything is kept from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runbook.engine.errors import UserError
from runbook.engine.install.needs import Need
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_CAPABILITIES: Final[Mapping[Need, tuple[str, ...]]] = {
    Need.READ: ("CAP_DAC_READ_SEARCH",),
    Need.WRITE: ("CAP_DAC_OVERRIDE", "CAP_CHOWN", "CAP_FOWNER", "CAP_FSETID"),
    Need.SOCKETS: ("CAP_DAC_OVERRIDE",),
    Need.INSIGHT: ("CAP_SYS_PTRACE",),
    Need.KILL: ("CAP_KILL",),
    Need.KERNEL_LOG: ("CAP_SYSLOG",),
}
_FAMILIES: Final = "AF_UNIX AF_INET AF_INET6 AF_NETLINK"


@frozen
class Setting:
    """One line of a unit, or a comment alone where a setting is left out."""

    name: str = ""
    value: str = ""
    why: str = ""


@frozen
class Ground:
    """What of the machine a watch is at, beyond what its modules need."""

    needs: Mapping[Need, tuple[str, ...]]  # of what runs on this machine; nothing where all hosts are others
    local: bool = True  # some of the hosts are this machine
    writes: tuple[str, ...] = ()  # the only trees to write in, none below another
    home: str = ""  # what lies below /home, /root or /run/user and is read; empty: nothing
    tmp: str = ""  # what names /tmp or /var/tmp; empty: nothing
    system: bool = True  # false: a user's own manager, which can't change what a process sees


def settings(ground: Ground) -> list[Setting]:
    """Return the settings that confine a watch, as far as what it needs allows.

    Raises:
        UserError: a unit can't name a path.
    """
    needs = ground.needs
    if Need.EVERYTHING in needs:
        return [Setting(why=f"Nothing is confined: {_reason(ground, Need.EVERYTHING)}.")]
    return [*_files(ground), *_kernel(ground), *_process(ground)] if ground.system else list(_user(ground))


def beneath(path: str, top: str) -> bool:
    """Tell whether a path is another one, or lies below it."""
    return path == top or path.startswith(top.rstrip("/") + "/")


def outermost(paths: Iterable[str]) -> tuple[str, ...]:
    """Return paths without those that lie below others: each becomes a mount, and a step crosses none."""
    found: list[str] = []
    for path in sorted(set(paths)):
        if not any(beneath(path, top) for top in found):
            found.append(path)
    return tuple(found)


def _files(ground: Ground) -> Iterator[Setting]:
    yield Setting("ProtectSystem", "strict")
    for path in ground.writes:
        yield Setting("ReadWritePaths", quoted(path))
    why = ground.home or _reason(ground, Need.HOME)
    yield Setting("ProtectHome", "read-only" if why else "yes", f"Homes can be read: {why}." if why else "")
    if ground.tmp:
        yield Setting(why=f"Temporary files are shared with the machine: {ground.tmp}.")
    else:
        yield Setting("PrivateTmp", "yes")


def _kernel(ground: Ground) -> Iterator[Setting]:
    logs, driver = Need.KERNEL_LOG in ground.needs, Need.DRIVER in ground.needs
    if driver:
        yield Setting(why=f"Devices, capabilities and system calls are open: {_reason(ground, Need.DRIVER)}.")
    elif logs:
        yield Setting("DevicePolicy", "closed", f"One device is open: {_reason(ground, Need.KERNEL_LOG)}.")
        yield Setting("DeviceAllow", "/dev/kmsg r")
    else:
        yield Setting("PrivateDevices", "yes")
    if not logs:
        yield Setting("ProtectKernelLogs", "yes")
    if not driver:
        for name in ("ProtectKernelTunables", "ProtectKernelModules", "ProtectClock"):
            yield Setting(name, "yes")
    for name in ("ProtectControlGroups", "ProtectHostname"):
        yield Setting(name, "yes")
    if not ground.local:
        yield Setting("ProtectProc", "invisible")


def _process(ground: Ground) -> Iterator[Setting]:
    yield Setting("NoNewPrivileges", "yes")
    yield from _common(ground)
    if Need.DRIVER not in ground.needs:
        for need in _CAPABILITIES:
            if need in ground.needs:
                yield Setting(why=f"{' '.join(_CAPABILITIES[need])}: {_reason(ground, need)}.")
        held = dict.fromkeys(name for need in _CAPABILITIES if need in ground.needs for name in _CAPABILITIES[need])
        # The agent reads whatever the runbook names, and root without a capability reads what is root's alone.
        yield Setting("CapabilityBoundingSet", " ".join(dict.fromkeys(("CAP_DAC_READ_SEARCH", *held))))


def _user(ground: Ground) -> Iterator[Setting]:
    yield Setting("NoNewPrivileges", "yes", "A user's systemd can't change what a process sees of the machine.")
    yield from _common(ground)


def _common(ground: Ground) -> Iterator[Setting]:
    driver = Need.DRIVER in ground.needs
    if Need.WRITE not in ground.needs:  # a directory of a group is one with setgid, and is copied as that
        yield Setting("RestrictSUIDSGID", "yes")
    for name in ("RestrictRealtime", "RestrictNamespaces", "LockPersonality"):
        yield Setting(name, "yes")
    yield Setting("RestrictAddressFamilies", _FAMILIES)
    yield Setting("SystemCallArchitectures", "native")
    if not driver:
        yield Setting("MemoryDenyWriteExecute", "yes")
        yield Setting("SystemCallFilter", "@system-service")
        yield Setting("SystemCallErrorNumber", "EPERM")
    yield Setting("LimitCORE", "0")


def _reason(ground: Ground, need: Need) -> str:
    """Return why something is left open, and who wants it; empty: nobody does."""
    names = ", ".join(f"`{name}`" for name in ground.needs.get(need, ()))
    return f"{need.value} ({names})" if names else ""


def quoted(path: str) -> str:
    """Return a path as a word of a unit: specifiers, quotes and spaces mean nothing in it.

    Raises:
        UserError: no unit can name it: systemd takes a backslash in some lists of paths as it is, in others not.
    """
    nameable(path)
    if "\\" in path or ("'" in path and '"' in path):
        raise UserError("a unit can't name this path: it has a backslash, or both kinds of quotes", where=path)
    escaped = path.replace("%", "%%")
    if not any(each in path for each in " '\";"):
        return escaped
    return f"'{escaped}'" if '"' in path else f'"{escaped}"'


def nameable(path: str) -> str:
    """Return a path, as a line of a unit may hold it.

    Raises:
        UserError: the line would end within it, or go on behind it.
    """
    if any(each < " " or each == "\x7f" or "\ud800" <= each <= "\udfff" for each in path):
        raise UserError("a unit can't name this path: it has characters that no line can hold", where=path)
    if path.endswith(("\\", " ")):
        raise UserError("a unit can't name this path: it ends with a backslash or a blank", where=path)
    return path
