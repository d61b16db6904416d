"""Work on very many entries, shared out between processes: one of Python's takes too long for them."""

import contextlib
import functools
import itertools
import marshal
import os
import signal
from typing import Any, Callable, List, Sequence, Tuple, TypeVar

from runbook.modules.acting.problems import Problems
from runbook.modules.declare import Failed, Refused

LEAST = 20_000  # entries for which another process is worth its start
MOST = 8  # processes: a file system is not much quicker for more
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_ENDINGS = {"refused": Refused, "failed": Failed}
Thing = TypeVar("Thing")
Lively = Callable[[int], None]  # is told how many are done so far
Share = Callable[[Sequence[Thing], Problems, Lively], List[int]]  # does some of it, and returns what it sums up
Work = Callable[[], Any]  # returns what `marshal` can carry


def hands() -> int:
    """Return how many processes may work at the same time."""
    return min(MOST, len(os.sched_getaffinity(0)))


def carry_out(
    things: Sequence[Thing],
    share: "Share[Thing]",
    problems: Problems,
    progress: Lively,
    weigh: Callable[[Thing], int] = lambda _: 1,
) -> List[int]:
    """Do a share with each process; return what they sum up.

    Args:
        things: what it is to be done to, in an order in which it may be torn into stretches.
        share: does it, and returns as many sums for a stretch as for any other.
        problems: takes what could not be done, by all of them.
        progress: is told how many are done, all in all and about.
        weigh: tells how many entries a thing stands for.
    """
    stretches = _stretches(things, list(map(weigh, things))) or [things]

    def work(stretch: "Sequence[Thing]", lively: Lively) -> Tuple[List[int], int, List[str]]:
        found = problems.another()
        return share(stretch, found, lively), found.count, found.told

    works = [functools.partial(work, stretch, lambda _: None) for stretch in stretches]
    works[0] = functools.partial(work, stretches[0], lambda done: progress(done * len(stretches)))
    sums: List[int] = []
    for more, count, told in side_by_side(works):
        sums = [one + other for one, other in itertools.zip_longest(sums, more, fillvalue=0)]
        problems.take(count, told)
    return sums


def _stretches(things: Sequence[Thing], weights: Sequence[int]) -> "List[Sequence[Thing]]":
    """Tear things into stretches that weigh about the same, one for each process."""
    number = max(1, min(hands(), sum(weights) // LEAST))
    size = max(1, -(-sum(weights) // number))
    found: List[Sequence[Thing]] = []
    start = weight = 0
    for end, more in enumerate(weights, 1):
        weight += more
        if weight >= size or end == len(things):
            found.append(things[start:end])
            start, weight = end, 0
    return found


def side_by_side(works: Sequence[Work]) -> List[Any]:
    """Do works at the same time, the first one here, each of the others in a process; return what they return.

    Raises:
        Refused, Failed: one of them did, or its process was ended.
    """
    others: List[Tuple[int, int]] = []
    try:
        others.extend(map(_begun, works[1:]))
        results = [works[0]()]
        while others:
            body = _read(others[0][1])
            pid, answers = others.pop(0)
            os.close(answers)
            os.waitpid(pid, 0)
            results.append(_answer(body))
    finally:
        for pid, answers in others:  # something went wrong here, or with one of them
            os.close(answers)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return results


def _begun(work: Work) -> Tuple[int, int]:
    """Start a process that does a work; return its pid and where it will answer."""
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
        try:
            said = ("done", work())
        except Refused as error:
            said = ("refused", str(error))
        except (Failed, OSError) as error:
            said = ("failed", str(error))
        with open(answering, "wb") as file:
            file.write(marshal.dumps(said))
        code = 0
    finally:
        os._exit(code)


def _end_with(parent: int) -> None:
    """Let this process end when the other does: nobody would know of what it goes on with."""
    import ctypes

    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _read(answers: int) -> bytes:
    pieces: List[bytes] = []
    while True:
        piece = os.read(answers, 1 << 20)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)


def _answer(body: bytes) -> Any:
    try:
        how, said = marshal.loads(body)  # noqa: S302 -- written by ourselves
    except (EOFError, ValueError, TypeError):
        raise Failed("a process that did a part of it was ended; what it did stays done") from None
    if how != "done":
        raise _ENDINGS[how](said)
    return said
