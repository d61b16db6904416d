"""Jobs of a kind: those of one name, where a number in it counts them; of one user, partition or account."""

import re
from typing import Dict, List, Sequence, Tuple

from runbook.modules.slurm.usage import Run

_NUMBER = re.compile(r"(?<![^\W_])\d+(?![^\W_])")  # one that stands alone: train_7, run.3; not llama-7b or gpt2


def kind(name: str) -> str:
    """Return a name whose numbers that stand alone may be any.

    Example:
        >>> kind("train_7"), kind("llama-7b_seed-3"), kind("7")
        ('train_*', 'llama-7b_seed-*', '*')
    """
    return _NUMBER.sub("*", name)


def grouped(runs: Sequence[Run], by: str) -> "List[Tuple[str, List[Run]]]":
    """Return runs by their kind, those that took most of the cluster first.

    Args:
        runs: all of them.
        by: name, user, partition, account or job. Of names, each user's are of a kind; the users are named where there
            are several.
    """
    users = {run.user for run in runs}
    found: Dict[Tuple[str, str], List[Run]] = {}
    for run in runs:
        key = ("", run.id) if by == "job" else (run.user, kind(run.name)) if by == "name" else ("", getattr(run, by))
        found.setdefault(key, []).append(run)
    named = [(_named(user, text, mine, by, many=len(users) > 1), mine) for (user, text), mine in found.items()]
    return sorted(named, key=lambda each: (-sum(run.core_hours for run in each[1]), each[0]))


def _named(user: str, text: str, runs: Sequence[Run], by: str, *, many: bool) -> str:
    names = {run.name for run in runs}
    word = next(iter(names)) if by == "name" and len(names) == 1 else text
    return f"{user}: {word}" if by == "name" and many else word or "(none)"
