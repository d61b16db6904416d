"""Workers that stay from one request to the next: to fork one costs as much as some twenty looks, and it comes cold.

Each gets a request's looks, and the pipe to take them from, over a socket whose other end is the agent's; when that
is closed, it ends.
"""

import _socket  # what `socket` has beside costs an agent's first look more than the look
import gc
import json
import os
import struct
import time
from contextlib import suppress
from typing import Any, Callable, List, Mapping, Optional, Sequence, Tuple

from runbook.modules import child, look, memory, saying, wire

_LENGTH = struct.Struct("!I")
_DESCRIPTOR = struct.Struct("i")
_AT_ONCE = 1 << 16  # bytes of an order that are read at once
_PATIENCE = 2.0  # seconds for an idle worker to take an order
_KEPT = 2  # workers: something may happen while another look, such as a verification's, goes on
_USES = 200  # requests after which a worker has stood long enough: what leaks in a probe ends with it


class Worker:
    """A child that looks, and the look that it is busy with."""

    def __init__(
        self,
        process: child.Child,
        orders: "_socket.socket",
        specs: Sequence[Mapping[str, Any]],
        ears: Optional[int],
    ) -> None:
        self.process = process
        self.ears = ears  # as the agent had them when it was forked
        self.busy: Optional[int] = None
        self.since = 0.0
        self.idle = False  # it has said that there is nothing more for it to do
        self.stained = False  # a look of it failed: what it has open or loaded may be why
        self._orders = orders
        self._given = specs  # in the order before
        self._uses = 1

    @classmethod
    def forked(cls, specs: Sequence[Mapping[str, Any]], tasks: int, ears: Optional[int] = None) -> "Worker":
        """Start one that looks at what it can take, and then waits for orders."""
        ours, theirs = _socket.socketpair()
        ours.settimeout(_PATIENCE)

        def work(write: child.Write) -> None:
            memory.bound()
            gc.disable()  # until its first looks are told, which import what they need
            look.serve(specs, tasks, write, lambda: _call(theirs), ears)
            os.close(tasks)
            gc.enable()
            _stand(theirs, specs, write, ears)

        try:
            process = child.fork(
                work, child.NEVER, [tasks, theirs.fileno(), -1 if ears is None else ears], saying.Heard()
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(process, ours, specs, ears)

    def order(self, specs: Sequence[Mapping[str, Any]], tasks: int) -> None:
        """Let it look at something else.

        Raises:
            OSError: it is gone.
        """
        self.idle = False
        known = [*self._given, *([{}] * max(0, len(specs) - len(self._given)))]
        body = b"[%s]" % b",".join(_news(spec, before) for spec, before in zip(specs, known))
        self._given = specs
        frame = _LENGTH.pack(len(body)) + body
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _DESCRIPTOR.pack(tasks))
        sent = self._orders.sendmsg([frame], [rights])  # in one piece, mostly: each wakes the worker
        if sent < len(frame):
            self._orders.sendall(frame[sent:])
        self._uses += 1

    @property
    def calls(self) -> int:
        """What becomes readable when it has said much, or all of it."""
        return self._orders.fileno()

    def called(self) -> None:
        """Take the call in."""
        with suppress(OSError):
            self._orders.recv(4096)

    @property
    def fit(self) -> bool:
        """It can be given another request."""
        return self.idle and not self.stained and self._uses < _USES

    def turn(self, index: Optional[int], deadline: float) -> None:
        """Take in at what it looks now, and until when it may."""
        self.busy, self.since, self.idle = index, time.monotonic(), index is None
        self.process.deadline = child.NEVER if index is None else self.since + deadline

    def end(self) -> int:
        """Let it end, by force unless it is idle, and return how it did."""
        if not self.idle:
            self.process.kill()
        self._orders.close()
        return self.process.end()


class Standing:
    """The workers that wait for the next requests."""

    def __init__(self) -> None:
        self._waiting: List[Worker] = []
        self._ears: Optional[int] = None

    def listen(self, ears: int) -> None:
        """From now on what can be heard is told to the agent; `ears` is its inotify instance, -1 where it has none."""
        self._ears = ears
        self.leave()  # who was forked before has no ears

    def take(self, specs: Sequence[Mapping[str, Any]], tasks: int) -> Worker:
        """Return a worker that looks at these.

        Raises:
            OSError: none could be started.
        """
        while self._waiting:
            worker = self._waiting.pop()
            try:
                worker.order(specs, tasks)
            except OSError:  # it died, or was stopped
                worker.end()
            else:
                return worker
        return Worker.forked(specs, tasks, self._ears)

    def give_back(self, worker: Worker) -> None:
        """Keep a worker for the next request, or let it end."""
        if worker.fit and worker.ears == self._ears and len(self._waiting) < _KEPT:
            self._waiting.append(worker)
        else:
            worker.end()

    def leave(self) -> None:
        """Let them end."""
        while self._waiting:
            self._waiting.pop().end()


def _news(spec: Mapping[str, Any], before: Mapping[str, Any]) -> bytes:
    """Return, as JSON, what of a look is not as in the order before; all of it where more than its state is another."""
    state = spec.get("state")
    same = {**spec, "state": None} == {**before, "state": None}
    if same and state == before.get("state"):
        return b"{}"
    if isinstance(state, bytes):
        return b'{"state":%s}' % state if same else wire.text({**spec, "state": json.loads(state)})
    return wire.text({"state": state} if same else spec)


def _stand(
    orders: "_socket.socket", known: Sequence[Mapping[str, Any]], write: Callable[[bytes], None], ears: Optional[int]
) -> None:
    specs = known
    while True:
        received = _order(orders)
        if received is None:
            return
        news, tasks = received
        specs = [new if "id" in new else {**before, **new} for new, before in zip(news, [*specs, *([{}] * len(news))])]
        look.serve(specs, tasks, write, lambda: _call(orders), ears)
        os.close(tasks)


def _call(orders: "_socket.socket") -> None:
    with suppress(OSError):  # who does not listen is gone, or has not come round yet
        orders.send(b"!")


def _order(orders: "_socket.socket") -> Optional[Tuple[List[Mapping[str, Any]], int]]:
    with suppress(ConnectionError):
        data, rights, _, _ = orders.recvmsg(_AT_ONCE, _socket.CMSG_LEN(_DESCRIPTOR.size))
        received = bytearray(data)
        while received and len(received) < _end(received):
            more = orders.recv(_AT_ONCE)
            if not more:
                return None
            received += more
        if received:
            (descriptor,) = _DESCRIPTOR.unpack(rights[0][2])
            os.set_inheritable(descriptor, False)
            return json.loads(received[_LENGTH.size :]), descriptor
    return None


def _end(received: bytearray) -> int:
    """Return how long an order is, or more than there is of it."""
    return _LENGTH.size + (_LENGTH.unpack_from(received)[0] if len(received) >= _LENGTH.size else 0)
