"""What an action works with: opened trees, the place for its undo, its output and its report."""

import contextlib
import os
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from runbook.modules import writable as entries
from runbook.modules.tree import Tree

HEAD, TAIL = 16 << 10, 48 << 10  # bytes of a step's output that are kept


class Output:
    """What programs printed: its head and its tail."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, data: bytes) -> None:
        """Take what was printed."""
        room = HEAD - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        excess = len(self._tail) - TAIL
        if excess > 0:
            self._dropped += excess
            del self._tail[:excess]

    def text(self) -> str:
        """Return what was kept, with a word about what was not."""
        gap = b"\n... %d bytes left out ...\n" % self._dropped if self._dropped else b""
        return (bytes(self._head) + gap + bytes(self._tail)).decode("utf-8", "replace")

    def last_line(self) -> str:
        """Return the last line that is not empty."""
        lines = (bytes(self._head) + bytes(self._tail[-4096:])).decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip()[:300] if lines else ""


class Hands:
    """Passed from action to action of one step. `Do` functions get it: directories as descriptors, never paths."""

    def __init__(
        self,
        writable: Sequence[str],
        keep_undo: Callable[[Mapping[str, Any]], None],
        progress: Callable[[str], None],
        *,
        diff: bool = False,
    ) -> None:
        self.writable = tuple(writable)
        self.keep_undo = keep_undo  # must return before the thing is done
        self.progress = progress
        self.diff = diff
        self.output = Output()
        self.exit_code: Optional[int] = None
        self.data: Dict[str, Any] = {}
        self.actions: List[Dict[str, Any]] = []
        self.diffs: List[str] = []
        self.touched = False  # something may have been changed by now
        self._trees: Dict[str, Tree] = {}

    def open(self, path: str) -> Tuple[Tree, str]:
        """Return (the opened `writable` entry that a path lies in, the path relative to it).

        Raises:
            Refused: it lies in none, or a link stands in the entry's own path.
            FileNotFoundError: the entry is not there.
        """
        wanted, entry = entries.covering(path, self.writable)
        if entry not in self._trees:
            self._trees[entry] = Tree(entry)
        tree = self._trees[entry]
        return tree, tree.relative(wanted)

    def directory(self, path: str, *, make: bool = False) -> int:
        """Return the descriptor of a directory in `writable`, the caller's to close; `make` makes what is missing."""
        tree, relative = self.open(path)
        if make:
            so_far = ""
            for name in filter(None, relative.split("/")):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o777, dir_fd=tree.directory(so_far))
                    self.touched = True
                so_far = f"{so_far}/{name}" if so_far else name
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=tree.directory(relative))

    def close(self) -> None:
        """Let go of every tree."""
        for tree in self._trees.values():
            tree.close()
        self._trees.clear()


def size(count: float) -> str:
    """Return bytes as people write them."""
    unit = next((unit for unit in ("B", "kB", "MB", "GB", "TB") if count < 1000 * _UNITS[unit]), "PB")
    return f"{count / _UNITS[unit]:.3g} {unit}"


def counted(number: int, what: str, many: str = "") -> str:
    """Return `1 file`, `312 files`."""
    return f"{number:,} {what if number == 1 else many or what + 's'}"


_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15}
