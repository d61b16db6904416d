"""Layers on the controller: code that travels to a host when a request needs it, known by the hash of its content."""

from __future__ import annotations

import base64
import io
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from runbook.engine.fleet import pack
from runbook.modules.bootstrap import PARTS
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST = 32 << 20  # bytes; what is larger does not travel
_made: dict[str, Mapping[str, bytes]] = {}


@frozen
class Layer:
    """One layer."""

    digest: str
    of: str  # whose it is: a distribution, or `runbook_modules`
    python: str = ""  # the oldest Python that it can do with, such as 3.10
    machine: str = ""  # what its compiled code is for, such as x86_64; empty without any
    libc: str = ""  # the C library that this needs, such as `glibc 2.17`, or `musl`
    library: str = ""  # a shared library of the host's, without which it is of no use there

    def named(self) -> dict[str, str]:
        """Return it as a request names it."""
        more = {"machine": self.machine, "libc": self.libc, "library": self.library}
        known = {name: value for name, value in more.items() if value}
        return {"hash": self.digest, "of": self.of, "python": self.python, **known}


def layer(files: Mapping[str, bytes], of: str, python: str = "", built: tuple[str, str] = ("", "")) -> Layer:
    """Return the layer of some files, by their paths below it, and keep them for the agents that will ask."""
    ordered = dict(sorted(files.items()))
    digest = pack.hashed(ordered)
    _made[digest] = ordered
    return Layer(digest, of, python, *built)


def message(digest: str) -> dict[str, Any]:
    """Return what answers an agent that asks for a layer."""
    if digest in PARTS:
        return {"op": "layer", "hash": digest, "body": _part(digest, pack.digest())}
    if digest not in _made:
        return {"op": "layer", "hash": digest, "error": "the controller does not know the code that was asked for"}
    return {"op": "layer", "hash": digest, "body": _body(digest)}


@lru_cache(maxsize=len(PARTS))
def _part(name: str, _digest: str) -> str:
    return base64.b64encode(pack.part(name)).decode("ascii")


@lru_cache(maxsize=8)  # many hosts ask for the same at their first contact
def _body(digest: str) -> str:
    import zipfile

    files = _made[digest]
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return base64.b64encode(body.getvalue()).decode("ascii")
