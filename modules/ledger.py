"""What the agent keeps of each intent on the host: that it began, how it ended, and how to undo it.

A record is on the disk before the thing it tells of is done. Whoever holds the lock of an intent's `started` file is
carrying it out; without that lock and without a result its end is not known: it is lost.
"""

import contextlib
import errno
import fcntl
import json
import os
import re
import sys
import time
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional

from runbook.modules import durable, wire
from runbook.modules.declare import Refused
from runbook.modules.host import boot_id

KEPT = 7 * 86400.0  # seconds
LOCKS_KEPT = 30 * 86400.0
_FIRST = 60.0  # seconds that the first intent may be older than these records: its agent was still starting
_RESERVE = (256 << 10, 64 << 10, 16 << 10)  # bytes set aside, so that a step that frees a full disk can be recorded
_INTENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Held(Refused):
    """Somebody else recovers the subject, or has done so since; nothing was done."""

    def __init__(self, what: str, owner: Mapping[str, Any]) -> None:
        super().__init__(what)
        self.data = {"held": {"by": owner.get("owner", ""), "until": owner.get("until", time.time())}}


class Known(NamedTuple):
    """What the ledger says of an intent."""

    state: str  # result, running, lost
    result: Optional[Dict[str, Any]] = None
    begun: bool = False  # a lost one that never began did nothing


class Ledger:
    """The files below the agent's own directory."""

    def __init__(self, base: str) -> None:
        self.base = base
        self._intents = os.path.join(base, "intents")
        self._locks = os.path.join(base, "locks")
        self._reserve = os.path.join(base, "reserve")
        self._born = os.path.join(base, "born")
        for directory in (self._intents, self._locks):
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, 0o700)
                durable.sync(base)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self._born, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        self._set_aside()

    def known(self, intent: str) -> Known:
        """Say what is known of an intent."""
        result = durable.read(self._path(intent, "result.json"))
        if result is not None:
            return Known("result", result, begun=True)
        try:
            started = os.open(self._path(intent, "started.json"), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return Known("lost")
        try:
            fcntl.flock(started, fcntl.LOCK_SH | fcntl.LOCK_NB)
            about = durable.parsed(os.pread(started, 1 << 20, 0)) or {}
            begun = "at" in about
        except BlockingIOError:
            return Known("running", begun=True)
        finally:
            os.close(started)
        result = durable.read(self._path(intent, "result.json"))  # it may have ended between the two looks
        if result is None and about.get("boot") not in {None, boot_id()}:
            result = self._rebooted(intent, about)
        return Known("lost", begun=begun) if result is None else Known("result", result, begun=True)

    def in_hand(self) -> List[str]:
        """Return the names of the steps that are carried out on this host at the moment, by whichever agent."""
        found = []
        for entry in os.scandir(self._intents):
            intent = _intent_of(entry.name)
            if entry.name.endswith(".started.json") and self.known(intent).state == "running":
                found.append(str(self.about(intent).get("step", intent)))
        return sorted(found)

    def _rebooted(self, intent: str, about: Mapping[str, Any]) -> Dict[str, Any]:
        """Keep the end of a step that was to end a boot, which has ended."""
        down = max(0.0, time.time() - float(about["at"]))
        done = wire.result("done", changed=True, duration=down, data={"boot_before": about["boot"], "boot": boot_id()})
        self.result(intent, done)
        return done

    def ask(self, intent: str, at: Optional[float] = None) -> Known:
        """Say what is known of an intent, and see to it that one that has not begun never will.

        An agent that an earlier run left may have it still before it, and whoever asks will do the step otherwise.

        Args:
            intent: which.
            at: when it was made, in seconds since the epoch. One from before these records, or so old that its own
                are gone, counts as begun: nobody can say that it was not.
        """
        known = self.known(intent)
        if known.state != "lost" or known.begun:
            return known
        try:
            off = self._call_off(self._path(intent, "started.json"))
        except OSError as error:
            sys.stderr.write(f"{intent} can't be called off: {_unwritable(self._intents, error)}\n")
            return Known("lost", begun=True)  # it may begin yet, so it is for a person
        if not off:
            return self.known(intent)
        oldest = max(os.stat(self._born).st_mtime - _FIRST, time.time() - KEPT)
        return Known("lost", begun=at is not None and at < oldest)

    def _call_off(self, path: str) -> bool:
        """Write that an intent is not to begin; tell whether it had not."""
        held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            begun = "at" in (durable.parsed(os.pread(held, 1 << 20, 0)) or {})
            if not begun:
                self._durably(lambda: durable.overwrite(held, {"off": True}))
        except BlockingIOError:
            return False
        else:
            return not begun
        finally:
            os.close(held)

    def start(self, intent: str, about: Mapping[str, Any]) -> int:
        """Record that an intent begins; the descriptor that is returned says "running" until it is closed.

        Raises:
            Refused: it began before, was called off, or the record can't be written.
        """
        path = self._path(intent, "started.json")
        how = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            held = os.open(path, how, 0o600)
        except FileExistsError as error:
            raise Refused(f"intent {intent} was begun before, or called off; it is not done twice") from error
        except OSError as error:
            if error.errno != errno.ENOSPC or not self._give_back():
                raise Refused(_unwritable(self._intents, error)) from error
            held = os.open(path, how, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
        body = {"at": time.time(), "pid": os.getpid(), **about}
        try:
            off = os.fstat(held).st_size > 0
            if not off:
                self._durably(lambda: durable.overwrite(held, body, sync=True))
                durable.sync(self._intents)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(held, 0)
            os.close(held)
            raise Refused(_unwritable(self._intents, error)) from error
        if off:
            os.close(held)
            raise Refused(f"intent {intent} was called off by a later run")
        return held

    def about(self, intent: str) -> Dict[str, Any]:
        """Return what was recorded when an intent began; nothing when that is lost."""
        return durable.read(self._path(intent, "started.json")) or {}

    def result(self, intent: str, result: Mapping[str, Any]) -> None:
        """Record how an intent ended. A disk that can't take it is only logged: the answer is still sent."""
        path = self._path(intent, "result.json")
        body = json.dumps(result, default=wire.plain).encode()
        try:
            self._durably(lambda: durable.replace(path, body))
        except OSError as error:
            sys.stderr.write(f"the result of {intent} was not kept: {_unwritable(self._intents, error)}\n")
        self._set_aside()

    def keep_undo(self, intent: str, undo: Mapping[str, Any]) -> None:
        """Record how to undo what is about to be done.

        Raises:
            Refused: it can't be written, so the thing must not be done.
        """
        path = self._path(intent, "undo.jsonl")
        body = json.dumps(undo, default=wire.plain).encode() + b"\n"
        try:
            self._durably(lambda: durable.append(path, body))
        except OSError as error:
            raise Refused(f"how to undo it can't be kept, so it was not done: {_unwritable(path, error)}") from error

    def undos(self, intent: str) -> List[Dict[str, Any]]:
        """Return how to undo an intent, the last thing first. A half-written line tells of nothing that was done."""
        found = []
        with contextlib.suppress(FileNotFoundError), open(self._path(intent, "undo.jsonl"), "rb") as lines:
            for line in lines:
                with contextlib.suppress(ValueError):
                    found.append(json.loads(line))
        return found[::-1]

    def undone(self, intent: str) -> None:
        """Record that an intent was undone: it is not undone twice."""
        with contextlib.suppress(FileNotFoundError):
            os.replace(self._path(intent, "undo.jsonl"), self._path(intent, "undone.jsonl"))
            durable.sync(self._intents)

    @contextlib.contextmanager
    def subject(self, subject: str, claim: Optional[Mapping[str, Any]], within: float) -> Iterator[None]:
        """Hold a subject's lock while a step acts on it.

        Args:
            subject: what the step acts on; "" = this host.
            claim: the lease under which it does: journal, epoch, owner (in words), lasts (seconds), beside (the lock
                is shared with the steps that the same recovery takes at the same time). None: without one.
            within: seconds to wait for whoever holds the lock.

        Raises:
            Refused: somebody holds the lock for longer.
            Held: somebody has the subject's lease by another journal, or a later lease of the same journal has acted.
        """
        how = fcntl.LOCK_SH if claim is not None and claim.get("beside") else fcntl.LOCK_EX
        held = durable.lock(self._place(subject), time.monotonic() + within, how)
        if held is None:
            raise Refused(f"another step acts on {subject or 'this host'} at the moment{self._who(subject)}")
        try:
            if claim is not None:
                self._claim(held, subject, claim)
            yield
        finally:
            os.close(held)

    def _who(self, subject: str) -> str:
        """Return which steps act on a subject and since when, as far as that was recorded."""
        found = []
        for entry in os.scandir(self._intents):
            intent = _intent_of(entry.name)
            if not entry.name.endswith(".started.json") or self.known(intent).state != "running":
                continue
            about = self.about(intent)
            if about.get("subject", "") == subject and "at" in about:
                of = f" of the runbook `{about['runbook']}`" if about.get("runbook") else ""
                since = time.strftime("%H:%M:%S", time.localtime(float(about["at"])))
                found.append(f"`{about.get('step', '')}`{of}, since {since} (intent {intent})")
        return f": {'; '.join(sorted(found))}" if found else ""

    def hold(self, subject: str, claim: Mapping[str, Any], *, release: bool = False) -> bool:
        """Let a claim last on, or give it back; tell whether it was ours. A step that acts at the moment goes on."""
        held = durable.lock(self._place(subject), 0.0)
        if held is None:
            return False
        try:
            seen = durable.parsed(os.pread(held, 1 << 20, 0)) or {}
            owner = seen.get("owner") or {}
            if (owner.get("journal"), owner.get("epoch")) != (claim["journal"], claim["epoch"]):
                return False
            seen["owner"] = None if release else _owner(claim)
            durable.overwrite(held, seen)
            return True
        finally:
            os.close(held)

    def _claim(self, held: int, subject: str, claim: Mapping[str, Any]) -> None:
        """Refuse an epoch that is over and a subject that another journal's lease holds; take it for this one."""
        seen = durable.parsed(os.pread(held, 1 << 20, 0)) or {}
        owner = seen.get("owner") or {}
        journal, epoch = str(claim["journal"]), int(claim["epoch"])
        if owner and owner["journal"] != journal and owner["until"] > time.time():
            clock = time.strftime("%H:%M:%S", time.localtime(owner["until"]))
            what = f"{owner['owner']} recovers {subject or 'this host'} by another journal"
            raise Held(f"{what}; its lease ends at {clock} at the latest", owner)
        epochs = {name: number for name, number in (seen.get("epochs") or {}).items() if isinstance(number, int)}
        last = epochs.get(journal, 0)
        if epoch < last:
            what = f"epoch {epoch} is over: a later lease ({last}) acted on {subject or 'this host'} already"
            raise Held(what, owner)
        kept = {"subject": subject, "epochs": {**epochs, journal: epoch}, "owner": _owner(claim)}
        try:
            self._durably(lambda: durable.overwrite(held, kept, sync=epoch > last))
        except OSError as error:
            raise Refused(_unwritable(self._locks, error)) from error

    def _place(self, subject: str) -> str:
        import hashlib

        return os.path.join(self._locks, hashlib.sha256(subject.encode("utf-8", "surrogatepass")).hexdigest()[:32])

    def prune(self, now: float) -> None:
        """Forget intents after seven days, and locks that nobody took for thirty."""
        ages: Dict[str, float] = {}
        for entry in os.scandir(self._intents):
            with contextlib.suppress(OSError):
                intent = _intent_of(entry.name)
                ages[intent] = max(ages.get(intent, 0.0), entry.stat(follow_symlinks=False).st_mtime)
        for entry in os.scandir(self._intents):
            if now - ages.get(_intent_of(entry.name), now) > KEPT:
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)
        for entry in os.scandir(self._locks):
            with contextlib.suppress(OSError):
                if now - entry.stat(follow_symlinks=False).st_mtime > LOCKS_KEPT:
                    held = durable.lock(entry.path, 0.0)
                    if held is not None:
                        os.unlink(entry.path)
                        os.close(held)

    def _path(self, intent: str, kind: str) -> str:
        if not _INTENT.fullmatch(intent):
            raise Refused(f"not an intent's id: {intent[:80]!r}")
        return os.path.join(self._intents, f"{intent}.{kind}")

    def _durably(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT} or not self._give_back():
                raise
            write()
            self._set_aside()

    def _set_aside(self) -> None:
        """Keep some room for records, as much as there is: that a step began must not take that of how it ended."""
        try:
            there = os.stat(self._reserve).st_size
        except OSError:
            there = 0
        for size in _RESERVE:
            if there >= size:
                return
            with contextlib.suppress(OSError):
                durable.replace(self._reserve, b"\1" * size)
                return

    def _give_back(self) -> bool:
        try:
            os.unlink(self._reserve)
        except OSError:
            return False
        return True


def _intent_of(name: str) -> str:
    for kind in (".started.json", ".result.json", ".undo.jsonl", ".undone.jsonl"):
        if name.endswith(kind):
            return name[: -len(kind)]
    return name


def _owner(claim: Mapping[str, Any]) -> Dict[str, Any]:
    until = int(time.time() + float(claim["lasts"])) + 1  # whole: steps side by side write the same number of bytes
    return {
        "journal": str(claim["journal"]),
        "epoch": int(claim["epoch"]),
        "owner": str(claim["owner"]),
        "until": until,
    }


def _unwritable(where: str, error: OSError) -> str:
    return f"{where}: {error.strerror}"
