"""Whether a runbook that was edited needs more than the unit leaves open that its watch runs in."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runbook.engine.errors import UserError
from runbook.engine.install import ground, unit
from runbook.engine.install.ground import Watched
from runbook.engine.install.sandbox import beneath, settings
from runbook.engine.install.systemctl import Systemd

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runbook.engine.install.sandbox import Setting
    from runbook.engine.start import Request

_OFF: Final = frozenset({"no", "false", "off", "0"})
_RANKS: Final = (
    "read-only",
    "full",
    "tmpfs",
    "closed",
    "yes",
    "true",
    "on",
    "1",
    "strict",
    "invisible",
)  # the tightest last
_CONFINE: Final = (
    *("ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "ProtectKernelLogs", "ProtectKernelTunables"),
    *("ProtectKernelModules", "ProtectClock", "ProtectControlGroups", "ProtectHostname", "ProtectProc"),
    *("NoNewPrivileges", "RestrictSUIDSGID", "RestrictRealtime", "RestrictNamespaces", "LockPersonality"),
    *("RestrictAddressFamilies", "SystemCallFilter", "MemoryDenyWriteExecute"),
)


def outgrown(requests: Sequence[Request], name: str) -> str:
    """Say what a unit keeps from runbooks that they need by now; empty where that is nothing, or it is not ours.

    Args:
        requests: what is watched.
        name: the unit, with or without .service.
    """
    full = f"{name.removesuffix('.service')}.service"
    for systemd in (Systemd(system=True), Systemd(system=False)):
        path = systemd.folder / full
        try:
            texts = [path.read_text(encoding="utf-8")]
            texts += [each.read_text(encoding="utf-8") for each in sorted(Path(f"{path}.d").glob("*.conf"))]
        except (OSError, UnicodeDecodeError):
            continue
        if unit.ours(texts[0]):
            try:
                wanted = settings(ground.ground(Watched(tuple(requests), (), system=systemd.system)))
            except UserError:
                continue  # whoever runs it says what is wrong with a `writable` tree
            tight = lacking(_given(texts), wanted)
            if tight:
                what = f"{full} keeps from the runbooks what they need by now ({', '.join(tight)})"
                return f"{what}: `runbook install` them anew"
    return ""


def lacking(given: Mapping[str, Sequence[str]], wanted: Iterable[Setting]) -> list[str]:
    """Return the settings by which a unit is tighter than it should be.

    Args:
        given: of the unit: by the setting's name what it was set to, all of it.
        wanted: what would be set now.
    """
    now: dict[str, list[str]] = {}
    for setting in wanted:
        now.setdefault(setting.name, []).append(setting.value)
    found = [name for name in _CONFINE if _tightness(given.get(name)) > _tightness(now.get(name))]
    held, needed = given.get("CapabilityBoundingSet"), now.get("CapabilityBoundingSet")
    if held is not None and (needed is None or not set(needed[-1].split()) <= set(" ".join(held).split())):
        found.append("CapabilityBoundingSet")
    if "ProtectSystem" in given and "ProtectSystem" in now:
        writes = [word for value in given.get("ReadWritePaths", ()) for word in shlex.split(value)]
        paths = [word for value in now.get("ReadWritePaths", ()) for word in shlex.split(value)]
        found += ["ReadWritePaths"] if any(not any(beneath(path, top) for top in writes) for path in paths) else []
    return found


def _tightness(values: Sequence[str] | None) -> int:
    """Return how much a setting keeps from a step; 0: nothing."""
    if not values or values[-1] in _OFF:
        return 0
    return _RANKS.index(values[-1]) + 1 if values[-1] in _RANKS else len(_RANKS)


def _given(texts: Iterable[str]) -> dict[str, list[str]]:
    """Return what units and their drop-ins set; an empty value forgets those before."""
    found: dict[str, list[str]] = {}
    for line in "\n".join(texts).splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith(("#", ";")):
            if value.strip():
                found.setdefault(name.strip(), []).append(value.strip())
            else:
                found.pop(name.strip(), None)
    return found
