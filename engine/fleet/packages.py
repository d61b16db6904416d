"""The packages that modules need and that can travel: pure Python, with all that they require, as installed here."""

from __future__ import annotations

import importlib.metadata
import re
from functools import cache
from typing import TYPE_CHECKING

from runbook.engine.fleet import layers
from runbook.modules import needs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from importlib.metadata import Distribution

    from runbook.engine.fleet.layers import Layer

_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_EXTRA = re.compile(r";.*\bextra\s*==")
_LEAST = re.compile(r">=\s*(\d+\.\d+)")
_COMPILED = (".so", ".pyd", ".dylib", ".dll", ".a")
_LEFT = ("__pycache__/", ".pyc", "RECORD", "INSTALLER", "direct_url.json", "REQUESTED")


def travelling(needed: Iterable[str]) -> Iterator[Layer]:
    """Yield the layers of those distributions that can travel; a host must have the others."""
    for entry in needed:
        found = _layer(needs.parsed(entry)[0])
        if found is not None:
            yield found


@cache
def _layer(name: str) -> Layer | None:
    distributions: dict[str, Distribution] = {}
    if not _gather(name, distributions):
        return None
    files: dict[str, bytes] = {}
    for each in distributions.values():
        if not _pure(each):
            return None
        for file in each.files or ():
            path = str(file)
            if not path.startswith("../") and not any(part in path for part in _LEFT):
                files[path] = bytes(each.locate_file(file).read_bytes())  # type: ignore[attr-defined]
    importable = any(path.endswith(".py") for path in files)
    if not importable or sum(map(len, files.values())) > layers.LARGEST:
        return None
    least = max(map(_python, distributions.values()), key=_number, default="")
    return layers.layer(files, name, least)


def _gather(name: str, found: dict[str, Distribution]) -> bool:
    """Take in a distribution and those that it requires, as far as they are installed; tell whether itself is."""
    key = re.sub(r"[-_.]+", "-", name).lower()
    if key in found:
        return True
    try:
        found[key] = importlib.metadata.distribution(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return False
    for requirement in found[key].requires or ():
        wanted = _NAME.match(requirement)
        if wanted and not _EXTRA.search(requirement):
            _gather(wanted[1], found)  # one that is not installed is for other platforms, or older Pythons
    return True


def _pure(distribution: Distribution) -> bool:
    files = distribution.files
    if not files or any(str(file).endswith(_COMPILED) or ".so." in str(file) for file in files):
        return False
    wheel = distribution.read_text("WHEEL") or ""
    return "Root-Is-Purelib: false" not in wheel


def _python(distribution: Distribution) -> str:
    wanted = distribution.metadata["Requires-Python"] if "Requires-Python" in distribution.metadata else ""  # noqa: SIM401 -- no mapping
    found = _LEAST.search(wanted)
    return found[1] if found else ""


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split("."))) if version else ()
