"""The modules as they travel: a zip of `modules/` under their import name, known by the hash of its content."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import json
import marshal
import os
import pathlib
import zlib
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import runbook.modules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PREFIX = "runbook/modules/"
_QUICKLY = 3  # of zlib's levels: the best would save a tenth, and take longer than most connections do for that
_LEFT = frozenset({"__pycache__", "golden"})  # the cases of modules are judged here
_WHOLLY = frozenset({"acting"})  # folders that first contact takes along; the rest follows when it is needed
_USUAL: dict[str, frozenset[str]] = {  # and files, by folder
    "": frozenset({
        "act", "actions", "agent", "batch", "bootstrap", "catalogue", "child", "cut", "declare", "durable",
        "extent", "frozen", "globs", "host", "layers", "ledger", "look", "mask", "memory", "needs", "outwait",
        "own", "programs", "rest", "standing", "states", "values", "warming", "wire"
    }),
    "steps": frozenset({"command"}),
    "probes": frozenset({"command", "file", "health", "log"}),
    "formats": frozenset({"form", "structure"}),
    "logs": frozenset({
        "beginning", "catalogued", "content", "cursor", "events", "follow", "groups", "ground", "hits",
        "line_ends", "listing", "patterns", "pieces", "quiet", "reading", "records", "room", "rotation",
        "sources", "span", "strangers", "tail", "wrapping", "xz", "zstd"
    }),
}  # fmt: skip
# a Python that is too old gives the script that started it (`starting.py`) another turn, with itself among the tried
_OLDER = (
    'sys.version_info<(3,9)and os.execv("/bin/sh",["/bin/sh","-c","eval %c$1%c"%(34,34),"runbook"]+sys.argv[1:]'
    '+["(Python %d.%d)"%sys.version_info[:2]])'
)


@cache
def contents() -> dict[str, bytes]:
    """Return the packed files by name, in order."""
    found = {_PREFIX + name: body for name, body in _files(runbook.modules.__path__[0], "")}
    return dict(sorted({**found, "runbook/__init__.py": b""}.items()))


@cache
def digest() -> str:
    """Return the hash of the content."""
    return hashed(contents())


def hashed(files: Mapping[str, bytes]) -> str:
    """Return the hash of files in their order; `bootstrap.py` computes the same from what arrives."""
    found = hashlib.sha256()
    for name, content in files.items():
        found.update(b"%s\0%d\0" % (name.encode(), len(content)))
        found.update(content)
    return found.hexdigest()


@cache
def packed(*, small: bool = False) -> bytes:
    """Return the zip; `small` for a slow connection."""
    import zipfile

    body = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if small else zipfile.ZIP_STORED
    with zipfile.ZipFile(body, "w") as files:
        for name, content in contents().items():
            files.writestr(zipfile.ZipInfo(name), content, kind)
    return body.getvalue()


def whole() -> bytes:
    """Return the bytecode of this Python as `bootstrap.Bundle` reads it, deflated, with its hash before it."""
    return _whole(digest())


def rest() -> bytes:
    """Return the bytecode of the modules that few looks and steps need, in the same form."""
    return _rest(digest())


@lru_cache(maxsize=1)
def _whole(_digest: str) -> bytes:
    index: dict[str, tuple[str, int, int, int]] = {}
    parts = {True: bytearray(), False: bytearray()}
    for name, content in contents().items():
        body = _bytecode(name, content)
        module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        part = parts[_usual(name)]
        index[module] = name, len(part), len(body), int(_usual(name))
        part += body
    return _deflated(json.dumps(index, separators=(",", ":")).encode(), parts[True])


@lru_cache(maxsize=1)
def _rest(_digest: str) -> bytes:
    code = bytearray()
    for name, content in contents().items():
        if not _usual(name):
            code += _bytecode(name, content)
    return _deflated(b"", code)


def _usual(name: str) -> bool:
    """Tell whether a file is of those that a host gets at first contact."""
    below, _, last = name.removeprefix(_PREFIX).removesuffix(".py").rpartition("/")
    return last == "__init__" or below in _WHOLLY or last in _USUAL.get(below, ())


def _deflated(head: bytes, code: bytearray) -> bytes:
    size = (12 + len(head) + len(code)).to_bytes(8, "big")
    body = zlib.compress(len(head).to_bytes(4, "big") + size + head + code, _QUICKLY)
    return hashlib.sha256(body).digest() + body


def magic() -> str:
    """Return what tells this Python's bytecode from that of others."""
    return importlib.util.MAGIC_NUMBER.hex()


def _bytecode(name: str, content: bytes) -> bytes:
    """Return a module's bytecode: what the import system keeps, where that is of this content."""
    path = pathlib.Path(runbook.modules.__path__[0], name.removeprefix(_PREFIX))
    with contextlib.suppress(OSError, NotImplementedError):
        kept = pathlib.Path(importlib.util.cache_from_source(str(path))).read_bytes()
        seen = path.stat()
        of = int(seen.st_mtime).to_bytes(4, "little") + (seen.st_size & 0xFFFFFFFF).to_bytes(4, "little")
        if kept[:16] == importlib.util.MAGIC_NUMBER + bytes(4) + of and path.read_bytes() == content:
            return kept[16:]
    return marshal.dumps(compile(content, name, "exec", dont_inherit=True))


@cache
def bootstrap() -> bytes:
    """Return the program that the agent starts with, as it is sent: a NUL ends whatever stood before it.

    Behind it stand this Python's magic number and what it makes of the program, with its length, and the program
    itself for other Pythons: to compile it takes as long as all else that it does.
    """
    name = _PREFIX + "bootstrap.py"
    source = contents()[name]
    code = _bytecode(name, source)
    return b"\0" + importlib.util.MAGIC_NUMBER + len(code).to_bytes(4, "big") + code + source


def loader() -> str:
    """Return the one line behind `python -I -c`: it says that it is there, and reads the rest from standard input.

    It stands between single quotes of any shell, so it has none, nor a `!` or a backslash (csh, fish). What comes
    before the first NUL is a password that sudo did not ask for.
    """
    return (
        f'import os,sys;{_OLDER};os.write(1,b"%crunbook%c"%(0,0));r=lambda n:os.read(0,n)or sys.exit(1);'
        "[0 for _ in iter(lambda:r(1),bytes(1))];b=bytearray();"
        f"[b.extend(r({len(bootstrap()) - 1}-len(b)))for _ in iter(lambda:len(b)<{len(bootstrap()) - 1},False)];"
        'import marshal,_frozen_importlib_external as e;n=8+int.from_bytes(b[4:8],"big");'
        "exec(marshal.loads(b[8:n])if b[:4]==e.MAGIC_NUMBER else bytes(b[n:])) # runbook agent"
    )


def _files(directory: str, below: str) -> Iterator[tuple[str, bytes]]:
    with os.scandir(directory) as found:
        for entry in found:
            if entry.is_dir():
                if entry.name not in _LEFT:
                    yield from _files(entry.path, f"{below}{entry.name}/")
            elif not entry.name.startswith(".") and not entry.name.endswith((".pyc", "~")):
                with open(entry.path, "rb") as file:  # noqa: PTH123 -- pathlib costs a start-up a millisecond and more
                    yield below + entry.name, file.read()
