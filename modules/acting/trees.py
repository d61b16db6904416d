"""The opened `writable` entries of one step, each opened once."""

from typing import Dict, Sequence, Tuple

from runbook.modules.acting import writable as entries
from runbook.modules.acting.tree import Tree
from runbook.modules.declare import Failed, Refused


class Trees:
    """Opens the tree that a path lies in, when it is first asked for, and holds it open."""

    def __init__(self, writable: Sequence[str]) -> None:
        self.writable = tuple(writable)
        self._open: Dict[str, Tree] = {}

    def __enter__(self) -> "Trees":  # noqa: PYI034 -- Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, path: str) -> Tuple[Tree, str]:
        """Return (the opened `writable` entry that a path lies in, the path relative to it).

        Raises:
            Refused: it lies in none, or a link stands in the entry's own path.
            FileNotFoundError: the entry is not there.
        """
        wanted, entry = entries.covering(path, self.writable)
        if entry not in self._open:
            self._open[entry] = Tree(entry)
        tree = self._open[entry]
        return tree, tree.relative(wanted)

    def close(self) -> None:
        """Let go of every tree."""
        for tree in self._open.values():
            tree.close()
        self._open.clear()


def opened(trees: Trees, root: str) -> Tuple[Tree, str]:
    """Return (the opened `writable` entry that a tree lies in, the tree's path relative to it).

    Raises:
        Refused: it lies in none, or a link stands in the entry's own path.
        Failed: the entry is not there.
    """
    try:
        return trees.open(root)
    except FileNotFoundError as error:
        raise Failed(f"{root} is not there") from error


def below(base: str, path: str) -> str:
    """Return the path of an entry of a tree, relative to the `writable` entry that the tree lies in.

    Raises:
        Refused: it climbs out of the tree.
    """
    if path.startswith("/") or (".." in path and ".." in path.split("/")):
        raise Refused(f"{path}: an entry must lie below its tree")
    return f"{base}/{path}" if base and path else base or path
