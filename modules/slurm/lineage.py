"""The line of jobs that one job became: written into the comment of each that we send, so that Slurm itself keeps it.

Whoever restarts, and whatever journal is lost, the count goes on.
"""

import re
from typing import List, Optional, Tuple

from runbook.modules.frozen import frozen

_MARK = re.compile(r"\s*\[runbook ((?:[a-z]+=[^\s\[\]]+ ?)+)(?:: ?([^\[\]]*))?\]\s*$")
_BARE = re.compile(r"[^\x20-\x7e]|[\[\]\"'|]")  # what a column, a quote or our own brackets may trip over
_CAPITAL = re.compile(r"[A-Z]")  # is written ^a: sacctmgr makes comments small
_MARKED = re.compile(r"\^(.)")
_LONGEST = 200  # characters of what is said


@frozen
class Mark:
    """What stands in the comment of a job that we sent."""

    first: str  # the job that it all began with
    after: str  # the one whose failure this one follows
    attempt: int  # 2 = the first one that we sent
    tries: int = 0  # how often it was sent after an attempt that came no further: those that a limit counts
    progress: Optional[float] = None  # how far the one before had come
    best: Optional[float] = None  # how far any one had come
    spent: float = 0.0  # core-hours of those before
    gpu: float = 0.0  # GPU-hours of those before
    bad: Tuple[str, ...] = ()  # nodes that it must not run on
    held: bool = False  # this very job is not sent again, and `why` says why
    why: str = ""  # the verdict, and what was changed

    @property
    def text(self) -> str:
        """The mark as it is written."""
        words = [f"first={self.first}", f"after={self.after}", f"attempt={self.attempt}", f"tries={self.tries}"]
        if self.progress is not None:
            words.append(f"progress={self.progress:.15g}")
        if self.best is not None:
            words.append(f"best={self.best:.15g}")
        if self.spent:
            words.append(f"spent={self.spent:.4g}")
        if self.gpu:
            words.append(f"gpu={self.gpu:.4g}")
        if self.bad:
            words.append(f"bad={_CAPITAL.sub(lambda found: '^' + found[0].lower(), ','.join(self.bad))}")
        if self.held:
            words.append("held=1")
        why = " ".join(_BARE.sub(" ", self.why).split())[:_LONGEST]
        return f"[runbook {' '.join(words)}{f' : {why}' if why else ''}]"


def read(comment: str) -> "Tuple[Optional[Mark], str]":
    """Return (the mark, what people wrote before it)."""
    found = _MARK.search(comment)
    if found is None:
        return None, comment.strip()
    words = dict(word.split("=", 1) for word in found[1].split())
    try:
        mark = Mark(
            first=words["first"],
            after=words["after"],
            attempt=max(1, int(words["attempt"])),
            tries=max(0, int(words.get("tries", "0"))),
            progress=float(words["progress"]) if "progress" in words else None,
            best=float(words["best"]) if "best" in words else None,
            spent=float(words.get("spent", "0")),
            gpu=float(words.get("gpu", "0")),
            bad=tuple(filter(None, _MARKED.sub(lambda found: found[1].upper(), words.get("bad", "")).split(","))),
            held=words.get("held") == "1",
            why=(found[2] or "").strip(),
        )
    except (KeyError, ValueError):
        return None, comment.strip()
    return mark, comment[: found.start()].strip()


def leader(job: str) -> str:
    """Return the job that a lineage is called after: of one in several parts, the first of them.

    Example:
        >>> leader("72+1"), leader("74_2")
        ('72+0', '74_2')
    """
    number, plus, _ = job.partition("+")
    return f"{number}+0" if plus else job


def written(people: str, mark: Mark) -> str:
    """Return a comment: what people wrote, and our mark behind it."""
    kept: List[str] = [people] if people else []
    return " ".join([*kept, mark.text])
