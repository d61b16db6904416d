"""One signature's kinds: an Xid is as bad as its code, and each code is a trouble of its own."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.scan import gpus
from runbook.modules import jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runbook.engine.language.signatures import Catalogue, Signature, Xid
    from runbook.engine.scan.gpus import Fault
    from runbook.modules.logs.patterns import Pattern

_KINDS: Final = "kmsg.xid"  # the signature whose kinds are the codes of the table
_CODE: Final = "xid"  # the group that holds the code
_ANY: Final = re.compile(r"\(\?P<xid>\\d(?:\{[\d,]+\}|\+)\)")  # as its patterns say it
_STEP: Final = re.compile(r"(\d{1,12})(?:\.\w+)?$")  # 7.batch
_PART: Final = "/"  # parts a signature's name from what its kinds call for
TELLING: Final = frozenset({_CODE, "pci", "code", "ms", "step", "memcg", "task_memcg"})
"""The groups without which a sighting would be another."""


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


def kind(catalogue: Catalogue, signature: Signature, fault: Fault) -> tuple[Signature, str]:
    """Return a signature as what was seen of it makes it, and the name of that kind; one without kinds as it is."""
    if not gpus.tells(signature):
        return signature, ""
    return _kinds(catalogue)(signature, fault), "" if fault.code in {None, gpus.VERDICT_CODE} else str(fault.code)


@lru_cache(maxsize=2)
def _kinds(catalogue: Catalogue) -> Callable[[Signature, Fault], Signature]:
    table = catalogue.xid

    @lru_cache(maxsize=4096)
    def known(signature: Signature, fault: Fault) -> Signature:
        xid = table.get(fault.code) if fault.code is not None else None
        told = gpus.kind(signature, fault, xid)
        if signature.id != _KINDS or xid is None:
            return told
        lesser = (f"{_KINDS}:{other.code}" for other in table.values() if _follows(other, xid))
        return replace(told, causes=(*told.causes, *lesser))

    return known


def _follows(other: Xid, xid: Xid) -> bool:
    """Tell whether a code, seen with another, is that one's consequence: the worse decides, or the table says which."""
    if other.code == xid.code or {"*", str(other.code)} & set(xid.companions):
        return False
    return bool({"*", str(xid.code)} & set(other.companions)) or _cost(other) < _cost(xid)


def _cost(xid: Xid) -> int:
    return max(0, gpus.rank(xid.action))


def job(groups: Mapping[str, Any]) -> str:
    """Return whose job a line is about, where it says so; an array's are numbered in ways that can't be compared."""
    step = _STEP.match(str(groups.get("step") or ""))
    if step is not None:
        return step[1]
    for name in ("task_memcg", "memcg"):
        if (found := jobs.of_cgroup(str(groups.get(name) or ""))) is not None:
            return str(found)
    return ""
