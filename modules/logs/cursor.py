"""How far a log file was read, in a form that survives restarts and tells the file from another of the same name."""

import json
import os
from typing import Any, Dict, Mapping, Optional, Union

from runbook.modules.frozen import MISSING, fields, thawed
from runbook.modules.logs.content import Content

try:
    from _blake2 import blake2b  # hashlib loads OpenSSL, which costs a host's first look more than the look
except ImportError:
    from hashlib import blake2b

HEAD = 1024  # first bytes of a file that tell it from others
TAIL = 256  # bytes before the offset that tell a file from one rewritten in its place
SETTLED = 2.0  # seconds after a write in which size and time may not belong together


@thawed
class Cursor:
    """A place in one file."""

    log: str  # the path in the runbook, whose rotation set the file belongs to
    path: str  # where the file lies; rotation moves it
    device: int
    inode: int
    offset: int = 0  # what stands before it has been read
    lines: Optional[int] = 0  # line feeds before the offset; None = never counted
    head: str = ""  # fingerprint of the first `head_length` bytes
    head_length: int = 0
    tail: str = ""  # fingerprint of the last bytes before the offset
    size: int = 0  # of the file when it was last looked at
    changed: int = 0  # its modification time then, in nanoseconds
    seen: float = 0.0  # since when it has been of that size, as far as looks tell
    skipping: bool = False  # the offset is within a line that was taken already: the rest of it is nothing new
    tried: bool = False  # the unfinished last line, or traceback, was looked at as it stands
    held: int = 0  # so many lines behind the offset have matched as they stand: their completion is nothing new
    cut: bool = False  # its bytes are no longer at its place; a copy may hold them
    copy: bool = False  # of the log as it is now: nothing in it is new until the log itself is cut
    missing: Optional[float] = None  # since when the file can't be found
    packed: bool = False  # the offset counts what is unpacked; `tried` then says that it was read to its end
    recent: Optional[Dict[str, Any]] = None  # events that may go on, as `events.Recent` stores them

    @classmethod
    def load(cls, kept: Union[str, Mapping[str, Any]], place: str = "") -> "Cursor":
        """Return a cursor from what `store` made; what a newer version added is left out."""
        if isinstance(kept, str):
            device, inode, size, changed, rest = kept.lstrip("?").split(" ", 4)
            known = {"device": int(device), "inode": int(inode), "size": int(size), "changed": int(changed)}
            kept = {"log": place, "path": place, **known, **json.loads(rest)}
        return cls(**{name: value for name, value in kept.items() if name in _NAMES})

    def store(self, place: str = "") -> str:
        """Return it as text, to be kept under the place at which its file is asked for.

        While the file is as it was, and nothing is to be done, the text begins with its `stamp`.
        """
        rest = {name: getattr(self, name) for name in _REST}
        usual = {**_DEFAULTS, "log": place, "path": place}
        given = {name: value for name, value in rest.items() if name not in usual or value != usual[name]}
        read = self.offset == self.size or self.tried
        mark = "" if read and self.missing is None and not self.cut else "?"
        text = json.dumps(given, separators=(",", ":"))
        return f"{mark}{self.device} {self.inode} {self.size} {self.changed} {text}"

    def idle(self, found: os.stat_result) -> bool:
        """Nothing happened to the file since it was read to its end."""
        return (
            self.missing is None
            and (found.st_dev, found.st_ino) == (self.device, self.inode)
            and (found.st_size, found.st_mtime_ns) == (self.size, self.changed)
            and (self.offset == self.size or self.tried)
        )

    def fits(self, content: Content, found: os.stat_result, now: float) -> bool:
        """Tell whether an open file is the one that was read so far: the same bytes, and perhaps more.

        A file exactly as long as what was read of it, but written to since, was begun anew: a server that dies with
        the same words at each start. Not so within two seconds: a write sets the time before it sets the size.
        """
        if content.packed or self.packed:
            return content.packed == self.packed and content.reaches(self.offset) and self.begins(content)
        if found.st_size < self.offset:
            return False
        touched = 0 < self.offset == self.size == found.st_size and self.changed != found.st_mtime_ns
        if touched and found.st_ino == self.inode and now - found.st_mtime > SETTLED:
            return False
        return self.begins(content)

    def begins(self, content: Content) -> bool:
        """Tell whether an open file begins with what was read."""
        if not self.shares_head(content):
            return False
        return fingerprint(content.pread(min(TAIL, self.offset), max(0, self.offset - TAIL))) == self.tail

    def shares_head(self, content: Content) -> bool:
        """Tell whether an open file has the same first bytes."""
        return fingerprint(content.pread(self.head_length, 0)) == self.head


def stamp(found: os.stat_result) -> str:
    """Return what tells a file that was not touched from one that was."""
    return f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns} "


def fingerprint(content: bytes) -> str:
    """Return a short digest; nothing has none."""
    return blake2b(content, digest_size=8).hexdigest() if content else ""


_NAMES = {field.name for field in fields(Cursor)}
_DEFAULTS = {field.name: field.default for field in fields(Cursor) if field.default is not MISSING}
_REST = [field.name for field in fields(Cursor) if field.name not in {"device", "inode", "size", "changed"}]
