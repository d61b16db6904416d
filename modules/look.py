"""One look of one probe, and the worker that serves them in a process of its own."""

import contextlib
import json
import os
import struct
import sys
import time
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Type

from runbook.modules import catalogue, saying, values, wire
from runbook.modules.declare import Absent, Invalid, Probe, Record, Unclear
from runbook.modules.host import Host
from runbook.modules.saying import LARGEST
from runbook.modules.states import SAME

_GATHERED = 48 * 1024  # bytes that are said before who listens is called; a pipe takes 64 KiB
EARS = "ears"  # in a moment: the inotify instance that the agent listens to, -1 where it has none
SOURCES = "sources"  # in a look's answer, for the agent alone: what can be heard
EPOCH = "epoch"  # in a spec: another number when what it listens to has changed
COST = "cost"  # likewise: seconds of processor time, those of programs that were asked included; and of waiting a part
_WAITED = 10.0  # seconds of waiting that count as one: a disk has other work, too
_ELSEWHERE = "what can be heard is not told by a look under a `python` of its own"
_INDEX = struct.Struct("!I")
_TOGETHER = {"daemon": 0, "process": 1, "gpu": 2, "health": 4}  # probes that share what they ask for; who sleeps, last
_ANYWHERE = 3
_own: Dict[str, str] = {}  # of this process: `base`, its agent's own directory
_probes: Dict[str, Tuple[Mapping[str, Any], Probe]] = {}  # of the process that looks, by the looks' names
_SHARED = {"psutil", "pynvml", "runbook", *getattr(sys, "stdlib_module_names", ())}


def look(spec: Mapping[str, Any], moment: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
    """Look once. Whatever goes wrong is an answer.

    Args:
        spec: what to look at.
        moment: what looks that follow one another at once share; it is filled.
    """
    began, spent = time.monotonic(), os.times() if spec.get("listen") else None
    answer: Dict[str, Any] = {"id": spec.get("id"), "status": "unknown", "records": [], "reason": "", "state": {}}
    if isinstance(spec.get("state"), bytes):
        spec = {**spec, "state": json.loads(spec["state"])}
    if spec.get("python"):
        from runbook.modules import elsewhere

        said = elsewhere.look(spec)
        return {**said, SOURCES: {"why": [_ELSEWHERE]}, COST: 0.0} if spec.get("listen") else said
    moment = {} if moment is None else moment
    if "env" not in moment:
        moment["env"] = _environment()
    host = Host(remembered=spec.get("state") or {}, env=moment["env"], moment=moment, base=_own.get("base", ""))
    seen: List[Record] = []
    try:
        answer["records"] = _records(spec, host, seen)
        answer["status"] = "seen"
        if host.kept == host.remembered:
            answer[SAME] = True
        else:
            answer["state"] = host.kept
    except Absent as error:
        answer["status"] = "absent"
        answer["reason"] = str(error)
    except (Unclear, Invalid) as error:
        answer["reason"] = str(error)
    except SystemExit as error:
        from runbook.modules import layers

        place = layers.own_place(error)
        answer["reason"] = f"sys.exit({error.code!r}) was called{f' ({place})' if place else ''}; raise `Unclear`"
    except MemoryError:
        answer["reason"] = "it needs too much memory"
    except Exception as error:  # noqa: BLE001 -- a fault in one probe must not silence the others
        import traceback

        from runbook.modules import layers, needs

        traceback.print_exc()
        place, unfit = layers.own_place(error), needs.unfit(error)
        at, why = f" ({place})" if place else "", f"; {unfit}" if unfit else ""
        answer["reason"] = f"{type(error).__name__}: {error}{at}{why}"
    answer["duration"] = time.monotonic() - began
    if spent is not None and EARS in moment:
        _listen(spec, host, seen, answer, moment)
        answer[COST] = sum(os.times()[:4]) - sum(spent[:4]) + answer["duration"] / _WAITED
    return answer


def of_agent(base: str) -> None:
    """Say which directory is the agent's own: there a step leaves what a look is to know."""
    _own["base"] = base


def _listen(
    spec: Mapping[str, Any], host: Host, seen: Sequence[Record], answer: Dict[str, Any], moment: Dict[str, Any]
) -> None:
    """Arm what can be heard of what was looked at, and tell the agent."""
    from runbook.modules.listening import seeking

    with contextlib.suppress(Unclear, Invalid, KeyError):  # it is no probe: the look says so
        probe = _probe(str(spec.get("id")), _class(spec)[0], spec.get("params") or {})
        answer[SOURCES] = seeking.sought(probe, host, seen, moment, spec)


@lru_cache(maxsize=1)
def _environment() -> Mapping[str, str]:
    """Return the environment of this process as it was at its first look; to copy it costs as much as a look."""
    return MappingProxyType(dict(os.environ))


def _records(spec: Mapping[str, Any], host: Host, seen: List[Record]) -> List[Dict[str, Any]]:
    cls, newer = _class(spec)
    if cls.engine:
        raise Unclear(f"`{spec['probe']}` is answered by the controller, not by a host")
    probe = _probe(str(spec.get("id")), cls, spec.get("params") or {})
    needed = probe.needed()
    if needed:
        from runbook.modules import needs

        lacking = needs.missing(needed, newer)
        if lacking:
            raise Unclear(lacking)
    found: Any = probe.look(host)
    if isinstance(found, (str, bytes, dict)) or not isinstance(found, Iterable):
        raise Unclear(f"{_here(cls)} returned {values.shown(found)}; it must yield records")
    own = "module" in (spec.get("code") or {})
    seen.extend(_record(cls, record, own=own) for record in found)
    return [values.travelling(record, cls.subject) for record in seen]


def _record(cls: Type[Probe], record: Any, *, own: bool) -> Record:
    """Return what a probe yielded, if it is a record; of a user's probe its fields are looked at as well."""
    if not isinstance(record, Record):
        raise Unclear(f"{_here(cls)} yielded {values.shown(record)}, not a {cls.record.__name__}")
    wrong = values.misfit(record) if own else ""
    if wrong:
        raise Unclear(f"{_here(cls)} yielded a {type(record).__name__} whose {wrong}")
    return record


def _here(cls: Type[Probe]) -> str:
    return f"`look` in {cls.__module__.replace('.', '/')}.py"


def _class(spec: Mapping[str, Any]) -> Tuple[Type[Probe], Sequence[Tuple[str, str]]]:
    """Return a probe's class, and what its layers leave out under this Python."""
    code = spec.get("code")
    if code is None:
        try:
            return catalogue.probe(spec["probe"]), ()
        except KeyError as error:
            raise Unclear(f"this host's agent knows no probe {error}") from error
    from runbook.modules import own

    return own.probe(spec["probe"], code)


def _probe(key: str, cls: Type[Probe], params: Mapping[str, Any]) -> Probe:
    """Return the probe with its parameters; that of the look before, where they are the same."""
    known = _probes.get(key)
    if known is None or type(known[1]) is not cls or known[0] != params:
        known = _probes[key] = params, values.build(cls, params)
    return known[1]


def framed(spec: Mapping[str, Any], look: Dict[str, Any], imported: List[str], following: Optional[int]) -> bytes:
    """Return a look as a frame; one that can't travel becomes an `unknown` that says why."""
    try:
        frame = wire.encode({"look": look, "imported": imported, "next": following})
        if len(frame) <= LARGEST:
            return frame
        reason = f"it saw {len(frame) >> 20} MiB, more than the {LARGEST >> 20} MiB that an answer may have"
    except (TypeError, ValueError, RecursionError, wire.Junk) as error:
        reason = f"{type(error).__name__}: {error}"
    failed = unknown(spec, reason, look.get("duration", 0.0))
    return wire.encode({"look": failed, "imported": imported, "next": following})


def prepare(specs: Iterable[Mapping[str, Any]]) -> None:
    """Import what the looks need in the agent itself, once for all the workers to come."""
    for name in {str(spec.get("probe")) for spec in specs}:
        with contextlib.suppress(Exception):  # told by the look itself
            catalogue.probe(name)


def unknown(spec: Mapping[str, Any], reason: str, duration: float) -> Dict[str, Any]:
    """Return the answer of a look that did not work."""
    return {
        "id": spec.get("id"),
        "status": "unknown",
        "records": [],
        "reason": reason,
        "state": {},
        "duration": duration,
    }


def order(specs: Sequence[Mapping[str, Any]]) -> List[int]:
    """Return in which order to look: looks that share what they ask for follow one another."""
    return sorted(range(len(specs)), key=lambda index: _TOGETHER.get(str(specs[index].get("probe")), _ANYWHERE))


def serve(
    specs: Sequence[Mapping[str, Any]],
    tasks: int,
    write: Callable[[bytes], None],
    call: Callable[[], None],
    ears: Optional[int] = None,
) -> None:
    """Look at what is asked for by its index until there is nothing more; say what was seen, and what is next.

    Who listens is called at the end, and where so much was said that no more may fit into the pipe. `ears` is the
    inotify instance of an agent that listens, -1 where it has none.
    """
    known = set(sys.modules)
    moment: Dict[str, Any] = {} if ears is None else {EARS: ears}
    index = _next(tasks)
    said = 0
    write(saying.following(index))
    while index is not None:
        spec = specs[index]
        answer = look(spec, moment)
        imported = shareable(known)
        index = _next(tasks)
        frame = None if imported or SOURCES in answer else saying.look(answer, index)
        if frame is None:
            frame = saying.letter(framed(spec, answer, imported, index)[4:])
        said += len(frame)
        if said > _GATHERED:
            said = len(frame)
            call()
        write(frame)
    call()


def _next(tasks: int) -> Optional[int]:
    data = os.read(tasks, _INDEX.size)  # written in one piece, so read in one
    return int(_INDEX.unpack(data)[0]) if len(data) == _INDEX.size else None


def task(index: int) -> bytes:
    """Return what tells a worker which look is next."""
    return _INDEX.pack(index)


def shareable(known: "set[str]") -> List[str]:
    """Return what was imported meanwhile and may be imported by the agent too; it is known then."""
    if len(sys.modules) == len(known):
        return []
    found = [name for name in list(sys.modules) if name not in known]
    known.update(found)
    return [name for name in found if name.partition(".")[0] in _SHARED]
