"""Requests to an agent, and its answers as the ground's types."""

from __future__ import annotations

import contextlib
from dataclasses import field
from typing import TYPE_CHECKING, Any

from runbook.engine.fleet import code
from runbook.engine.model import UNKNOWN, Lacking, Look, NotSeen, Outcome, Record, Seen, StepStatus
from runbook.modules.frozen import frozen
from runbook.modules.host import boot_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runbook.engine.model import Order

_PLAIN = frozenset({bool, int, float, type(None)})
_DEEPEST = 96  # levels of mappings and lists in an answer; its fields have 64 at most


@frozen
class Spec:
    """One look that is asked for."""

    id: str  # whatever the asker calls it
    probe: str
    params: Mapping[str, Any] = field(default_factory=dict)  # typed values
    state: Mapping[str, Any] = field(default_factory=dict)  # what the probe kept at its last look
    deadline: float = 30.0
    python: str | None = None  # the interpreter on the host that looks
    listen: str = ""  # under which key the agent is to tell that what is looked at stirs; "" = it does not


@frozen
class Claim:
    """The lease under which a step acts on its subject, as the host is told of it."""

    journal: str  # its id; epochs are compared among those of one journal
    epoch: int
    owner: str  # who holds it, for those that have to wait
    lasts: float  # seconds
    beside: bool = False  # other steps of the same recovery act on the subject at the same time


@frozen
class Errand:
    """A step that a host is sent on."""

    intent: str  # the id under which it is done once
    order: Order
    claim: Claim | None = None  # without one it only waits for whoever acts on its subject
    subject: str = ""
    writable: Sequence[str] = ()  # trees
    check: bool = False  # only say what it would do
    diff: bool = False  # tell what it changes in files


def probe(specs: Iterable[Spec]) -> dict[str, Any]:
    """Ask for looks; the conversation says it in as many words as its agent needs."""
    return {"op": "probe", "asked": tuple(specs)}


def whole(specs: Iterable[Spec]) -> dict[str, Any]:
    """Return a request for looks in all its words."""
    asked: list[dict[str, Any]] = [
        {
            "id": spec.id,
            "probe": spec.probe,
            "params": dict(spec.params),
            "state": dict(spec.state),
            "deadline": spec.deadline,
            **({"python": spec.python} if spec.python else {}),
            **({"listen": spec.listen} if spec.listen else {}),
            **code.of("probe", spec.probe, spec.params),
        }
        for spec in specs
    ]
    return {"op": "probe", "specs": asked, **code.layers(asked)}


def run(errand: Errand) -> dict[str, Any]:
    """Ask for a step."""
    order, subject = errand.order, errand.subject
    known = code.of("step", order.module, order.params)
    return {
        "op": "run",
        **({"python": order.python} if order.python else {}),
        **known,
        **code.layers([{**known, "python": order.python}]),
        "intent": errand.intent,
        "claim": None if errand.claim is None else _claim(errand.claim),
        "subject": subject,
        "about": {**order.about, "subject": subject, "controller": boot_id()},
        "step": order.module,
        "params": dict(order.params),
        "host_text": sorted(order.host_text),
        "secret": sorted(order.secret),
        "hide": sorted(order.hide),
        "writable": list(errand.writable),
        "timeout": order.timeout,
        "check": errand.check,
        "diff": errand.diff,
    }


def ask(intent: str, at: float | None = None) -> dict[str, Any]:
    """Ask what became of an intent that was made then; one that has not begun never will after this."""
    return {"op": "ask", "intent": intent, "at": at}


def hold(subject: str, claim: Claim) -> dict[str, Any]:
    """Ask that a claim last on, though no step acts at the moment."""
    return {"op": "hold", "subject": subject, "claim": _claim(claim)}


def release(subject: str, claim: Claim) -> dict[str, Any]:
    """Give a claim back: the recovery is over."""
    return {"op": "release", "subject": subject, "claim": _claim(claim)}


def listen() -> dict[str, Any]:
    """Ask that the agent tell by itself when what was looked at stirs, for as long as the connection lives."""
    return {"op": "listen"}


def undo(intent: str, writable: Sequence[str]) -> dict[str, Any]:
    """Ask for the undo of an intent."""
    return {"op": "undo", "intent": intent, "writable": list(writable)}


def looks(message: Mapping[str, Any]) -> dict[str, Look]:
    """Return what was seen, by the ids of the specs."""
    return {str(look["id"]): _look(look) for look in message["looks"]}


def heard(message: Mapping[str, Any]) -> dict[str, bool | str]:
    """Return whether what a look saw is listened to, by the ids of the specs: True, or why it is only polled.

    Looks that nobody listens for, and those at what can't be heard at all, are left out.
    """
    return {
        str(look["id"]): look["heard"] if look["heard"] is True else _text(look["heard"])
        for look in message["looks"]
        if "heard" in look
    }


def outcome(message: Mapping[str, Any]) -> Outcome:
    """Return how a step ended, from the answer to `run`, `undo` or `ask`.

    What an agent knows nothing of is LOST; `data["begun"]` says whether the host had begun it.
    """
    known = message.get("known", "result")
    if known != "result" or message.get("result") is None:
        status = StepStatus.RUNNING if known == "running" else StepStatus.LOST
        return Outcome(status, data={"begun": bool(message.get("begun"))}, error=_text(message.get("error", "")))
    result = printable(message["result"])
    return Outcome(
        status=StepStatus(result["status"]),
        changed=bool(result["changed"]),
        error=result["error"],
        output=result["output"],
        exit_code=result["exit_code"],
        data=result["data"],
        actions=tuple(result["actions"]),
        diff=result["diff"],
        duration=float(result["duration"]),
    )


def _claim(claim: Claim) -> dict[str, Any]:
    return {
        "journal": claim.journal,
        "epoch": claim.epoch,
        "owner": claim.owner,
        "lasts": claim.lasts,
        "beside": claim.beside,
    }


def _look(look: Mapping[str, Any]) -> Look:
    status = look["status"]
    if status == "seen":
        records = tuple([Record(_text(record["subject"]), _fields(record)) for record in look["records"]])
        return Seen(records, look["state"])
    reason = _text(look["reason"])
    return Lacking(reason) if status == "absent" else NotSeen(reason)


def _fields(record: Mapping[str, Any]) -> dict[str, Any]:
    unseen = record.get("unseen", ())
    found: dict[str, Any] = record["fields"]
    for value in found.values():
        if type(value) not in _PLAIN and not (type(value) is str and value.isascii()):
            found = {name: value if type(value) in _PLAIN else printable(value) for name, value in found.items()}
            break
    return {**found, **{name: UNKNOWN for name in unseen if name in found}} if unseen else found


def printable(value: Any, levels: int = _DEEPEST) -> Any:
    """Return a value whose texts can be printed and stored: a file's name may hold bytes that are no UTF-8.

    What is nested more deeply than anything that an agent of ours sends is left out.
    """
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | dict) and not levels:
        return "…"
    if isinstance(value, list):
        return [printable(item, levels - 1) for item in value]
    if isinstance(value, dict):
        return {_text(name): printable(item, levels - 1) for name, item in value.items()}
    return value


def _text(text: str) -> str:
    if text.isascii():
        return text
    with contextlib.suppress(UnicodeEncodeError):
        text.encode()
        return text
    return text.encode("utf-8", "surrogateescape" if _escaped(text) else "replace").decode("utf-8", "replace")


def _escaped(text: str) -> bool:
    return all(not "\ud800" <= letter <= "\udfff" or "\udc80" <= letter <= "\udcff" for letter in text)
