"""`use`: the detectors, recoveries, pools, components and vars that other runbooks bring."""

from __future__ import annotations

import dataclasses
import pathlib
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from runbook.engine.language.nearest import nearest
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from runbook.engine.language.source import Source
    from runbook.engine.language.values import Reader
    from runbook.engine.model import Detector, Finding, Path, Pool, Runbook, Rung

SUFFIXES = (".yaml", ".yml")


@frozen
class Part:
    """One file with all that it uses: as much of a runbook as could be made, and what was found."""

    source: Source
    runbook: Runbook | None
    findings: tuple[Finding, ...] = ()
    used: tuple[Source, ...] = ()
    sound: bool = True


@dataclass
class Brought:
    """What the used runbooks bring together; the first of a name stays."""

    detectors: dict[str, Detector] = field(default_factory=dict)
    recoveries: dict[str, tuple[Rung, ...]] = field(default_factory=dict)
    pools: dict[str, Pool] = field(default_factory=dict)
    components: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    vars: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    sources: dict[str, Source] = field(default_factory=dict)
    sound: bool = True


def bring(
    reader: Reader,
    data: Mapping[str, Any],
    trail: tuple[pathlib.Path, ...],
    assemble: Callable[[pathlib.Path], Part],
) -> Brought:
    """Load every runbook that a document uses.

    Args:
        reader: gets what is wrong with `use` itself.
        data: the document.
        trail: the files that led here, the document's own last.
        assemble: makes a part of a file.
    """
    brought = Brought()
    for name, path in reader.items(reader.get(data, "use", (), []), ("use",)):
        found = _found(reader, name, path, trail)
        if found is None:
            continue
        part = assemble(found)
        brought.sound &= part.sound
        brought.findings += part.findings
        brought.sources |= {source.file: source for source in (part.source, *part.used)}
        if part.runbook is not None:
            _merge(reader, brought, part.runbook, data, path)
    return brought


@cache
def bundled() -> Mapping[str, pathlib.Path]:
    """Return the bundled runbooks by name."""
    from importlib.resources import files

    folder = pathlib.Path(str(files("runbook") / "runbooks"))
    found = (file for file in sorted(folder.glob("*.yaml")) if file.is_file())
    return {file.stem: file for file in found if not file.stem.endswith((".test", ".drill"))}


def _found(reader: Reader, name: str, path: Path, trail: tuple[pathlib.Path, ...]) -> pathlib.Path | None:
    folder = trail[-1].parent
    for candidate in _candidates(folder, name):
        resolved = candidate.resolve()
        if resolved in trail:
            around = [file.name for file in trail[trail.index(resolved) :]] + [resolved.name]
            reader.add("RB013", f"`use` goes round: {' → '.join(around)}", path, "delete one of these uses")
            return None
        return candidate
    known = {*bundled(), *(file.stem for suffix in SUFFIXES for file in folder.glob(f"*{suffix}"))}
    near = nearest(name, known)
    hint = f"did you mean {near}?" if near else f"write a path from {folder}, or the name of a bundled runbook"
    reader.add("RB013", f"there is no runbook `{name}`", path, hint)
    return None


def _candidates(folder: pathlib.Path, name: str) -> Iterator[pathlib.Path]:
    if not name or "\0" in name or len(name) > 1000:
        return
    for suffix in ("", *SUFFIXES):
        candidate = folder / f"{name}{suffix}"
        try:
            if candidate.is_file():
                yield candidate
        except OSError:
            continue
    stem = next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), name)
    if stem in bundled():
        yield bundled()[stem]


def _merge(reader: Reader, brought: Brought, used: Runbook, data: Mapping[str, Any], path: Path) -> None:
    own = {item.get("name") for item in data.get("detectors") or () if isinstance(item, dict)}
    for detector in used.detectors:
        earlier = brought.detectors.get(detector.name)
        origin = detector.origin or used.file
        if detector.name in own or (earlier is not None and earlier.origin == origin):
            continue  # ours replaces it; or two runbooks use the same third
        if earlier is not None:
            message = f"the detector `{detector.name}` comes from {earlier.origin} and from {origin}"
            reader.add("RB015", message, path, "write a detector of that name here; it replaces both")
            continue
        brought.detectors[detector.name] = dataclasses.replace(detector, origin=origin)
    brought.recoveries = {**used.recoveries, **brought.recoveries}
    brought.pools = {**used.pools, **brought.pools}
    brought.components = {**used.components, **brought.components}
    brought.vars = {**used.vars, **brought.vars}
