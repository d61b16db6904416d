"""Finding the lines that match one of many patterns.

An engine names the lines that may match, by whatever is fastest; each is then given to Python's own expressions, in
order. So the engines differ in speed and in nothing else.
"""

import importlib
import os
from functools import lru_cache
from typing import Dict, Iterator, Optional, Protocol, Sequence, Tuple

from runbook.modules.declare import Unclear
from runbook.modules.logs.engines import hyperscan
from runbook.modules.logs.hits import KEPT, Hit, TooSlow
from runbook.modules.logs.judging import Judge
from runbook.modules.logs.patterns import Pattern

__all__ = ["KEPT", "Hit", "Matcher", "TooSlow", "judge", "matcher", "prepare"]


ENGINES = ("hyperscan", "re2", "grep", "literals")  # the fastest first
MOST = 64  # sets of patterns that are kept ready
_ENGINES = "runbook.modules.logs.engines"
SMALL = 1024 * 1024  # bytes that are not worth the making of an engine


class Matcher(Protocol):
    """Finds matching lines in blocks of whole lines."""

    def hits(
        self, block: bytes, limit: float = ..., *, goes_on: bool = False, before: bytes = b"", every: bool = False
    ) -> Iterator[Hit]:
        """Return the lines that match, in order, each with the first pattern in order that does.

        Args:
            block: whole lines.
            limit: seconds of processor time that it may take.
            goes_on: before the block stands a lone carriage return, so that its first line is no line's beginning.
            before: the last lines before the block, for patterns that reach over several.
            every: return each pattern of a line and not only the first.

        Raises:
            TooSlow: it took longer.
        """


def matcher(patterns: Sequence[Pattern], backlog: int) -> Matcher:
    """Return what finds these patterns' lines in so many bytes; what `prepare` was called for costs nothing.

    Raises:
        Unclear: `RUNBOOK_SCANNER` names an engine that this host has not.
    """
    return judge(patterns, backlog)


def judge(patterns: Sequence[Pattern], backlog: int) -> Judge:
    """Return the same, with all that a judge of candidates can do."""
    large = backlog > SMALL
    last = _last.get(large)
    if last is not None and last[0] is patterns and isinstance(patterns, tuple):
        return last[1]  # of a directory of small files the hashing of all patterns would be most of the work
    found = _chosen(tuple(patterns), backlog)
    if large:
        _last.clear()  # what is made now serves small ones too
    _last[large] = (patterns, found)
    return found


def _chosen(asked: Tuple[Pattern, ...], backlog: int) -> Judge:
    forced = os.environ.get("RUNBOOK_SCANNER", "")
    if forced:
        if forced not in ENGINES:
            raise Unclear(f"RUNBOOK_SCANNER={forced} names no engine; there are {', '.join(ENGINES)}")
        made = _judge(asked, forced)
        if made is None:
            raise Unclear(f"RUNBOOK_SCANNER={forced}: this host has no {forced}")
        return made
    if asked in _best:
        return _best[asked]
    if backlog <= SMALL:
        return _sure(asked)
    for name in ENGINES:
        made = _judge(asked, name) if name != "hyperscan" or hyperscan.worth(asked, backlog) else None
        if made is not None:
            if made.engine.sure:
                while len(_best) >= MOST:
                    del _best[next(iter(_best))]
                _best[asked] = made
            return made
    return _sure(asked)


def prepare(patterns: Sequence[Pattern]) -> None:
    """Do what can be done before the first line is there, for small backlogs."""
    judge(patterns, 0).prepare()


def forget() -> None:
    """Forget what is kept ready in this process."""
    _last.clear()
    _best.clear()
    _judge.cache_clear()


_last: Dict[bool, Tuple[Sequence[Pattern], Judge]] = {}  # of the large backlog before, and of the small one
_best: Dict[Tuple[Pattern, ...], Judge] = {}  # what was made for large backlogs serves small ones too


def _sure(patterns: Tuple[Pattern, ...]) -> Judge:
    made = _judge(patterns, "literals")
    assert made is not None
    return made


@lru_cache(maxsize=MOST)
def _judge(patterns: Tuple[Pattern, ...], name: str) -> Optional[Judge]:
    """Return a judge with an engine; None where the host has not got it."""
    try:
        engine = importlib.import_module(f"{_ENGINES}.{name}").made(patterns)
    except ImportError:
        return None
    return Judge(patterns, engine)
