"""The looks of one request, served by a few forked workers, so that one that hangs holds up no other."""

import os
import time
from typing import Any, Dict, Iterator, List, Mapping, Optional

from runbook.modules import child, look, wire

_SLOW = 0.05  # seconds that a waiting look waits for a busy worker before another worker is started
_WORKERS = 8
_DEADLINE = 30.0  # seconds for a look that says nothing else


class _Worker:
    """A child and the look that it is busy with."""

    def __init__(self, process: child.Child, tasks: int) -> None:
        self.process = process
        self.tasks = tasks
        self.busy: Optional[int] = None
        self.since = 0.0

    def give(self, index: int, deadline: float) -> None:
        """Let it look."""
        self.busy, self.since = index, time.monotonic()
        self.process.deadline = self.since + deadline
        os.write(self.tasks, look.task(index))


class Batch:
    """One `probe` request."""

    def __init__(self, message: Mapping[str, Any]) -> None:
        self._seq = message.get("seq")
        self._specs: List[Mapping[str, Any]] = [dict(spec) for spec in message["specs"]]
        self._limits = [float(spec.get("deadline") or _DEADLINE) for spec in self._specs]
        self._waiting = list(range(len(self._specs)))[::-1]
        self._looks: List[Optional[Dict[str, Any]]] = [None] * len(self._specs)
        self._workers: List[_Worker] = []
        self._more_at = time.monotonic()  # when another worker may be started
        self._answered = False
        self.imported: List[str] = []
        look.prepare(self._specs)
        self.tick(self._more_at)

    @property
    def descriptors(self) -> List[int]:
        """What to listen to."""
        return [worker.process.answers for worker in self._workers]

    @property
    def deadline(self) -> float:
        """When `tick` has something to do though nothing was heard."""
        times = [worker.process.deadline for worker in self._workers if worker.busy is not None]
        if self._waiting and len(self._workers) < _WORKERS:
            times.append(self._more_at)
        return min(times, default=child.NEVER)

    @property
    def done(self) -> bool:
        """Everything was answered."""
        return self._answered

    def answers(self) -> Iterator[Dict[str, Any]]:
        """Yield the answer, once, when every look is there."""
        if not self._answered and all(found is not None for found in self._looks):
            self._answered = True
            self.stop()
            yield {"seq": self._seq, "looks": self._looks}

    def hear(self, descriptor: int) -> None:
        """Take what a worker says, and give it the next look."""
        worker = next(worker for worker in self._workers if worker.process.answers == descriptor)
        try:
            messages = worker.process.hear()
        except wire.Junk as error:
            worker.process.kill()
            self._drop(worker, f"what was seen can't be read: {error}")
            return
        if messages is None:
            self._lost(worker)
            return
        for message in messages:
            assert worker.busy is not None
            self._looks[worker.busy] = message["look"]
            self.imported += message["imported"]
            worker.busy = None
            if self._waiting:
                self._give(worker)

    def tick(self, now: float) -> None:
        """Kill what is over its deadline; start another worker when looks wait for busy ones."""
        for worker in list(self._workers):
            if worker.busy is not None and now >= worker.process.deadline:
                self._late(worker)
        if self._waiting and len(self._workers) < _WORKERS and now >= self._more_at:
            self._start()

    def stop(self) -> None:
        """Let every worker go; one that still looks is killed."""
        for worker in self._workers:
            if worker.busy is not None:
                worker.process.kill()
            os.close(worker.tasks)
            worker.process.end()
        self._workers.clear()

    def _start(self) -> None:
        theirs, tasks = os.pipe()
        try:
            process = child.fork(lambda write: look.serve(self._specs, theirs, write), child.NEVER, [theirs])
        except OSError as error:
            os.close(tasks)
            if not self._workers:
                self._give_up(f"no process could be started to look: {error.strerror}")
            return
        finally:
            os.close(theirs)
        worker = _Worker(process, tasks)
        self._workers.append(worker)
        self._give(worker)
        self._more_at = time.monotonic() + _SLOW

    def _give(self, worker: _Worker) -> None:
        index = self._waiting.pop()
        worker.give(index, self._limits[index])
        self._more_at = max(self._more_at, worker.since + _SLOW)

    def _late(self, worker: _Worker) -> None:
        worker.process.kill()
        limit = self._limits[worker.busy or 0]
        self._drop(worker, f"the look did not end within {limit:g} s")

    def _lost(self, worker: _Worker) -> None:
        self._drop(worker, "the process that looked died")

    def _drop(self, worker: _Worker, reason: str) -> None:
        self._workers.remove(worker)
        os.close(worker.tasks)
        code = worker.process.end()
        if worker.busy is not None:
            spent = time.monotonic() - worker.since
            died = f" (signal {-code})" if code < 0 and "died" in reason else ""
            self._looks[worker.busy] = look.unknown(self._specs[worker.busy], reason + died, spent)
        self._more_at = time.monotonic()

    def _give_up(self, reason: str) -> None:
        for index in self._waiting:
            self._looks[index] = look.unknown(self._specs[index], reason, 0.0)
        self._waiting.clear()
