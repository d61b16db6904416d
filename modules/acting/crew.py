"""Doing one thing to very many entries: several processes take a stretch each, since one of Python's takes too long."""

import contextlib
import itertools
import json
import os
import signal
from typing import Any, Callable, Dict, List, Sequence, Tuple, TypeVar

from runbook.modules.acting.problems import Problems

LEAST = 20_000  # entries for which another process is worth its start
MOST = 8  # processes: a file system is not much quicker for more
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_LOST = "the process that was to do it was ended"
Thing = TypeVar("Thing")
Lively = Callable[[int], None]  # is told how many are done so far
Share = Callable[[Sequence[Thing], Problems, Lively], List[int]]  # does some of it, and returns what it sums up


def carry_out(things: Sequence[Thing], share: "Share[Thing]", problems: Problems, progress: Lively) -> List[int]:
    """Do a share with each process; return what they sum up.

    Args:
        things: what it is to be done to, in an order in which it may be torn into stretches.
        share: does it, and returns as many sums for a stretch as for any other.
        problems: takes what could not be done, by all of them.
        progress: is told how many are done, all in all and about.
    """
    number = max(1, min(MOST, len(os.sched_getaffinity(0)), len(things) // LEAST))
    size = max(1, -(-len(things) // number))
    stretches = [things[start : start + size] for start in range(0, len(things), size)]
    others: List[Tuple[int, int]] = []
    try:
        others += [_begun(stretch, share, problems.another()) for stretch in stretches[1:]]
        sums = share(stretches[0] if stretches else [], problems, lambda done: progress(done * len(stretches)))
        for pid, answers in others:
            said = _answer(pid, answers)
            sums = [one + other for one, other in itertools.zip_longest(sums, said["sums"], fillvalue=0)]
            problems.take(said["count"], said["told"])
        others.clear()
    finally:
        for pid, answers in others:  # this process is interrupted
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            _answer(pid, answers)
    return sums


def _begun(stretch: Sequence[Thing], share: "Share[Thing]", problems: Problems) -> Tuple[int, int]:
    """Start a process that does its share; return its pid and where it will answer."""
    parent = os.getpid()
    answers, answering = os.pipe()
    pid = os.fork()
    if pid:
        os.close(answering)
        return pid, answers
    code = 1
    try:
        _end_with(parent)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        os.close(answers)
        sums = share(stretch, problems, lambda _: None)
        told = json.dumps({"sums": sums, "count": problems.count, "told": problems.told})
        os.write(answering, told.encode())
        code = 0
    finally:
        os._exit(code)


def _end_with(parent: int) -> None:
    """Let this process end when the other does: nobody would know of what it goes on with."""
    import ctypes

    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _answer(pid: int, answers: int) -> Dict[str, Any]:
    with open(answers, "rb") as file:
        body = file.read()
    os.waitpid(pid, 0)
    try:
        said: Dict[str, Any] = json.loads(body)
    except ValueError:
        return {"sums": [], "count": 1, "told": [_LOST]}
    return said
