"""The modules as they travel: a zip of `modules/` under their import name, known by the hash of its content."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
from typing import TYPE_CHECKING

import runbook.modules
from runbook.engine.fleet import parts
from runbook.engine.fleet.once import Once
from runbook.modules import bootstrap as bootstrapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

magic = parts.magic
_LEFT = frozenset({"__pycache__", "golden"})  # the cases of modules are judged here
# a Python that is too old gives the script that started it (`starting.py`) another turn, with itself among the tried
_OLDER = (
    'sys.version_info<(3,9)and os.execv("/bin/sh",["/bin/sh","-c","eval %c$1%c"%(34,34),"runbook"]+sys.argv[1:]'
    '+["(Python %d.%d)"%sys.version_info[:2]])'
)


@Once
def contents() -> dict[str, bytes]:
    """Return the packed files by name, in order."""
    found = {parts.PREFIX + name: body for name, body in _files(runbook.modules.__path__[0], "")}
    return dict(sorted({**found, "runbook/__init__.py": b""}.items()))


@Once
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


@Once
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
    """Return the bytecode of this Python that a host gets at first contact, deflated, with its hash before it."""
    return _parts(digest())[0]


def part(name: str) -> bytes:
    """Return a part that a host gets when something needs it (`bootstrap.PARTS`), in the same form."""
    return _parts(digest())[bootstrapping.PARTS.index(name)]


@Once
def _parts(found: str) -> tuple[bytes, ...]:
    return parts.made(contents(), found)


@Once
def bootstrap() -> bytes:
    """Return the program that the agent starts with, as it is sent: a NUL ends whatever stood before it.

    Behind it stand this Python's magic number and what it makes of the program, with its length, and the program
    itself for other Pythons: to compile it takes as long as all else that it does.
    """
    name = parts.PREFIX + "bootstrap.py"
    source = contents()[name]
    code = parts.bytecode(name, source)
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
