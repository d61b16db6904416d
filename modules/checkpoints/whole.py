"""Whether all the files of a checkpoint are there: shards, ranks, and the file that a save writes last.

What is in the files is another question (`validity.py`). torch's own lists of shards are pickles: they are looked
through for names, and never loaded.
"""

import os
import re
from typing import Dict, Iterator, List, Sequence, Set, Tuple

from runbook.modules.acting.regular_file import reading
from runbook.modules.formats.unsound import LARGEST_TEXT, Unsound, Untold

LAST = ("trainer_state.json", ".metadata", "metadata.json", "latest")  # written when all else of a checkpoint was
_NUMBERED = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<rest>\..+)")
_RANKED = re.compile(r"(?:zero_pp_rank|mp_rank|rng_state)_(?P<number>\d+)")
_MOST = 100_000  # shards that a name may claim


def entire(root: str, names: Sequence[str]) -> None:
    """Raise Unsound when a checkpoint's files say that another one is missing.

    Args:
        root: the checkpoint's directory.
        names: all files below it, by their relative paths.

    Raises:
        Unsound: a shard, a rank or a list of shards is missing, or a list names what is not there.
        Untold: a list of shards can't be read in full.
    """
    there = set(names)
    for name in _missing(names):
        if name not in there:
            raise Unsound(f"{name} is missing")
    for folder in sorted({os.path.dirname(name) for name in names if name.endswith(".distcp")}):
        listed = os.path.join(folder, ".metadata")
        if listed not in there:
            raise Unsound(f"{listed}, which is written last, is missing")
        for name in _named(os.path.join(root, listed)):
            if os.path.join(folder, name) not in there:
                raise Unsound(f"{listed} names {name}, which is missing")
    for name in names:
        if os.path.basename(name) == "latest":
            _leads(root, name)


def _missing(names: Sequence[str]) -> Iterator[str]:
    """Yield the names that others imply: one of each number."""
    counted: Set[Tuple[str, str, int]] = set()
    ranks: Dict[Tuple[str, str, int], Set[int]] = {}
    for name in names:
        found = _NUMBERED.fullmatch(name)
        if found and int(found["count"]) <= _MOST:
            counted.add((found["stem"], found["rest"], int(found["count"])))
        for found in _RANKED.finditer(name):
            number = found["number"]
            width = len(number) if number.startswith("0") and len(number) > 1 else 0
            stem, rest = name[: found.start("number")], name[found.end("number") :]
            ranks.setdefault((stem, rest, width), set()).add(int(number))
    for stem, rest, count in sorted(counted):
        yield from (f"{stem}-{number:05}-of-{count:05}{rest}" for number in range(1, count + 1))
    for (stem, rest, width), numbers in sorted(ranks.items()):
        first = min(numbers)  # a node's own disk may hold its own ranks alone
        yield from (f"{stem}{number:0{width}}{rest}" for number in range(first, min(max(numbers), first + _MOST)))


def _named(path: str) -> List[str]:
    """Return the shards that torch's list of a distributed checkpoint names."""
    import pickletools

    with reading(path) as file:
        content = file.read(LARGEST_TEXT + 1)
    if len(content) > LARGEST_TEXT:
        raise Untold(f"its list of shards has more than {LARGEST_TEXT >> 20} MiB")
    found = set()
    try:
        for _, argument, _ in pickletools.genops(content):
            if isinstance(argument, str) and argument.endswith(".distcp") and "/" not in argument:
                found.add(argument)
    except Exception as error:  # half a pickle ends in many ways
        raise Unsound(f"{os.path.basename(path)} is cut off or overwritten: {error}") from error
    return sorted(found)


def _leads(root: str, name: str) -> None:
    """Follow DeepSpeed's `latest`, which names the directory with the states."""
    with reading(os.path.join(root, name)) as file:
        target = file.read(300).decode("utf-8", "replace").strip()
    if re.fullmatch(r"[\w.=-]+", target) and not os.path.exists(os.path.join(root, os.path.dirname(name), target)):
        raise Unsound(f"{name} names {target}, which is missing")
