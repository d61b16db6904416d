"""One step from order to result, in a process of its own: its subject's lock, its records, its plan, its actions."""

import errno
import gc
import os
import signal
import sys
import time
from typing import Any, Dict, List, Mapping, NoReturn, Optional, Sequence, Tuple, Type

from runbook.modules import catalogue, cut, look, mask, needs, values, wire
from runbook.modules.acting import tree
from runbook.modules.acting.hands import Hands
from runbook.modules.acting.perform import Performance, planned, undo_all
from runbook.modules.child import Write
from runbook.modules.declare import Failed, Invalid, NotYet, Refused, Step, Unclear
from runbook.modules.host import Host, boot_id
from runbook.modules.ledger import Ledger
from runbook.modules.wire import result

_OURS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM})  # not theirs
_PROGRESS = 0.25  # seconds between two words of progress
_MANY = 100_000  # things made between two looks for garbage: a plan of many files is none, and is soon over
_TOLD = 500  # characters of progress
_OTHERS = 300.0  # seconds for which what ends this boot waits for other steps to end
_LOOK = 0.2  # seconds between two looks at them
_PATIENCE = 0.9  # of a step's time may be spent on waiting for its subject


class TimedOut(BaseException):
    """The step's time is over; not an Exception, so that no module can swallow it."""


def run(order: Mapping[str, Any], ledger: Ledger, write: Write) -> None:
    """Carry out a `run` request and say how it ended."""
    known = set(sys.modules)
    gc.set_threshold(_MANY)
    _alarm(order["timeout"])
    try:
        answer = _planned(order, ledger, write) if order.get("check") else _once(order, ledger, write)
    except Refused as error:
        answer = result("refused", str(error), data=getattr(error, "data", {}))
    except TimedOut:
        answer = result("timeout", _late(order["timeout"]))
    _tell(write, answer, known)


def undo(order: Mapping[str, Any], ledger: Ledger, write: Write) -> None:
    """Carry out an `undo` request: the undos of an intent, the last first."""
    known = set(sys.modules)
    _alarm(order["timeout"])
    intent = str(order["intent"])
    undos = ledger.undos(intent)
    about = ledger.about(intent)
    hands = _hands(order, lambda _: None, write)
    try:
        with ledger.subject(str(about.get("subject", "")), None, _PATIENCE * order["timeout"]):
            answer = _ended(hands, lambda: undo_all(hands, undos), order["timeout"])
    except Refused as error:
        answer = result("refused", str(error))
    except TimedOut:
        answer = result("timeout", _late(order["timeout"]))
    if answer["status"] == "done":
        ledger.undone(intent)
    _tell(write, answer, known)


def _once(order: Mapping[str, Any], ledger: Ledger, write: Write) -> Dict[str, Any]:
    """Do what was not begun before; what was is answered from the ledger."""
    intent, subject, claim = str(order["intent"]), str(order.get("subject", "")), order.get("claim")
    known = ledger.known(intent)
    if known.result is not None:
        return known.result
    if known.begun:
        return result(known.state, f"intent {intent} was begun before and is not done twice")
    with ledger.subject(subject, claim, _PATIENCE * order["timeout"]):
        runbook = (order.get("about") or {}).get("runbook")
        about = {"subject": subject, "claim": claim, "step": order["step"], "runbook": runbook}
        held = ledger.start(intent, {**about, **_boot(order, ledger)})
        try:
            hands = _hands(order, lambda undo: ledger.keep_undo(intent, undo), write)
            answer = _ended(hands, lambda: _carry_out(order, ledger, hands), order["timeout"])
            ledger.result(intent, answer)
        finally:
            os.close(held)
    return answer


def _boot(order: Mapping[str, Any], ledger: Ledger) -> Dict[str, str]:
    """Return what the ledger keeps of a step that ends this boot: whoever finds another one knows that it is done.

    Other steps that are in hand on this host, of whatever recovery or operation, are awaited before.
    """
    if order["step"] not in catalogue.step_names() or not catalogue.step(order["step"]).reboots:
        return {}
    if order.get("claim") is None:
        raise Refused(f"`{order['step']}` is part of a recovery only: write it into a detector's `recover`")
    until = time.monotonic() + min(_OTHERS, _PATIENCE * order["timeout"])
    while others := ledger.in_hand():
        if time.monotonic() > until:
            raise Refused(f"{', '.join(others[:3])} goes on here: {order['step']} would cut it short")
        time.sleep(_LOOK)
    return {"boot": boot_id()}


def _planned(order: Mapping[str, Any], ledger: Ledger, write: Write) -> Dict[str, Any]:
    hands = _hands(order, lambda _: None, write)
    answer = _ended(hands, lambda: _carry_out(order, ledger, hands), order["timeout"])
    return {**answer, "status": "planned"} if answer["status"] == "done" else answer


def _ended(hands: Hands, work: Any, timeout: float) -> Dict[str, Any]:
    """Do the work and say how it ended, whatever happened."""
    status, error = "done", ""
    began = time.monotonic()
    try:
        work()
        _silence()
    except TimedOut as problem:
        from runbook.modules import layers

        place = layers.own_place(problem)
        status, error = "timeout", f"{_late(timeout)}{f'; it was at {place}' if place else ''}"
    except (Refused, Invalid) as problem:
        status, error = "failed" if hands.touched else "refused", str(problem)
    except (Failed, Unclear) as problem:
        status, error = "failed", str(problem)
        hands.data.update(getattr(problem, "data", {}))
    except SystemExit as problem:
        from runbook.modules import layers

        place = layers.own_place(problem)
        status, error = (
            "failed",
            f"sys.exit({problem.code!r}) was called{f' ({place})' if place else ''}; raise `Failed`",
        )
    except OSError as problem:
        where = f"{problem.filename}: " if problem.filename else ""
        if problem.errno in _OURS:
            hands.data["local"] = True
        status, error = "failed", f"{where}{problem.strerror or problem}"
    except Exception as problem:  # noqa: BLE001 -- whatever a module does, the step has an end
        import traceback

        from runbook.modules import layers

        sys.stderr.write(hands.mask.text(traceback.format_exc()))
        place = layers.own_place(problem)
        status, error = "failed", f"{type(problem).__name__}: {problem}{f' ({place})' if place else ''}"
    finally:
        _silence()
        hands.close()
    answer = result(
        status,
        error,
        changed=any(action["changed"] for action in hands.actions) or (hands.touched and status != "done"),
        output=hands.output.text(),
        exit_code=hands.exit_code,
        data=hands.data,
        actions=hands.actions,
        diff="".join(hands.diffs),
        duration=time.monotonic() - began,
    )
    said = {name: hands.mask.value(answer[name]) for name in ("error", "data", "actions", "diff")}
    return {**answer, **said}  # the output was masked before it was cut


def _carry_out(order: Mapping[str, Any], ledger: Ledger, hands: Hands) -> None:
    cls, newer = _class(order)
    if cls.engine:
        raise Refused(f"`{order['step']}` is carried out by the controller, not by a host")
    module = values.build(cls, order.get("params") or {})
    lacking = needs.missing(module.needed(), newer)
    if lacking:
        raise Refused(lacking)
    for path in values.paths(module, {*order.get("host_text", ()), *cls.writes}):
        tree.inside(path, hands.writable)
    host = Host(
        writable=hands.writable, base=ledger.base, about=order.get("about") or {}, hide=tuple(order.get("hide") or ())
    )
    try:
        actions = planned(module, host)
    except NotYet as error:
        if not order.get("check"):
            raise
        hands.actions.append(_told("note", f"do what can't be foreseen: {error}"))
        return
    performance = Performance(hands, actions)
    if order.get("check"):
        performance.check()
    else:
        performance.carry_out()
        hands.data.update(module.report(host))
    hands.actions += [_told("note" if actions else "nothing", text) for text in host.notes]


def _told(action: str, what: str) -> Dict[str, Any]:
    return {"action": action, "what": what, "changed": False}


def _class(order: Mapping[str, Any]) -> Tuple[Type[Step], Sequence[Tuple[str, str]]]:
    """Return a step's class, and what its layers leave out under this Python."""
    code = order.get("code")
    if code is None:
        try:
            return catalogue.step(order["step"]), ()
        except KeyError as error:
            raise Refused(f"this host's agent knows no step {error}") from error
    from runbook.modules import own

    return own.step(order["step"], code)


def _hands(order: Mapping[str, Any], keep_undo: Any, write: Write) -> Hands:
    spoken = 0.0

    def progress(text: str) -> None:
        nonlocal spoken
        now = time.monotonic()
        if now - spoken >= _PROGRESS:
            spoken = now
            told = secrets.text(text)
            said: Dict[str, Any] = {"progress": told if len(told) <= _TOLD else cut.after(told[-_TOLD:])}
            if hands.share is not None:
                said["share"] = hands.share
            if hands.data.get("progress"):
                said["advanced"] = hands.data["progress"]  # told by the agent, should this process be killed
            write(wire.encode(said))

    secrets = mask.of(order.get("params") or {}, order.get("secret") or ())
    writable: Sequence[str] = order.get("writable") or ()
    hands = Hands(tuple(writable), keep_undo, progress, diff=bool(order.get("diff")), mask=secrets)
    return hands


def _alarm(timeout: float) -> None:
    """Raise TimedOut when the time is over, and again and again, should somebody swallow it."""

    def late(*_: object) -> NoReturn:
        raise TimedOut

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, max(timeout, 0.001), 1.0)


def _silence() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.0)


def _late(timeout: float) -> str:
    return f"did not end within its timeout of {timeout:g} s"


def _tell(write: Write, answer: Dict[str, Any], known: "set[str]") -> None:
    imported: List[str] = look.shareable(known)
    frame: Optional[bytes] = None
    try:
        frame = wire.encode({"result": answer, "imported": imported})
    except (wire.Junk, TypeError, ValueError) as error:
        reason = f"its result can't travel: {error}"
        frame = wire.encode({"result": {**answer, "data": {}, "actions": [], "error": reason}, "imported": imported})
    write(frame)
