"""The bundled catalogue's patterns as they are analysed for the scanner, in the package: it takes most of a second.

`python -m runbook.engine.scan.analysed` makes the file anew; `make schema` does it too. It is known by the patterns it
was made of: one that is stale is as if there were none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook.engine.language import signature_files
from runbook.modules.logs.engines import plan

if TYPE_CHECKING:
    import pathlib


def path() -> pathlib.Path:
    """Return where it lies."""
    return signature_files.folder() / "analysed.bin"


def bring() -> None:
    """Let the scanner have it."""
    here = str(path())
    if here not in plan.shipped:
        plan.shipped.append(here)


def made() -> bytes:
    """Return what the file should hold."""
    from runbook.engine.language.signatures import catalogue
    from runbook.engine.scan import kinds

    return plan.packed(kinds.patterns(catalogue()))


if __name__ == "__main__":
    path().write_bytes(made())
