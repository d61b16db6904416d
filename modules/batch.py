"""The looks of one request, served by a few forked workers, so that one that hangs holds up no other.

The workers take what is to be looked at from one pipe, so that none waits for the agent between two looks; the agent
hears what each of them saw, and at what it looks now.
"""

import fcntl
import os
import struct
import time
from typing import Any, Dict, Iterator, List, Mapping, Union

from runbook.modules import child, look, wire
from runbook.modules.standing import Standing, Worker
from runbook.modules.states import FORM, States

_DIED = "the process that looked died"
_SLOW = 0.15  # seconds in which no look ends, after which another worker is started; a first `health` sleeps for 0.1
_PATIENCE = 1.0  # seconds for which none is started beside those that are busy, and do not wait for anything
_TOGETHER = 0.05  # seconds for which answers gather, unless their worker calls: each waking costs as much as a look
_LARGE = 32 * 1024  # bytes of answers after which there are more to come at once
_WORKERS = 8
_DEADLINE = 30.0  # seconds for a look that says nothing else
_PIPE = 64 * 1024  # bytes that a pipe takes
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ, which Python names from 3.10 on
_READABLE = 0x541B  # FIONREAD, for which a module would have to be imported


class Batch:
    """One `probe` request."""

    def __init__(self, message: Mapping[str, Any], states: States, standing: Standing) -> None:
        self._seq = message.get("seq")
        self.specs: List[Dict[str, Any]] = [dict(spec) for spec in message["specs"]]
        self._states = states
        self._standing = standing
        states.fill(self.specs)
        self._limits = [float(spec.get("deadline") or _DEADLINE) for spec in self.specs]
        self._looks: List[Union[wire.Raw, Dict[str, Any], None]] = [None] * len(self.specs)
        self._missing = len(self.specs)
        self._workers: List[Worker] = []
        self._answered = False
        self.imported: List[str] = []
        if FORM not in message:
            look.prepare(self.specs)
        self._tasks = _queue(look.order(self.specs))
        self._began = self._more_at = time.monotonic()  # when another worker may start
        self._listen_at = self._more_at + _TOGETHER  # when answers are heard, unless a worker calls
        self.tick(self._more_at)

    @property
    def descriptors(self) -> List[int]:
        """What to listen to: workers that call, and what they say where it was left to gather for long enough."""
        calls = [worker.calls for worker in self._workers]
        if time.monotonic() < self._listen_at:
            return calls
        return [*calls, *(worker.process.answers for worker in self._workers)]

    @property
    def deadline(self) -> float:
        """When `tick` has something to do though nothing was heard."""
        times = [worker.process.deadline for worker in self._workers if worker.busy is not None]
        if self._listen_at > time.monotonic():
            times.append(self._listen_at)
        if len(self._workers) < _WORKERS and self._waiting:
            times.append(self._more_at)
        return min(times, default=child.NEVER)

    @property
    def done(self) -> bool:
        """Everything was answered."""
        return self._answered

    @property
    def _waiting(self) -> bool:
        """There are looks that no worker has taken."""
        return not self._answered and _left(self._tasks) > 0

    def answers(self) -> Iterator[Dict[str, Any]]:
        """Yield the answer, once, when every look is there."""
        if not self._answered and not self._missing:
            self._answered = True
            self._states.take(self._seq, self.specs, self._looks)
            yield {"seq": self._seq, "looks": self._looks}
            self.stop()  # nobody waits for that

    def hear(self, descriptor: int) -> None:
        """Take what a worker says."""
        worker = next((one for one in self._workers if descriptor in (one.calls, one.process.answers)), None)
        if worker is None:
            return  # it called and spoke, and is gone since
        if descriptor == worker.calls:
            worker.called()
        try:
            messages = worker.process.hear()
        except wire.Junk as error:
            worker.process.kill()
            self._drop(worker, f"what was seen can't be read: {error}")
            return
        if messages is None:
            self._drop(worker, _DIED)
            return
        for message in messages:
            if "look" in message and worker.busy is not None:
                found = message["look"]
                self._saw(worker.busy, found)
                if not isinstance(found, wire.Raw):
                    worker.stained = worker.stained or found["status"] == "unknown"
                    self.imported += message["imported"]
            index = message.get("next")
            worker.turn(index, 0.0 if index is None else self._limits[index])
        now = time.monotonic()
        self._more_at = now + _SLOW
        self._listen_at = now if worker.process.heard >= _LARGE else now + _TOGETHER

    def tick(self, now: float) -> None:
        """Kill what is over its deadline; start another worker when looks wait for busy ones."""
        for worker in list(self._workers):
            if worker.busy is not None and now >= worker.process.deadline:
                worker.process.kill()
                self._drop(worker, f"the look did not end within {self._limits[worker.busy]:g} s")
        if len(self._workers) < _WORKERS and now >= self._more_at and self._waiting:
            if now - self._began < _PATIENCE and any(worker.process.runs() for worker in self._workers):
                self._more_at = now + _SLOW  # it does what it can: another would take its processor, not its work
            else:
                self._start()
        if not self._workers and self._missing and not self._waiting:
            self._give_up(_DIED)  # taken by one that died before it could say so

    def stop(self) -> None:
        """Let every worker go; one that still looks is killed."""
        for worker in self._workers:
            self._standing.give_back(worker)
        self._workers.clear()
        if self._tasks >= 0:
            os.close(self._tasks)
            self._tasks = -1

    def _start(self) -> None:
        try:
            worker = self._standing.take(self.specs, self._tasks)
        except OSError as error:
            if not self._workers:
                self._give_up(f"no process could be started to look: {error.strerror}")
            return
        self._workers.append(worker)
        self._more_at = time.monotonic() + _SLOW

    def _saw(self, index: int, found: Union[wire.Raw, Dict[str, Any]]) -> None:
        if self._looks[index] is None:
            self._missing -= 1
        self._looks[index] = found

    def _drop(self, worker: Worker, reason: str) -> None:
        self._workers.remove(worker)
        code = worker.end()
        if worker.busy is not None:
            spent = time.monotonic() - worker.since
            if reason == _DIED:
                from runbook.modules import layers

                own = layers.file(self.specs[worker.busy].get("code"))
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
                reason = f"{_DIED} ({how}{f', in {own}' if own else ''})"
            self._saw(worker.busy, look.unknown(self.specs[worker.busy], reason, spent))
        self._more_at = time.monotonic()

    def _give_up(self, reason: str) -> None:
        for index, found in enumerate(self._looks):
            if found is None:
                self._saw(index, look.unknown(self.specs[index], reason, 0.0))


def _queue(indexes: List[int]) -> int:
    """Return a pipe from which each reader takes the next index, until there is none."""
    data = b"".join(map(look.task, indexes))
    tasks, writer = os.pipe()
    try:
        if len(data) > _PIPE:
            fcntl.fcntl(writer, _SET_PIPE_SIZE, len(data))
        if data:
            os.write(writer, data)
    except OSError:
        os.close(tasks)
        raise
    finally:
        os.close(writer)
    return tasks


def _left(tasks: int) -> int:
    """Return how many bytes wait in a pipe."""
    found: int = struct.unpack("i", fcntl.ioctl(tasks, _READABLE, b"\0\0\0\0"))[0]
    return found
