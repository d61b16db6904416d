"""Looking at very many entries of a tree: its directories are shared out between processes."""

import functools
import itertools
import os
import stat
from typing import Any, Callable, Iterator, List, Sequence

from runbook.modules.acting import crew, tree, walking
from runbook.modules.acting.walking import Folder

LARGE = 500_000  # bytes of a tree's directories: about as many as 20,000 names take
Judge = Callable[[Iterator[Folder]], Any]  # returns what `marshal` can carry


def judged(path: str, judge: Judge) -> List[Any]:
    """Return what is judged of the directories at and below a path, in parts: those below come before the one above.

    The part that comes last has the path itself.

    Raises:
        Refused, Failed: as `walking.folders`.
    """
    number = crew.hands()
    folders = list(_folders(path)) if number > 1 else []
    if len(folders) < number:
        return [judge(walking.folders(path))]
    shares = [folders[first::number] for first in range(1, number)]
    taken = frozenset(itertools.chain.from_iterable(shares))
    here = functools.partial(judge, walking.folders(path, without=taken))
    there = [functools.partial(_of, path, share, judge) for share in shares]
    mine, *others = crew.side_by_side([here, *there])
    return [*others, mine]


def _of(path: str, names: Sequence[str], judge: Judge) -> Any:
    walks = (walking.folders(f"{path.rstrip('/')}/{name}", prefix=name) for name in names)
    return judge(itertools.chain.from_iterable(walks))


def _folders(path: str) -> Iterator[str]:
    """Yield the directories in a large tree's top that are of its own file system; nothing of a small one."""
    found = {}
    try:
        device, mounts = os.lstat(path).st_dev, tree.mounts_below(path)
        with os.scandir(path) as children:
            for child in children:
                if child.is_dir(follow_symlinks=False):
                    seen = child.stat(follow_symlinks=False)
                    if stat.S_ISDIR(seen.st_mode) and seen.st_dev == device and child.name not in mounts:
                        found[child.name] = seen.st_size
    except OSError:  # the walk says what is wrong
        return
    if sum(found.values()) >= LARGE:
        yield from sorted(found)
