"""One signature's kinds: an Xid is as bad as its code, and each code is a trouble of its own."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.language.signatures import ACTIONS
from runbook.engine.model import Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.language.signatures import Catalogue, Signature, Xid

_CODE: Final = "xid"  # the group that holds a code of the table
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


def kind(catalogue: Catalogue, signature: Signature, groups: Mapping[str, Any]) -> tuple[Signature, str]:
    """Return a signature as what was seen of it makes it, and the name of that kind; one without kinds as it is."""
    code = groups.get(_CODE)
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
