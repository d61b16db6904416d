"""known_hosts as OpenSSH writes it: patterns, hashed names, `[host]:port`, @cert-authority and @revoked."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import pathlib
import re
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from runbook.engine.errors import UserError
from runbook.engine.fleet.ssh import config
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

AUTHORITY: Final = "@cert-authority"
REVOKED: Final = "@revoked"
_reading = threading.Lock()  # so that of many threads that dial one reads, and the others find what it has read

_NAME = re.compile(r"[^\s,*?!#|\x00-\x1f\x7f]+")  # what one line of known_hosts may name by itself


@frozen
class Entry:
    """One line of a file."""

    marker: str  # empty for a plain key
    names: str
    kind: str  # such as ssh-ed25519
    key: bytes
    where: str  # file:line


class KnownHosts:
    """The entries of one file, quickly found by name."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._by_name: dict[str, list[Entry]] = {}
        self._patterns: list[Entry] = []
        self._hashed: list[tuple[bytes, bytes, Entry]] = []
        for entry in entries:
            if entry.names.startswith("|1|"):
                salt, _, digest = entry.names[3:].partition("|")
                try:
                    self._hashed.append((base64.b64decode(salt), base64.b64decode(digest), entry))
                except binascii.Error:
                    continue
            elif any(letter in entry.names for letter in "*?!"):
                self._patterns.append(entry)
            else:
                for name in entry.names.lower().split(","):
                    self._by_name.setdefault(name, []).append(entry)

    def about(self, name: str) -> Iterator[Entry]:
        """Yield the entries of a host, as known_hosts names it."""
        yield from self._by_name.get(name, ())
        yield from (entry for entry in self._patterns if config.hosts(entry.names, name))
        text = name.encode()
        for salt, digest, entry in self._hashed:
            if hmac.digest(salt, text, "sha1") == digest:
                yield entry


def about(name: str, files: Sequence[str]) -> list[Entry]:
    """Return what files say of a host; one that is not there says nothing.

    Raises:
        UserError: one can't be read.
    """
    return [entry for path in files for entry in _file(path).about(name)]


def fingerprint(key: bytes) -> str:
    """Return what `ssh-keygen -l` prints of a key."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def add(path: str, name: str, kind: str, key: bytes, *, hashed: bool) -> None:
    """Add a key to a file; the file, and the directory that it is in, are made for us alone.

    Raises:
        OSError: it can't be written.
        ValueError: the name is a pattern, a list, or more than a name.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name that a key can stand for")
    if hashed:
        salt = os.urandom(20)
        digest = hmac.digest(salt, name.encode(), "sha1")
        name = f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"
    place = pathlib.Path(path)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            begun = file.read(1) != b"\n"
        else:
            begun = False
        file.write(b"\n" * begun + f"{name} {kind} {base64.b64encode(key).decode()}\n".encode())


def _file(path: str) -> KnownHosts:
    try:
        seen = os.stat(path)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return KnownHosts(())
    except OSError as error:
        raise UserError(f"the known hosts can't be read: {error.strerror}", where=path) from error
    with _reading:
        return _read(path, (seen.st_mtime_ns, seen.st_size, seen.st_ino))


@lru_cache(maxsize=16)
def _read(path: str, _version: tuple[int, int, int]) -> KnownHosts:
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"the known hosts can't be read: {error.strerror}", where=path) from error
    return KnownHosts(filter(None, (_entry(line, f"{path}:{at}") for at, line in enumerate(text.splitlines(), 1))))


def _entry(line: str, where: str) -> Entry | None:
    """Read a line; what is none is passed over, as ssh does."""
    words = line.split()
    marker = words.pop(0) if words and words[0].startswith("@") else ""
    if len(words) < 3 or words[0].startswith("#") or marker not in {"", AUTHORITY, REVOKED}:
        return None
    try:
        return Entry(marker, words[0], words[1], base64.b64decode(words[2], validate=True), where)
    except binascii.Error:
        return None
