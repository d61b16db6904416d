"""One signature's kinds: an Xid is as bad as its code, and each code is a trouble of its own."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.language.signatures import ACTIONS
from runbook.engine.model import Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.language.signatures import Catalogue, Signature, Xid
    from runbook.modules.logs.patterns import Pattern

_KINDS: Final = "kmsg.xid"  # the signature whose kinds are the codes of the table
_CODE: Final = "xid"  # the group that holds the code
_ANY: Final = re.compile(r"\(\?P<xid>\\d(?:\{[\d,]+\}|\+)\)")  # as its patterns say it
_PART: Final = "/"  # parts a signature's name from what its kinds call for
TELLING: Final = frozenset({_CODE, "ms"})  # the groups without which a sighting would be another
_WORST: Final = {
    "app": Severity.MEDIUM,
    "update": Severity.MEDIUM,
    "reset": Severity.HIGH,
    "reboot": Severity.CRITICAL,
    "vendor": Severity.CRITICAL,
}
_DO: Final = {
    "app": "Restart the application.",
    "update": "Update the driver or the firmware.",
    "reset": "Drain the node, end what uses the GPU, and reset it (nvidia-smi -r -i N).",
    "reboot": "Drain the node and reboot it.",
    "vendor": "Drain the node and call the vendor.",
}


def patterns(catalogue: Catalogue) -> tuple[Pattern, ...]:
    """Return what lines are held against.

    A scan tells of the first lines of each pattern. So Xids have one for each thing that they call for: a thousand that
    want an application restarted do not hide the one that wants a new GPU.
    """
    calls: dict[str, list[str]] = {}
    for xid in catalogue.xid.values():
        calls.setdefault(xid.action, []).append(str(xid.code))
    found: list[Pattern] = []
    for one in catalogue.patterns():
        if one.name == _KINDS and _ANY.search(one.regex):
            for action, codes in calls.items():
                known = f"(?P<{_CODE}>{'|'.join(codes)})"
                regex = _ANY.sub(known, one.regex)
                found.append(replace(one, name=f"{one.name}{_PART}{action}", regex=regex))
        found.append(one)
    return tuple(found)


def name(pattern: str) -> str:
    """Return the signature that a pattern belongs to."""
    return pattern.partition(_PART)[0]


def is_whole(pattern: str) -> bool:
    """Tell whether a pattern is a signature's own; where a kind's matches, that one does as well."""
    return _PART not in pattern


def kind(catalogue: Catalogue, signature: Signature, groups: Mapping[str, Any]) -> tuple[Signature, str]:
    """Return a signature as what was seen of it makes it, and the name of that kind; one without kinds as it is."""
    code = groups.get(_CODE) if signature.id == _KINDS else None
    if not isinstance(code, int | str) or not str(code).isdecimal():
        return signature, ""
    return _kinds(catalogue)(signature.id, int(code)), str(int(code))


@lru_cache(maxsize=2)
def _kinds(catalogue: Catalogue) -> Any:
    @lru_cache(maxsize=1024)
    def known(name: str, code: int) -> Signature:
        signature, xid = catalogue.signatures[name], catalogue.xid.get(code)
        return signature if xid is None else _of_xid(signature, xid, catalogue.xid)

    return known


def _of_xid(signature: Signature, xid: Xid, table: Mapping[int, Xid]) -> Signature:
    what = xid.meaning or xid.mnemonic.replace("_", " ").lower()
    lesser = [other.code for other in table.values() if _follows(other, xid)]
    return replace(
        signature,
        title=f"Xid {xid.code}: {what}" if what else f"Xid {xid.code}",
        severity=_WORST.get(xid.action, Severity.LOW),
        role="advice" if xid.action == "ignore" else signature.role,
        causes=(*signature.causes, *(f"{signature.id}:{code}" for code in lesser)),
        meaning=f"The NVIDIA driver reports {xid.mnemonic or 'a fault'} (Xid {xid.code})."
        + (f" {xid.note[:1].upper()}{xid.note[1:]}." if xid.note else ""),
        advice=_DO.get(xid.action, signature.advice),
        action=xid.action,
    )


def _follows(other: Xid, xid: Xid) -> bool:
    """Tell whether a code, seen with another, is that one's consequence: the worse decides, or the table says which."""
    if other.code == xid.code or {"*", str(other.code)} & set(xid.companions):
        return False
    return bool({"*", str(xid.code)} & set(other.companions)) or _cost(other) < _cost(xid)


def _cost(xid: Xid) -> int:
    return ACTIONS.index(xid.action) if xid.action in ACTIONS else 0
