"""Layers on the controller: code that travels to a host when a request needs it, known by the hash of its content."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

from runbook.engine.fleet import pack
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

    def named(self) -> dict[str, str]:
        """Return it as a request names it."""
        return {"hash": self.digest, "of": self.of, "python": self.python}


def layer(files: Mapping[str, bytes], of: str, python: str = "") -> Layer:
    """Return the layer of some files, by their paths below it, and keep them for the agents that will ask."""
    ordered = dict(sorted(files.items()))
    digest = pack.hashed(ordered)
    _made[digest] = ordered
    return Layer(digest, of, python)


def message(digest: str) -> dict[str, Any]:
    """Return what answers an agent that asks for a layer."""
    import zipfile

    files = _made.get(digest)
    if files is None:
        return {"op": "layer", "hash": digest, "error": "the controller does not know the code that was asked for"}
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return {"op": "layer", "hash": digest, "body": base64.b64encode(body.getvalue()).decode("ascii")}
