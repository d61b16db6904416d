"""The packages that modules need and that can travel, as installed here: pure Python, with all that they require.

Of the compiled ones psutil alone does, to hosts of the same architecture: it fits every Python there (abi3).
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from runbook.engine.fleet import layers
from runbook.engine.fleet.once import Once
from runbook.modules import needs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from importlib.metadata import Distribution

    from runbook.engine.fleet.layers import Layer

_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_EXTRA = re.compile(r";.*\bextra\s*==")
_LEAST = re.compile(r">=\s*(\d+\.\d+)")
_COMPILED = (".so", ".pyd", ".dylib", ".dll", ".a")
_PLATFORM = re.compile(r"Tag: cp3\d+-abi3-(manylinux|musllinux|linux)(?:_?(\d+)_(\d+)|(1|2010|2014))?_(\w+)")
_MANYLINUX = {"1": (2, 5), "2010": (2, 12), "2014": (2, 17)}  # the versions of glibc behind the older names
_ELSEWHERE = ("psutil/_psaix", "psutil/_psbsd", "psutil/_psosx", "psutil/_pssunos", "psutil/_pswindows")
_LEFT = ("__pycache__/", ".pyc", "RECORD", "INSTALLER", "direct_url.json", "REQUESTED")


def travelling(needed: Iterable[str]) -> Iterator[Layer]:
    """Yield the layers of those distributions that can travel; a host must have the others."""
    for entry in needed:
        found = _layer(needs.parsed(entry)[0])
        if found is not None:
            yield found


@Once
def base() -> tuple[Layer, ...]:
    """Return the layers that an agent on another machine starts with: what its probes look with."""
    found = _layer("nvidia-ml-py")
    return () if found is None else (replace(found, library="libnvidia-ml.so.1"),)


def psutil() -> Layer | None:
    """Return the layer of psutil, which users' modules may import; None where what is installed can't travel."""
    return _layer("psutil", compiled=True)


@Once
def _layer(name: str, *, compiled: bool = False) -> Layer | None:
    distributions: dict[str, Distribution] = {}
    if not _gather(name, distributions):
        return None
    files: dict[str, bytes] = {}
    built = ("", "")
    for each in distributions.values():
        if not _pure(each):
            built = _built_for(each) if compiled else ("", "")
            if not built[0]:
                return None
        for file in each.files or ():
            path = str(file)
            if not path.startswith(("../", *_ELSEWHERE)) and not any(part in path for part in _LEFT):
                files[path] = bytes(each.locate_file(file).read_bytes())  # type: ignore[attr-defined]
    importable = any(path.endswith(".py") for path in files)
    if not importable or sum(map(len, files.values())) > layers.LARGEST:
        return None
    least = max(map(_python, distributions.values()), key=_number, default="")
    return layers.layer(files, name, least, built)


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


def _built_for(distribution: Distribution) -> tuple[str, str]:
    """Return the machine and the oldest C library that a distribution's compiled code can do with; empty: unknown.

    Example:
        A wheel with `Tag: cp36-abi3-manylinux_2_17_x86_64` is for ("x86_64", "glibc 2.17").
    """
    found: list[tuple[tuple[int, ...], str, str]] = []
    for kind, major, minor, older, machine in _PLATFORM.findall(distribution.read_text("WHEEL") or ""):
        if kind == "linux":  # built on this machine
            libc, here = platform.libc_ver()
            found.append((tuple(int(part) for part in here.split(".") if part), libc or "musl", machine))
        else:
            least = _MANYLINUX.get(older) or (int(major or 0), int(minor or 0))
            found.append((least, "glibc" if kind == "manylinux" else "musl", machine))
    if not found:
        return "", ""
    version, libc, machine = min(found)
    return machine, f"{libc} {'.'.join(map(str, version))}" if libc == "glibc" else libc


def _python(distribution: Distribution) -> str:
    wanted = distribution.metadata["Requires-Python"] if "Requires-Python" in distribution.metadata else ""  # noqa: SIM401 -- no mapping
    found = _LEAST.search(wanted)
    return found[1] if found else ""


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split("."))) if version else ()
