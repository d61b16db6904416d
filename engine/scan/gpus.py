"""What lines of the kernel say of GPUs: which one, what it needs by the driver's own verdict, its table or the user."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.detect.lineage import REACH
from runbook.engine.language.chosen import xid_table
from runbook.engine.language.signatures import ACTIONS
from runbook.engine.model import Severity
from runbook.engine.scan import xid_words
from runbook.modules import nvml, xid
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from runbook.engine.language.signatures import Catalogue, Signature, Xid
    from runbook.modules.logs.scan import Spot

_ABOUT_ONE: Final = ("kmsg.xid*", "kmsg.fallen_off_bus*")  # an address in others is a switch's, a port's, a disk's
_VERDICT: Final = "kmsg.xid154"
VERDICT_CODE: Final = 154
_LINES: Final = 1000  # between two lines without times that are about one trouble of a GPU
_NOTHING: Final = "ignore"
_SEVERITIES: Final = {
    "app": Severity.MEDIUM,
    "update": Severity.MEDIUM,
    "reset": Severity.HIGH,
    "reboot": Severity.CRITICAL,
    "vendor": Severity.CRITICAL,
}
_NEEDS: Final = {
    "update": "a newer driver or firmware",
    "reset": "a reset",
    "reboot": "a reboot of its node",
    "vendor": "the vendor",
}
_DO: Final = {
    "app": "Restart the application.",
    "update": "Update the driver or the firmware.",
    "reset": "Drain the node, end what uses the GPU, and reset it (`nvidia-smi -r -i {gpu}`).",
    "reboot": "Drain the node and reboot it; a reset of the GPU is not enough.",
    "vendor": "Drain the node, keep `nvidia-bug-report.sh`, and call the vendor.",
}
_PEER: Final = (
    "End what uses peer-to-peer transfers with it, then see what it needs "
    "(`nvidia-smi -q -i {gpu} | grep -i recovery`)."
)
_DRAIN: Final = "Give the node no new work, let the present end, then reset the GPU (`nvidia-smi -r -i {gpu}`)."
_UNKNOWN: Final = "Drain the node, and read the line: this number is not known here."
_NUMBERS: Final = {  # of Xid 154: what the driver asks for, the action, what to do
    1: ("a reset of the GPU", "reset", _DO["reset"]),
    2: ("a reboot of the node", "reboot", _DO["reboot"]),
    3: ("an end of peer-to-peer use", "app", _PEER),
    4: ("a drain, then a reset of the GPU", "reset", _DRAIN),
}
_PENDING: Final = {63: "", 94: "Restart the application. "}  # a row of memory is replaced at the next reset
_IDLE: Final = "Once nothing uses the GPU, reset it (`nvidia-smi -r -i {gpu}`): its memory is mended only then."


@frozen
class Fault:
    """What one line says of a GPU."""

    code: int | None = None  # of an Xid
    device: str = ""  # its PCI address, in one form; empty where the line does not say
    action: str | None = None  # what it calls for, beside what else was said of that GPU at the time
    ruled: int | None = None  # the driver's own verdict by which it does
    host: str = ""  # that the GPU is in, where lines of several hosts are read

    @property
    def subject(self) -> str:
        """What the line is about: a GPU, of one host or of several."""
        return f"{self.host} {self.device}" if self.host and self.device else self.device


@frozen
class Told:
    """A line of a log that may be about a GPU."""

    signature: Signature
    source: str
    spot: Spot


def tells(signature: Signature) -> bool:
    """Tell whether a signature's lines are about one GPU."""
    return any(fnmatchcase(signature.id, glob) for glob in _ABOUT_ONE)


def address(signature: Signature, groups: Mapping[str, Any]) -> str:
    """Return the address of the GPU that a line is about, in one form; empty where it names none."""
    written = groups.get("pci") if tells(signature) else None
    return (nvml.address(written) or "") if isinstance(written, str) else ""


def named(signature: Signature, line: str) -> tuple[int | None, str]:
    """Return the code of an Xid in a line, and the address of its GPU, as far as they are told."""
    found = xid.LINE.search(line) if tells(signature) else None
    return (None, "") if found is None else (int(found["code"]), nvml.address(found["pci"]) or "")


def code(signature: Signature, groups: Mapping[str, Any]) -> int | None:
    """Return the code of an Xid."""
    said = str(groups.get("xid", "")) if tells(signature) else ""
    return int(said) if said.isdecimal() else None


def faults(catalogue: Catalogue, lines: Sequence[Told]) -> list[Fault]:
    """Return what each line says of a GPU; what was said of the same one at about the same time counts too."""
    found = [Fault()] * len(lines)
    by_device: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    several = len({line.spot.host for line in lines if line.spot.host and tells(line.signature)}) > 1
    for place, line in enumerate(lines):
        if tells(line.signature):
            host = line.spot.host if several else ""  # a log of one host may name it in one file and not in another
            by_device[host, address(line.signature, line.spot.groups)].append(place)
    for (host, device), places in by_device.items():
        for burst in _bursts(lines, places):
            _settle(catalogue, lines, burst, Fault(device=device, host=host), found)
    return found


def _bursts(lines: Sequence[Told], places: Iterable[int]) -> Iterator[list[int]]:
    """Part what was said of a GPU where nothing was said for two minutes, or for many lines."""
    timed: list[tuple[str, float, int]] = []
    for place in places:
        spot = lines[place].spot
        if spot.time is not None:
            timed.append(("", spot.time / REACH, place))
        else:
            timed.append((lines[place].source, (spot.line_no or 0) / _LINES, place))
    burst: list[int] = []
    before = ("", float("-inf"))
    for source, at, place in sorted(timed):
        if burst and (source != before[0] or at - before[1] > 1):
            yield burst
            burst = []
        burst.append(place)
        before = (source, at)
    if burst:
        yield burst


def _settle(
    catalogue: Catalogue, lines: Sequence[Told], burst: Sequence[int], whose: Fault, found: list[Fault]
) -> None:
    """Fill in what the lines of a burst call for, as the agent would where they come in."""
    ruled = None
    events = []
    for place in burst:
        line = lines[place]
        number = _number(line)
        ruled = number or ruled
        if number != 0 or line.signature.id != _VERDICT:  # that all is well again takes nothing back from a report
            events.append((place, {**line.spot.groups, "line": line.spot.line, "signature": line.signature.id}))
        else:
            found[place] = replace(whose, code=VERDICT_CODE, action=_NOTHING, ruled=0)
    xid.settle([event for _, event in events], _travelled(catalogue), 0.0, ask=dict, job=lambda _pid, _time: None)
    for place, event in events:
        signature = lines[place].signature
        own = code(signature, event)
        known = catalogue.xid.get(own) if own is not None else None
        verdict = None if known is not None and known.files else ruled  # the user's word comes first
        ruling = verdict if whose.device else None
        found[place] = replace(whose, code=own, action=event.get("action"), ruled=ruling)


@lru_cache(maxsize=2)
def _travelled(catalogue: Catalogue) -> dict[str, Any]:
    """Return what the agent would be given."""
    actions = {name: known.action for name, known in catalogue.signatures.items() if known.action is not None}
    return {"xid": xid_table(catalogue), "actions": actions}


def _number(line: Told) -> int | None:
    """Return the driver's verdict, where this is the line that tells it."""
    said = line.spot.groups.get("code") if line.signature.id == _VERDICT else None
    try:
        return None if said is None else int(str(said), 16)
    except ValueError:
        return None


def kind(signature: Signature, fault: Fault, xid: Xid | None) -> Signature:
    """Return a signature as what a line says of a GPU makes it."""
    if signature.id == _VERDICT:
        return _verdict(signature, fault)
    action, asked = fault.action or signature.action, _NUMBERS.get(fault.ruled or 0)
    pending = xid is not None and not xid.files and xid.code in _PENDING and action in {_NOTHING, "app"}
    if asked is not None:
        advice, needs = asked[2], f" The driver asks for {asked[0]} (Xid 154)."
    elif pending:
        advice, needs = _PENDING[fault.code or 0] + _IDLE, " This GPU needs a reset, which can wait."
    else:
        advice = signature.advice if action == signature.action else _DO.get(action or "", signature.advice)
        needs = f" This GPU needs {_NEEDS[action]}." if action in _NEEDS and fault.code is not None else ""
    severity = signature.severity
    if fault.code is not None or asked is not None:
        lesser = Severity.MEDIUM if pending else Severity.LOW
        severity = _SEVERITIES.get(action or "", lesser)
    nothing = action == _NOTHING and not pending and not (xid is not None and xid.companions)
    return replace(
        signature,
        title=_title(signature, fault, xid),
        severity=severity,
        role="advice" if nothing else signature.role,
        meaning=(xid_words.meaning(xid) if xid is not None else signature.meaning) + needs,
        advice=_addressed(advice, fault.device),
        action=action,
    )


def _title(signature: Signature, fault: Fault, xid: Xid | None) -> str:
    if fault.code is None:
        return f"{signature.title}: {_gpu(fault)}" if fault.device else signature.title
    on = f" on GPU {_gpu(fault)}" if fault.device else ""
    what = "a code that is in no table"
    if xid is not None:
        what = xid.meaning.partition(", due to")[0] or xid.mnemonic.replace("_", " ").lower()
    return f"Xid {fault.code}{on}: {what}" if what else f"Xid {fault.code}{on}"


def _gpu(fault: Fault) -> str:
    return f"{fault.device} of {fault.host}" if fault.host else fault.device


def _verdict(signature: Signature, fault: Fault) -> Signature:
    """Return the line by which the driver says what a GPU needs, as it says it."""
    on = f"GPU {_gpu(fault)}" if fault.device else "a GPU"
    if fault.ruled == 0:
        return replace(signature, role="advice", severity=Severity.LOW, action=_NOTHING)
    if fault.ruled is None:
        return replace(signature, title=f"{signature.title}: {_gpu(fault)}") if fault.device else signature
    unknown = (f"what has the number {fault.ruled}", "vendor", _UNKNOWN)
    what, action, advice = _NUMBERS.get(fault.ruled, unknown)
    return replace(
        signature,
        title=f"{on}: the driver asks for {what} (Xid 154)",
        severity=_SEVERITIES[action],
        meaning="The driver says itself what this GPU needs, which goes before any table. Another Xid of it just "
        "before says why.",
        advice=_addressed(advice, fault.device),
        action=action,
    )


def _addressed(advice: str, device: str) -> str:
    return advice.replace("{gpu}", f"{device}.0" if device else "N")


def rank(action: str | None) -> int:
    """Return what an action costs, in order."""
    return ACTIONS.index(action) if action in ACTIONS else -1
