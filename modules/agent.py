"""The loop on a host: takes requests as frames, has children look and act, answers in whatever order they end.

It never looks or acts itself, so nothing that hangs can silence it. When the controller goes away it lets the step
in hand end (within its timeout), keeps the result, and exits.
"""

import contextlib
import gc
import importlib
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Set, Union

from runbook.modules import child, look, wire
from runbook.modules.act import Act
from runbook.modules.batch import Batch
from runbook.modules.bootstrap import PARTS
from runbook.modules.declare import Refused
from runbook.modules.ledger import KEPT, Ledger
from runbook.modules.rest import Rest
from runbook.modules.standing import Standing
from runbook.modules.states import Forms, States
from runbook.modules.warming import Warming

if TYPE_CHECKING:
    from runbook.modules.listening.hearing import Hearing

_IDLE = 1.0  # seconds without a request, after which there is time for other things
_OFTEN = 2  # requests to look, after which more are to be expected
_BEAT = 35.0  # seconds after which an agent that has said nothing does: a connection whose other end is gone tells it


def main(base: str, requests: int, answers: int) -> int:
    """Serve one controller over two descriptors until it goes away."""
    code = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    requests, answers = _aside(requests), _aside(answers)
    try:
        ledger = Ledger(base)
    except OSError as error:
        os.write(answers, wire.encode({"error": f"the agent's directory {base} can't be used: {error}"}))
        return 1
    look.of_agent(base)
    agent = Agent(ledger, requests, answers, code)
    return agent.serve()


def _aside(descriptor: int) -> int:
    """Move a descriptor out of the way of whatever reads standard input or prints."""
    kept = os.dup(descriptor)  # closed in every program that is started
    while kept <= 2:
        kept = os.dup(descriptor)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null if descriptor == 0 else 2, descriptor)
    os.close(null)
    os.set_blocking(kept, False)
    return kept


class Agent:
    """What is in hand for one controller."""

    def __init__(self, ledger: Ledger, requests: int, answers: int, code: str) -> None:
        self._ledger = ledger
        self._requests: Optional[int] = requests
        self._answers = answers
        self._code = code
        self._reader = wire.Reader()
        self._outgoing = bytearray(wire.encode({"ready": {"python": sys.version.split()[0], "pid": os.getpid()}}))
        self._work: List[Union[Batch, Act]] = []
        self._states = States()
        self._forms = Forms()
        self._warming = Warming()
        self._looked = 0  # requests to look
        self._standing = Standing()
        self._hearing: Optional[Hearing] = None  # once it was asked to
        self._channel: Any = None  # the request that what is heard answers
        self._unheard: Set[str] = set()  # keys of looks that were over before it listened
        self._parked: List[Dict[str, Any]] = []  # requests whose layers are on their way
        self._awaited: Set[str] = set()
        self._rest = Rest()
        self._wanted = ["runbook.modules.acting.step"]  # imports that spare a child some time
        self._tidy = True
        self._failed = False
        self._spoke = time.monotonic()
        self._woken, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, lambda *_: None)  # what matters comes through the pipe

    def leave(self) -> None:
        """Take no more requests; what is in hand ends first."""
        if self._requests is not None:
            os.close(self._requests)
            self._requests = None
        for work in [work for work in self._work if isinstance(work, Batch)]:
            work.stop()
            self._work.remove(work)
        self._standing.leave()
        if self._hearing is not None:
            self._hearing.close()
            self._hearing = None

    def serve(self) -> int:
        """Go on until the controller is gone and nothing is in hand; return the exit code."""
        while self._requests is not None or self._work or (self._outgoing and self._answers >= 0):
            self._turn()
        return int(self._failed)

    def _turn(self) -> None:
        sources = {fd: work for work in self._work for fd in work.descriptors}
        others = (self._requests, self._rest.descriptor)
        listening = [self._woken, *sources, *(one for one in others if one is not None)]
        hearing, now = self._hearing, time.monotonic()
        if hearing is not None and hearing.listens(now):
            listening.append(hearing.descriptor)
        idle = not self._work and not self._outgoing
        deadline = time.monotonic() + _IDLE if idle and (self._prepares or self._tidy) else child.NEVER
        deadline = min([deadline, self._spoke + _BEAT, *(work.deadline for work in self._work)])
        if hearing is not None:
            deadline = min(deadline, hearing.deadline(now))
        ready, can_write = child.poll(listening, self._answers if self._outgoing else None, deadline)
        if can_write:
            self._flush()
        if self._rest.descriptor in ready:
            for part in self._rest.asked():
                self._await(part)
        if self._woken in ready:
            os.read(self._woken, 4096)
            self.leave()
        if self._requests is not None and self._requests in ready:
            self._take(self._requests)
        for descriptor in ready:
            if descriptor in sources and sources[descriptor] in self._work:
                sources[descriptor].hear(descriptor)
        now = time.monotonic()
        if self._hearing is not None and self._hearing.descriptor in ready:
            self._hearing.hear(now)
        for work in list(self._work):
            work.tick(now)
            for message in work.answers():
                if isinstance(work, Batch):
                    self._arm(work, message)
                self._say(message)
            if work.done:
                self._wanted += work.imported
                self._warming.note(getattr(work, "specs", ()))
                self._work.remove(work)
                gc.enable()
                if isinstance(work, Act) and work.down:
                    self.leave()
        self._tell(now)
        if now >= self._spoke + _BEAT:
            self._spoke = now
            self._say({"beat": int(now)})
        if idle and not ready and not can_write:
            self._use_the_time()

    def _take(self, requests: int) -> None:
        try:
            data = os.read(requests, 1 << 20)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.leave()
            return
        try:
            messages = self._reader.feed(data)
        except wire.Junk as error:
            self._failed = True
            self._say({"seq": None, "error": str(error)})
            self.leave()
            return
        for message in messages:
            self._begin(message)

    def _begin(self, message: Dict[str, Any]) -> None:
        seq, op = message.get("seq"), message.get("op")
        try:
            if op == "probe":
                message = self._forms.whole(message)
            message = self._rest.before(message)
            if message.get("layers") and self._park(message):
                return
            if op == "layer":
                self._unpack(message)
            elif op == "probe":
                self._looked += 1
                if self._hearing is not None:
                    for spec in filter(_listened, message["specs"]):
                        spec[look.EPOCH] = self._hearing.keys.begin(str(spec["listen"]))
                self._work.append(Batch(message, self._states, self._standing))
            elif op == "listen":
                self._listen(seq)
            elif op in {"run", "undo"}:
                self._work.append(Act(message, self._ledger))
            elif op == "ask":
                known = self._ledger.ask(str(message["intent"]), message.get("at"))
                self._say({"seq": seq, "known": known.state, "result": known.result, "begun": known.begun})
            elif op == "ping":
                self._say({"seq": seq, "pong": _user()})
            elif op in {"hold", "release"}:
                ours = self._ledger.hold(str(message["subject"]), message["claim"], release=op == "release")
                self._say({"seq": seq, "ours": ours})
            else:
                self._say({"seq": seq, "error": f"no request {op!r}"})
        except Refused as error:
            self._say(_refusal(message, str(error)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self._say(_refusal(message, f"a request that can't be understood: {type(error).__name__}: {error}"))
        except OSError as error:
            self._say(_refusal(message, f"no process could be started: {error.strerror}"))

    def _listen(self, seq: Any) -> None:
        """Open the channel: from now on what is looked at is listened to as well."""
        from runbook.modules.listening.hearing import Hearing  # few agents listen

        if self._hearing is None:
            self._hearing = Hearing()
            self._standing.listen(self._hearing.instance)
        for key in self._unheard:  # they are armed by another look
            self._hearing.keys.begin(key)
            self._hearing.keys.stir(key)
        self._unheard.clear()
        self._channel = seq
        self._say({"seq": seq, "listens": True})

    def _arm(self, batch: Batch, answer: Dict[str, Any]) -> None:
        """Listen to what was looked at, and put into the looks whether that can be done."""
        for index, spec in enumerate(batch.specs):
            found, listens = answer["looks"][index], self._hearing is not None and _listened(spec)
            if isinstance(found, wire.Raw):
                if not listens:
                    self._unheard.update(filter(None, [str(spec.get("listen") or "")]))
                    continue
                found = answer["looks"][index] = found.read()
            told, sought, cost = look.SOURCES in found, found.pop(look.SOURCES, None), found.pop(look.COST, 0.0)
            key = str(spec.get("listen") or "")
            if self._hearing is None or not key:
                self._unheard.update(filter(None, [key]))
                continue
            heard = self._hearing.arm(key, sought, cost) if told else self._hearing.known(key)
            if heard is not None:
                found["heard"] = heard

    def _tell(self, now: float) -> None:
        """Say what has stirred, and let go of what nobody needs."""
        if self._hearing is None:
            return
        stirred = self._hearing.keys.due(now)
        if stirred:
            self._say({"seq": self._channel, "stirred": stirred, "at": time.time()})
        if not any(isinstance(work, Batch) for work in self._work):
            self._hearing.tidy(now)

    def _park(self, message: Dict[str, Any]) -> bool:
        """Ask for the layers that a request needs and that are not here; tell whether it has to wait for them."""
        from runbook.modules import layers  # few requests need any

        lacking = layers.lacking(message) + self._rest.lacking(message["layers"])
        if lacking:
            self._parked.append(message)
        for digest in lacking:
            self._await(digest)
        return bool(lacking)

    def _await(self, digest: str) -> None:
        """Ask the controller for code, once."""
        if digest not in self._awaited:
            self._awaited.add(digest)
            self._say({"need": digest})

    def _unpack(self, message: Dict[str, Any]) -> None:
        """Take a layer, and go on with what waited for it."""
        from runbook.modules import bootstrap, layers

        digest, reason = str(message["hash"]), str(message.get("error", ""))
        self._awaited.discard(digest)
        try:
            if not reason:
                (self._rest if digest in PARTS else layers).take(digest, message["body"])
        except (bootstrap.Unusable, ValueError) as error:
            reason = str(error)
        parked, self._parked = self._parked, []
        for each in parked:
            if reason and digest in each.get("layers", ()):
                self._say(_refusal(each, reason))
            else:
                self._begin(each)

    def _say(self, message: Dict[str, Any]) -> None:
        if self._answers < 0:
            return
        try:
            self._outgoing += wire.encode(message)
        except (wire.Junk, TypeError, ValueError) as error:
            looks = message.get("looks")
            specs = looks and [one.read() if isinstance(one, wire.Raw) else one for one in looks]
            op = "run" if "result" in message else "probe"
            self._outgoing += wire.encode(_refusal({"seq": message.get("seq"), "op": op, "specs": specs}, str(error)))
        self._flush()

    def _flush(self) -> None:
        try:
            while self._outgoing:
                del self._outgoing[: os.write(self._answers, self._outgoing[: 1 << 20])]
                self._spoke = time.monotonic()
        except BlockingIOError:
            pass
        except OSError:  # nobody listens any more
            self._outgoing.clear()
            self._answers = -1
            self.leave()

    @property
    def _prepares(self) -> bool:
        """There is something to be made ready for the next looks; who looks but once or twice has no use for it."""
        return self._looked > _OFTEN and bool(self._wanted or self._warming.waiting)

    def _use_the_time(self) -> None:
        """Nothing is asked for: import what the children had to, or throw away what is old."""
        if self._prepares and self._wanted:
            for name in self._wanted:
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
            self._wanted = []
        elif self._prepares:
            self._warming.one()
        elif self._tidy:
            self._tidy = False
            now = time.time()
            with contextlib.suppress(OSError):
                self._ledger.prune(now)
            with contextlib.suppress(OSError):
                _tidy_code(os.path.dirname(self._code), self._code, now)


def _listened(spec: Dict[str, Any]) -> bool:
    return bool(spec.get("listen"))


def _refusal(request: Dict[str, Any], reason: str) -> Dict[str, Any]:
    """Answer a request that could not be begun, in the shape in which its answer is expected."""
    seq = request.get("seq")
    if request.get("op") in {"run", "undo"}:
        return {"seq": seq, "result": wire.result("refused", reason)}
    specs = request.get("specs")
    if request.get("op") == "probe" and isinstance(specs, list) and all(isinstance(spec, dict) for spec in specs):
        return {"seq": seq, "looks": [look.unknown(spec, reason, 0.0) for spec in specs]}
    return {"seq": seq, "error": reason}


def _tidy_code(directory: str, ours: str, now: float) -> None:
    with os.scandir(directory) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # another agent tidies, too
                if entry.path == ours or now - entry.stat(follow_symlinks=False).st_mtime <= KEPT:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    import shutil

                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    os.unlink(entry.path)


def _user() -> str:
    """Return as whom this runs."""
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"
