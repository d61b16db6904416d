"""Modules that installed packages bring by the entry-point groups `runbook.steps` and `runbook.probes`."""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from runbook.engine.language.own import trust
from runbook.engine.language.own.folders import NOUNS
from runbook.engine.language.own.read import Noun, Read, class_name, read
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LARGEST = 32 << 20  # bytes of a package


@frozen
class Point:
    """What a package says it has."""

    noun: Noun
    name: str
    module: str  # such as acme.steps.raise_flag
    cls: str
    distribution: str

    @property
    def root(self) -> str:
        """The package that travels."""
        return self.module.partition(".")[0]


@cache
def points() -> Mapping[tuple[Noun, str], Point]:
    """Return the modules of installed packages by noun and name; the first on the path counts."""
    found: dict[tuple[Noun, str], Point] = {}
    for noun in NOUNS:
        for each in importlib.metadata.entry_points(group=f"runbook.{noun}s"):
            module, _, cls = each.value.partition(":")
            distribution = each.dist.name if each.dist is not None else ""
            point = Point(noun, each.name, module.strip(), cls.strip() or class_name(each.name), distribution)
            found.setdefault((noun, each.name), point)
    return found


def module(point: Point) -> Read:
    """Return what a package's module says, none of the package being imported.

    Raises:
        Untrusted: others can write where it is installed, or it is not there as source.
    """
    file = _file(point)
    trusted = files(point)
    relative = "/".join(point.module.split("."))
    content = trusted.get(f"{relative}.py", trusted.get(f"{relative}/__init__.py"))
    if content is None:
        raise trust.Untrusted(f"{file} is no file of the package {point.root}")
    made = read(point.noun, point.name, file, content)
    if point.cls != class_name(point.name):
        raise trust.Untrusted(
            f"the entry point `{point.name}` of {point.distribution} names the class {point.cls}",
            f"call it {class_name(point.name)}",
        )
    return made


@cache
def files(point: Point) -> Mapping[str, bytes]:
    """Return the package's Python files by their paths, as they travel.

    Raises:
        Untrusted: others can write where it is installed.
    """
    top = importlib.machinery.PathFinder.find_spec(point.root)
    if top is None:
        raise trust.Untrusted(f"the package {point.root}, which {point.distribution} names, is not installed")
    if top.submodule_search_locations is None:
        found = {os.path.basename(str(top.origin)): trust.source(str(top.origin))}  # noqa: PTH119 -- text
    else:
        place = next(iter(top.submodule_search_locations))
        found = {f"{point.root}/{path}": body for path, body in trust.sources(place).items()}
    if sum(map(len, found.values())) > _LARGEST:
        raise trust.Untrusted(f"the package {point.root} is too large to travel")
    return found


def _file(point: Point) -> str:
    """Return where a module's file is, found without importing what lies on the way."""
    path: Sequence[str] | None = None
    spec = None
    for end in range(1, point.module.count(".") + 2):
        spec = importlib.machinery.PathFinder.find_spec(".".join(point.module.split(".")[:end]), path)
        if spec is None:
            raise trust.Untrusted(
                f"the entry point `{point.name}` of {point.distribution} names {point.module}, which is not there"
            )
        path = list(spec.submodule_search_locations or ())
    origin = spec.origin if spec is not None else None
    if origin is None or not Path(origin).suffix == ".py":
        raise trust.Untrusted(f"{point.module} is not there as Python source")
    return origin
