"""Which file systems can be listened to: of what another machine writes to one of the network, nobody here hears."""

import os
import re
from typing import Dict, Mapping

_REMOTE = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "ncpfs", "afs", "coda", "9p", "virtiofs", "ceph"),
        *("lustre", "gpfs", "beegfs", "panfs", "wekafs", "glusterfs", "ocfs2", "gfs2", "orangefs", "vboxsf", "prl_fs"),
    )
)
_FUSE = re.compile(r"fuse(blk)?(\..*)?")
_ESCAPE = re.compile(r"\\([0-7]{3})")


class Mounts:
    """What is mounted, as it was when this was made."""

    def __init__(self, table: str = "/proc/self/mountinfo") -> None:
        self._kinds: Dict[str, str] = {}
        try:
            with open(table, encoding="utf-8", errors="surrogateescape") as file:
                for line in file:
                    about, _, more = line.partition(" - ")
                    words, kind = about.split(), more.split(None, 1)[:1]
                    if len(words) > 4 and kind:
                        self._kinds[_ESCAPE.sub(_letter, words[4])] = kind[0]
        except OSError:
            pass  # without /proc nothing is known to be remote
        self._remote = {place: kind for place, kind in self._kinds.items() if remote(kind)}

    def refusal(self, folder: str) -> str:
        """Say why a directory, by its real path, can't be listened to; empty where it can."""
        if not self._remote:
            return ""
        place = folder
        while place not in self._kinds and place != "/":
            place = os.path.dirname(place)
        kind = self._remote.get(place)
        return f"{folder} lies on a network file system ({kind}): what others write is not heard" if kind else ""

    @property
    def kinds(self) -> Mapping[str, str]:
        """The kinds of file systems by where they are mounted; of several in one place the last."""
        return self._kinds


def remote(kind: str) -> bool:
    """Tell whether a file system of this kind may be written elsewhere, or hang; what runs as a program counts too."""
    return kind in _REMOTE or (_FUSE.fullmatch(kind) is not None and kind not in ("fuseblk", "fuse.lxcfs"))


def _letter(match: "re.Match[str]") -> str:
    return chr(int(match[1], 8))
