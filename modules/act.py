"""A step (or an undo) in hand: a forked child carries it out, the agent passes on what it says and sees to its end."""

import contextlib
import time
from typing import Any, Dict, Iterator, List, Mapping

from runbook.modules import child, layers, wire
from runbook.modules.declare import Refused
from runbook.modules.ledger import Ledger

_GRACE = 10.0  # seconds over its timeout in which a child can end by itself: it stops its programs, keeps its result
_UNDO = 600.0


class Act:
    """One `run` or `undo` request."""

    def __init__(self, message: Mapping[str, Any], ledger: Ledger) -> None:
        self._seq = message.get("seq")
        self._intent = str(message["intent"])
        self._check = bool(message.get("check"))
        self._recorded = message["op"] == "run" and not self._check
        self._ledger = ledger
        self._timeout = float(message.get("timeout") or _UNDO)
        self._began = time.monotonic()
        self._say: List[Dict[str, Any]] = []
        self._late = False
        self._own = layers.file(message.get("code"))
        self._advanced: Dict[str, Any] = {}  # how far it had come when it was last heard of
        self.done = False
        self.down = False  # the machine goes down: its next boot tells how the step ended
        self.imported: List[str] = []
        order = {**message, "timeout": self._timeout}
        self._child = child.fork(lambda write: _work(order, ledger, write), self._began + self._timeout + _GRACE)

    @property
    def descriptors(self) -> List[int]:
        """What to listen to."""
        return [] if self.done else [self._child.answers]

    @property
    def deadline(self) -> float:
        """When `tick` has something to do though nothing was heard."""
        return child.NEVER if self.done else self._child.deadline

    def answers(self) -> Iterator[Dict[str, Any]]:
        """Yield what there is to say by now: progress, and at last the result."""
        while self._say:
            yield self._say.pop(0)

    def hear(self, _: int) -> None:
        """Take what the child says."""
        messages = self._child.hear()
        if messages is None:
            self._died()
            return
        for message in messages:
            if "result" in message:
                self.imported += message["imported"]
                self._end(message["result"])
                return
            if "advanced" in message:
                self._advanced = {"progress": message.pop("advanced")}
            self._say.append({"seq": self._seq, **message})

    def tick(self, now: float) -> None:
        """Kill a child that did not end by itself: something in it does not listen, such as a regex."""
        if not self.done and now >= self._child.deadline:
            self._late = True
            self._child.kill()
            self._died()  # even when it hangs in the kernel and can't die yet

    def _died(self) -> None:
        self.done = True
        code = self._child.end()
        if code < 0 and not self._late and self._ends_boot():
            self.down = True
            return
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        how += f", in {self._own}" if self._own else ""
        status = "timeout" if self._late else "failed"
        error = f"did not end within {self._timeout:g} s and was killed" if self._late else f"the step's process {how}"
        result = wire.result(status, error, changed=not self._check, duration=time.monotonic() - self._began)
        result["data"] = dict(self._advanced)
        with contextlib.suppress(Refused):  # an intent without a proper name
            if self._recorded and self._ledger.known(self._intent).begun:
                self._ledger.result(self._intent, result)
        self._say.append({"seq": self._seq, "result": result})

    def _ends_boot(self) -> bool:
        with contextlib.suppress(Refused):
            return self._recorded and "boot" in self._ledger.about(self._intent)
        return False

    def _end(self, result: Dict[str, Any]) -> None:
        self.done = True
        self._child.end()
        self._say.append({"seq": self._seq, "result": result})


def _work(order: Mapping[str, Any], ledger: Ledger, write: child.Write) -> None:
    if order.get("python"):
        from runbook.modules import elsewhere

        elsewhere.act(order, ledger, write)
        return
    from runbook.modules.acting import step  # by the child, so that an agent that only looks has not imported it

    (step.undo if order["op"] == "undo" else step.run)(order, ledger, write)
