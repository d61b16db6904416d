"""What an action works with: opened trees, the place for its undo, its output and its report."""

import contextlib
import os
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from runbook.modules import cut
from runbook.modules.acting.tree import Tree
from runbook.modules.acting.trees import Trees
from runbook.modules.mask import Mask

HEAD, TAIL = 16 << 10, 48 << 10  # bytes of a step's output that are kept
SHOWN = 300  # characters of a line in a message
_LINE = 4096  # bytes in which the last line is looked for


class Output:
    """What programs printed: its head and its tail, masked before they are cut, and cut between lines."""

    def __init__(self, mask: Optional[Mask] = None) -> None:
        self._mask = mask or Mask()
        self._open = b""  # the last bytes, as long as a secret may have begun in them
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, data: bytes) -> None:
        """Take what was printed."""
        masked, self._open = self._mask.split(self._open + data)
        room = HEAD - len(self._head)
        self._head += masked[:room]
        self._tail += masked[room:]
        excess = len(self._tail) - TAIL
        if excess > 0:
            self._dropped += excess
            del self._tail[:excess]

    def text(self) -> str:
        """Return what was kept, with a word about what was not."""
        head, tail = self._head.decode("utf-8", "replace"), self._rest(self._tail)
        if not self._dropped:
            return self._rest(self._head + self._tail)
        kept, end = cut.before(head), cut.after(tail)
        dropped = self._dropped + len(head[len(kept) :].encode()) + len(tail[: len(tail) - len(end)].encode())
        return f"{kept}\n... {dropped} bytes left out ...\n{end}"

    def last_line(self, *, ended: bool = False) -> str:
        """Return the last line that is not empty; `ended` leaves out one that is still being printed."""
        last = bytes(self._tail[-_LINE:] if len(self._tail) >= _LINE else (self._head + self._tail)[-_LINE:])
        near = last.decode("utf-8", "replace") if ended else self._rest(last)
        if len(self._head) + len(self._tail) > _LINE:
            near = cut.after(near)
        if ended:
            near = near[: max(near.rfind("\n"), near.rfind("\r")) + 1]
        lines = near.strip().splitlines()
        return cut.start(lines[-1].strip(), SHOWN) if lines else ""

    def _rest(self, before: Union[bytes, bytearray]) -> str:
        """Return bytes with what is still open behind them."""
        return bytes(before).decode("utf-8", "replace") + self._mask.text(self._open.decode("utf-8", "replace"))


class Hands:
    """Passed from action to action of one step. `Do` functions get it: directories as descriptors, never paths."""

    def __init__(
        self,
        writable: Sequence[str],
        keep_undo: Callable[[Mapping[str, Any]], None],
        progress: Callable[[str], None],
        *,
        diff: bool = False,
        mask: Optional[Mask] = None,
    ) -> None:
        self.writable = tuple(writable)
        self.keep_undo = keep_undo  # must return before the thing is done
        self.progress = progress
        self.share: Optional[float] = None  # of the action in hand that is done, from 0 to 1: goes with `progress`
        self.diff = diff
        self.mask = mask or Mask()
        self.output = Output(self.mask)
        self.exit_code: Optional[int] = None
        self.data: Dict[str, Any] = {}
        self.actions: List[Dict[str, Any]] = []
        self.diffs: List[str] = []
        self.touched = False  # something may have been changed by now
        self.trees = Trees(self.writable)

    def open(self, path: str) -> Tuple[Tree, str]:
        """Return (the opened `writable` entry that a path lies in, the path relative to it).

        Raises:
            Refused: it lies in none, or a link stands in the entry's own path.
            FileNotFoundError: the entry is not there.
        """
        return self.trees.open(path)

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
        self.trees.close()


def size(count: float) -> str:
    """Return bytes as people write them."""
    unit = next((unit for unit in ("B", "kB", "MB", "GB", "TB") if count < 1000 * _UNITS[unit]), "PB")
    return f"{count / _UNITS[unit]:.3g} {unit}"


def counted(number: int, what: str, many: str = "") -> str:
    """Return `1 file`, `312 files`."""
    return f"{number:,} {what if number == 1 else many or what + 's'}"


_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15}
