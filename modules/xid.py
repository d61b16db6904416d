"""What lines of the NVIDIA driver call for, and whom they are about: `action`, `gpu` and `job` of a log's records.

In this order: what the user wrote for a code, the driver's own verdict, the table. The driver's verdict is what NVML
says of the GPU now, for lines of the last minutes, or the line of Xid 154 about the same GPU. A verdict of "none" takes
back a reset or a reboot that a line called for ten seconds ago or earlier, and nothing else: that a cable is loose is
none of its business.
"""

import re
from functools import lru_cache
from typing import Any, Callable, Dict, Literal, Mapping, Optional, Sequence, Set

from runbook.modules import gpus, jobs, nvml

Action = Literal["ignore", "app", "update", "reset", "reboot", "vendor"]  # by what they cost
ORDER = ("ignore", "app", "update", "reset", "reboot", "vendor")
UNLISTED = "vendor"  # codes that are in no table are the support's
FRESH = 600.0  # seconds for which a line is about the GPU as it is now
JUDGED = 10.0  # seconds after which the driver has said what it needs: that it needs nothing may be said too early
VERDICTS: Mapping[str, str] = {  # NVML's words
    "NONE": "none",
    "GPU_RESET": "reset",
    "NODE_REBOOT": "reboot",
    "DRAIN_P2P": "app",
    "DRAIN_AND_RESET": "reset",
    "BUS_RESET": "reboot",
    "SYSTEM_REBOOT": "reboot",
}
_NUMBERS = {0: "none", 1: "reset", 2: "reboot", 3: "app", 4: "reset"}  # of Xid 154; its texts differ by version
_VERDICT_CODE = 154
_NVLINK5 = range(144, 151)
_REGISTERS = re.compile(r"\((?P<intr>0x[0-9a-fA-F]{1,8})\s+(?P<status>0x[0-9a-fA-F]{1,8})\b")
_CRASHES = {"RLW_REMAP": 0x3F, "RLW_SRC_TRACK": 0x0C}  # bits of the status by which such a unit ended the application
_QUIET = {149: (38, 40)}  # sub-codes of links that a user, or the host, took down
LINE = re.compile(r"\bXid:? {1,4}\((?:PCI:)?(?P<pci>[0-9a-fA-F:.]{5,20})[^)]{0,20}\): {1,3}(?P<code>\d{1,4})\b")
_CHANGED = re.compile(r"recovery action changed from 0x\w{1,8} \([^)]{0,80}\) to 0x(?P<number>[0-9a-fA-F]{1,8})")
_PID = re.compile(r"\bpid=(?P<pid>\d{1,10})\b")
Event = Dict[str, Any]  # a record's fields: line, time, signature, and the named groups


def settle(
    events: Sequence[Event],
    travelled: Mapping[str, Any],
    now: float,
    ask: Callable[[], Mapping[str, Mapping[str, Any]]] = gpus.by_address,
    job: Callable[[int, Optional[float]], Optional[int]] = jobs.of_process,
) -> None:
    """Fill in `action`, `gpu` and `job` of a look's records, as far as they are not told by a group of their own.

    Args:
        events: the fields of the records, in order; they are changed.
        travelled: what came with the signatures (`xid`, `actions`).
        now: seconds since the epoch.
        ask: tells the GPUs by their addresses; asked once, and only where a line names one.
        job: tells the job of a process.
    """
    told = [_Told(event, travelled) for event in events]
    known = ask() if any(one.pci is not None for one in told) else {}
    said: Dict[Optional[str], str] = {one.pci: one.changed for one in told if one.changed is not None}
    codes: Dict[Optional[str], Set[Optional[int]]] = {}
    for one in told:
        codes.setdefault(one.pci, set()).add(one.code)
    job = lru_cache(maxsize=1024)(job)  # a storm of lines names few processes
    for event, one in zip(events, told):
        if one.pci is not None and event.get("gpu") is None:
            event["gpu"] = known.get(one.pci, {}).get("index", one.pci if one.nvidia else None)
        if event.get("job") is None:
            event["job"] = _job(event, job)
        if "intr" in event:
            event["subcode"] = _subcode(event["intr"])
        action = one.action(codes[one.pci] - {one.code})
        if action is None or one.ours or one.changed is not None:
            event["action"] = event.get("action") if action is None else action
            continue
        verdict = VERDICTS.get(known.get(one.pci or "", {}).get("recovery_action", ""))
        event["action"] = _ruled(action, verdict if _counts(verdict, event, now) else said.get(one.pci))


class _Told:
    """What one line says."""

    def __init__(self, event: Event, travelled: Mapping[str, Any]) -> None:
        line = str(event.get("line", ""))
        self._table: Mapping[str, Mapping[str, Any]] = travelled.get("xid") or {}
        self._own = (travelled.get("actions") or {}).get(event.get("signature"))
        found = LINE.search(line) if self._table else None
        code = str(event.get("xid") or (found["code"] if found is not None else ""))
        self.code = int(code) if self._table and code.isdecimal() and len(code) < 5 else None
        written = event.get("pci") or (found["pci"] if found is not None else None)
        self.pci = nvml.address(written) if isinstance(written, str) else None
        self.nvidia = self.code is not None or "NVRM" in line  # and not the address of a disk or a network card
        self.changed: Optional[str] = None  # the driver's verdict, where this is the line that tells it
        change = _CHANGED.search(line) if self.code == _VERDICT_CODE else None
        if change is not None:
            self.changed = _NUMBERS.get(int(change["number"], 16))
        self._link = _nvlink5(self.code, line)
        self._entry = self._table.get(str(self.code), {})

    @property
    def ours(self) -> bool:
        """Whether the user says what this code calls for."""
        return bool(self._entry.get("ours"))

    def action(self, others: Set[Optional[int]]) -> Optional[str]:
        """Return what the line calls for by the user's word or the table; `others` are the GPU's other codes."""
        if self.code is None:
            return self._own
        if self.ours:
            return str(self._entry["action"])
        if self.changed is not None:
            return "ignore" if self.changed == "none" else self.changed
        if self._link is not None:
            return self._link
        with_others = self._entry.get("with", {})
        codes = {str(code) for code in others if code not in (None, _VERDICT_CODE)}
        decided = [with_others.get(code, with_others.get("*")) for code in codes]
        actions = [action for action in decided if action is not None]
        return max(actions, key=_rank) if actions else str(self._entry.get("action", UNLISTED))


def _nvlink5(code: Optional[int], line: str) -> Optional[str]:
    """Return what an NVLink5 error calls for by the rest of its line, as NVIDIA decodes it; None = by its code."""
    if code not in _NVLINK5:
        return None
    found = _REGISTERS.search(line)
    if re.search(r"\bNon-?fatal\b", line, re.IGNORECASE) is not None:
        status = int(found["status"], 16) if found is not None else 0
        return "app" if any(unit in line and status & bits for unit, bits in _CRASHES.items()) else "ignore"
    quiet = found is not None and _subcode(found["intr"]) in _QUIET.get(code or 0, ())
    return "ignore" if quiet else None


def _counts(verdict: Optional[str], event: Event, now: float) -> bool:
    """Tell whether the driver says something now that is about a line: it is not old, and there was time to judge."""
    if verdict is None:
        return False
    time = event.get("time")
    if not isinstance(time, (int, float)):
        return verdict != "none"
    return now - time < FRESH and (verdict != "none" or now - time >= JUDGED)


def _ruled(action: str, verdict: Optional[str]) -> str:
    """Return what a line calls for once the driver has spoken."""
    if verdict is None:
        return action
    if verdict == "none":
        return "app" if action in ("reset", "reboot") else action
    return verdict


def _rank(action: str) -> int:
    return ORDER.index(action) if action in ORDER else len(ORDER)


def _job(event: Event, job: Callable[[int, Optional[float]], Optional[int]]) -> Any:
    for name in ("task_memcg", "memcg", "cgroup"):
        found = jobs.of_cgroup(str(event.get(name) or ""))
        if found is not None:
            return found
    pid = event.get("pid")
    if pid is None:
        line = str(event.get("line", ""))
        written = _PID.search(line) if LINE.search(line) is not None else None
        pid = written["pid"] if written is not None else None
    if pid is None or not str(pid).isdigit() or len(str(pid)) > 10:
        return None
    time = event.get("time")
    return job(int(pid), float(time) if isinstance(time, (int, float)) else None)


def _subcode(written: Any) -> Optional[int]:
    """Return the sub-code of an NVLink5 error: six bits of its interrupt information."""
    try:
        return (int(str(written), 16) >> 20) & 0x3F
    except ValueError:
        return None
