"""The agent's code as bytecode, in the parts in which it goes to hosts whose Python is ours: see `bootstrap.Bundle`."""

from __future__ import annotations
import __future__

import contextlib
import hashlib
import importlib.util
import marshal
import pathlib
import zlib
from types import CodeType
from typing import TYPE_CHECKING, Final

import runbook.modules
from runbook.modules.bootstrap import PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX: Final = "runbook/modules/"
_CUT: Final = 1  # one more where the same modules are cut, or written, in another way
_BEST: Final = 9  # of zlib's levels: it is done once for each version
_FIRST, _ACTING, _REST = range(len(PARTS))
# what usual looks need goes at first contact, what a usual step needs with the first step, all else when it is needed
_USUAL: Final[Mapping[str, frozenset[str]]] = {  # files, by folder
    "": frozenset({
        "act", "agent", "batch", "catalogue", "child", "cut", "declare", "durable", "extent", "frozen", "globs", "host",
        "layers", "ledger", "look", "memory", "needs", "own", "programs", "rest", "saying", "standing", "states",
        "values", "warming", "wire"
    }),
    "probes": frozenset({"command", "file", "health", "log"}),
    "formats": frozenset({"form", "structure"}),
    "logs": frozenset({
        "beginning", "catalogued", "content", "cursor", "events", "follow", "groups", "ground", "hits",
        "line_ends", "listing", "patterns", "pieces", "quiet", "reading", "records", "room", "rotation",
        "sources", "span", "strangers", "tail", "wrapping", "xz", "zstd"
    }),
}  # fmt: skip
_ACTS: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset({"actions", "mask", "outwait"}),
    "steps": frozenset({"command"}),
}
_WHOLLY: Final = frozenset({"acting"})  # folders that go with these
_READ: Final = ("declare.py", "probes/", "steps/")  # whose annotations say what parameters and fields are
_NO_COLUMNS, _NO_LINE, _UNITS = 13, 15, 8  # of a code object's table of lines: kinds of entries, the most of one


def made(contents: Mapping[str, bytes], digest: str) -> tuple[bytes, ...]:
    """Return the parts as they are sent, each deflated, with its hash before it.

    They are kept for the next run: to make them takes as long as to dial a hundred hosts.
    """
    from runbook.modules.logs.engines import store

    key = f"the agent's code {digest} {magic()} {_CUT}"
    kept = store.read(key)
    if kept is not None:
        found: tuple[bytes, ...] = marshal.loads(kept)  # noqa: S302 -- of a file that nobody but us can have written
        return found
    fresh = _made(contents)
    store.write(key, marshal.dumps(fresh))
    return fresh


def magic() -> str:
    """Return what tells this Python's bytecode from that of others."""
    return importlib.util.MAGIC_NUMBER.hex()


def bytecode(name: str, content: bytes) -> bytes:
    """Return a module's bytecode as it is: what the import system keeps, where that is of this content."""
    path = pathlib.Path(runbook.modules.__path__[0], name.removeprefix(PREFIX))
    with contextlib.suppress(OSError, NotImplementedError):
        kept = pathlib.Path(importlib.util.cache_from_source(str(path))).read_bytes()
        seen = path.stat()
        of = int(seen.st_mtime).to_bytes(4, "little") + (seen.st_size & 0xFFFFFFFF).to_bytes(4, "little")
        if kept[:16] == importlib.util.MAGIC_NUMBER + bytes(4) + of and path.read_bytes() == content:
            return kept[16:]
    return marshal.dumps(compile(content, name, "exec", dont_inherit=True))


def lean(code: CodeType) -> CodeType:
    """Return code without the columns that stand behind its line numbers: they are a third of it.

    The table is Python's own of 3.11 and later: a byte with the entry's kind and how many instructions it is for, and
    behind it how many lines further they stand.
    """
    table = bytearray()
    last = code.co_firstlineno
    for start, end, line in code.co_lines():
        rest = (end - start) // 2
        while rest > 0:
            units = min(rest, _UNITS)
            rest -= units
            table.append(0x80 | (_NO_LINE if line is None else _NO_COLUMNS) << 3 | (units - 1))
            if line is not None:
                table += _signed(line - last)
                last = line
    constants = tuple(lean(each) if isinstance(each, CodeType) else each for each in code.co_consts)
    return code.replace(co_consts=constants, co_linetable=bytes(table))


def _signed(number: int) -> bytes:
    """Return a number in six bits a byte, the lowest first, with its sign in the lowest of all."""
    rest = -number << 1 | 1 if number < 0 else number << 1
    found = bytearray()
    while rest >= 64:
        found.append(64 | rest & 63)
        rest >>= 6
    return bytes([*found, rest])


def _made(contents: Mapping[str, bytes]) -> tuple[bytes, ...]:
    index: dict[str, tuple[int, int, int, bool]] = {}
    bodies = tuple(bytearray() for _ in PARTS)
    for name, content in contents.items():
        body, part = marshal.dumps(lean(_compiled(name, content))), _part(name)
        module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        index[module] = len(bodies[part]), len(body), part, name.endswith("/__init__.py")
        bodies[part].extend(body)
    heads = (marshal.dumps(index), *(b"" for _ in PARTS[1:]))
    return tuple(_deflated(head, body) for head, body in zip(heads, bodies, strict=True))


def _compiled(name: str, content: bytes) -> CodeType:
    """Return a module's code. Annotations that nobody reads there stay text: to make types of them takes time."""
    read = name.removeprefix(PREFIX).startswith(_READ)
    how = 0 if read else __future__.annotations.compiler_flag
    code: CodeType = compile(content, name, "exec", flags=how, dont_inherit=True)
    return code


def _part(name: str) -> int:
    """Return in which part a file goes; packages, which are all but empty, go with the first."""
    below, _, last = name.removeprefix(PREFIX).removesuffix(".py").rpartition("/")
    if last == "__init__" or last in _USUAL.get(below, ()):
        return _FIRST
    return _ACTING if below in _WHOLLY or last in _ACTS.get(below, ()) else _REST


def _deflated(head: bytes, code: bytearray) -> bytes:
    size = (12 + len(head) + len(code)).to_bytes(8, "big")
    body = zlib.compress(len(head).to_bytes(4, "big") + size + head + code, _BEST)
    return hashlib.sha256(body).digest() + body
