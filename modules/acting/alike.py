"""Things of a tree that are alike, in columns: there may be hundreds of thousands, and a tuple for each costs time."""

from typing import Dict, Iterable, Iterator, List, NamedTuple, Sequence, Tuple

from runbook.modules.actions import Entry
from runbook.modules.frozen import frozen

_PIECE = 5000  # things of one directory that are handed to one process


class Alike(NamedTuple):
    """Things of one directory with the same owner, group and mode; each has one name only, or is a directory."""

    folder: str  # relative to the tree's root; a thing without a name is the folder itself
    device: int
    uid: int
    gid: int
    mode: int  # with what they are, as in st_mode
    names: List[str]
    inodes: List[int]
    seen: Tuple[int, int] = (0, 0)  # the folder's inode and st_ctime_ns, as they were before it was listed

    def paths(self) -> List[str]:
        """Return where they are, relative to the tree's root."""
        folder = self.folder
        return [f"{folder}/{name}" if folder and name else folder or name for name in self.names]


@frozen
class Crowd:
    """The entries of an Own, in columns."""

    alike: Tuple[Alike, ...]

    def __len__(self) -> int:
        return sum(len(each.names) for each in self.alike)

    def __iter__(self) -> Iterator[Entry]:
        for each in self.alike:
            for path, inode in zip(each.paths(), each.inodes):
                yield Entry(path, each.device, inode, uid=each.uid, gid=each.gid, mode=each.mode)

    def __contains__(self, entry: object) -> bool:
        return any(entry == each for each in self)


def gathered(entries: Iterable[Entry]) -> List[Alike]:
    """Put entries that are alike together, those of a directory in the order in which they came."""
    found: Dict[Tuple[str, int, int, int, int], Alike] = {}
    for path, device, inode, _, directory, _, uid, gid, mode in entries:
        folder, _, name = (path, "", "") if directory else path.rpartition("/")
        key = (folder, device, uid, gid, mode)
        if key not in found:
            found[key] = Alike(*key, [], [])
        found[key].names.append(name)
        found[key].inodes.append(inode)
    return list(found.values())


def pieces(alike: Sequence[Alike]) -> Iterator[Alike]:
    """Tear what is too many for one process."""
    for each in alike:
        for start in range(0, len(each.names), _PIECE):
            end = start + _PIECE
            yield each._replace(names=each.names[start:end], inodes=each.inodes[start:end])
