"""The modules as they travel: a zip of `modules/` under their import name, known by the hash of its content."""

from __future__ import annotations

import hashlib
import io
import os
from functools import cache
from typing import TYPE_CHECKING

import runbook.modules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PREFIX = "runbook/modules/"
_LEFT = frozenset({"__pycache__", "golden"})  # the cases of modules are judged here


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


@cache
def bootstrap() -> bytes:
    """Return the program that the agent starts with."""
    return contents()[_PREFIX + "bootstrap.py"]


def loader() -> str:
    """Return the few lines behind `python -I -c`: they read the rest from standard input."""
    return (
        "import os,sys\n"
        "b=b''\n"
        f"while len(b)<{len(bootstrap())}:b+=os.read(0,{len(bootstrap())}-len(b))or sys.exit(1)\n"
        "exec(b) # runbook agent"
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
