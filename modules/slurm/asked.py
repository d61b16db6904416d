"""What Slurm was asked in a tick: once, however many detectors look at it, and whichever of the agent's workers do.

The worker that asks lets the others know by an abstract socket: it is gone with the process, and nothing lies about.
"""

import contextlib
import hashlib
import json
import os
import socket
import struct
import threading
import time
from typing import Any, Callable, List, Mapping, Optional, Sequence

from runbook.modules.declare import Unclear
from runbook.modules.host import Host
from runbook.modules.slurm import accounts
from runbook.modules.slurm.job import Job, Part
from runbook.modules.slurm.queue import TIME

_FRESH = 1.0  # seconds for which those of the same tick may still come for an answer
_PEER = struct.Struct("3i")  # pid, uid, gid
_MANY = 16  # detectors that wait
_PARTS = Job._fields.index("parts")
Answer = Mapping[str, Any]


def once(host: Host, name: str, about: Sequence[Any], start: float, ask: Callable[[], List[Job]]) -> List[Job]:
    """Return jobs as another detector's look of this tick was told of them, if that reaches as far back; else ask.

    Args:
        host: where.
        name: of what is asked: `sacct` or `squeue`.
        about: what the answer depends on beside that.
        start: from when on, in seconds since the epoch.
        ask: what asks.

    Raises:
        Disabled: there is no accounting.
        Unclear: Slurm does not answer, or has not answered the other look.
    """
    if host.moment is None:
        return ask()
    key = json.dumps([name, *about, host.env.get("SLURM_CONF")])
    known: Optional[Answer] = host.moment.get(key)
    if known is None or known["start"] > start:
        known = host.moment[key] = _shared(f"{os.getppid()} {key}", start, ask)
    if known.get("disabled"):
        raise accounts.Disabled
    if "unclear" in known:
        raise Unclear(known["unclear"])
    found: List[Job] = known["jobs"]
    return found


def _shared(key: str, start: float, ask: Callable[[], List[Job]]) -> Answer:
    address = f"\0runbook-slurm-{hashlib.sha256(key.encode()).hexdigest()[:32]}"
    with contextlib.suppress(OSError):
        ours = socket.socket(socket.AF_UNIX)
        try:
            ours.bind(address)
            ours.listen(_MANY)
        except OSError:
            ours.close()
            told = _told(address)
            if told is not None and told["start"] <= start:
                return told
        else:
            said = _Said(ours)
            try:
                return said.say({"start": start, **_answer(ask)})
            finally:
                said.end()
    return {"start": start, **_answer(ask)}


def _answer(ask: Callable[[], List[Job]]) -> Answer:
    try:
        return {"jobs": ask()}
    except accounts.Disabled:
        return {"disabled": True}
    except Unclear as error:
        return {"unclear": str(error)}


class _Said:
    """Tells an answer to those that wait for it, and for a moment to those that come later."""

    def __init__(self, ours: socket.socket) -> None:
        self._ours = ours
        self._known = threading.Event()
        self._answer: Optional[Answer] = None
        ours.settimeout(_FRESH)
        threading.Thread(target=self._serve, daemon=True).start()

    def say(self, answer: Answer) -> Answer:
        """Let them have it."""
        self._answer = answer
        return answer

    def end(self) -> None:
        """Nobody is to wait any longer, whether there is an answer or not."""
        self._known.set()

    def _serve(self) -> None:
        with self._ours:
            self._known.wait()
            until = time.monotonic() + _FRESH
            body = b""
            while self._answer is not None and time.monotonic() < until:
                try:
                    theirs, _ = self._ours.accept()
                except OSError:
                    return
                with theirs, contextlib.suppress(OSError):
                    if _is_us(theirs):
                        body = body or json.dumps(self._answer).encode()
                        theirs.settimeout(TIME)
                        theirs.sendall(body)


def _told(address: str) -> Optional[Answer]:
    """Return what another worker is told; None where it ends without an answer, or is not ours."""
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.settimeout(2 * TIME)
        theirs.connect(address)
        if not _is_us(theirs):
            return None
        body = b""
        while True:
            more = theirs.recv(1 << 20)
            if not more:
                break
            body += more
    try:
        known: Answer = json.loads(body)
        if "jobs" not in known:
            return known
        return {**known, "jobs": [_job(told) for told in known["jobs"]]}
    except (ValueError, TypeError):
        return None


def _is_us(peer: socket.socket) -> bool:
    """Tell whether a process of our own user is at the other end: anybody could take such an address."""
    _, uid, _ = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return bool(uid == os.geteuid())


def _job(told: List[Any]) -> Job:
    told[_PARTS] = tuple(Part(*each) for each in told[_PARTS])
    return Job(*told)
