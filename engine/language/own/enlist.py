"""Which users' modules a runbook can name: those of the folder beside it, of --module-path and of installed packages.

What is found is enlisted in the catalogue, where everything that knows bundled modules finds it too.
"""

from __future__ import annotations

import os
import pathlib
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.language.own import folders
from runbook.engine.language.source import Source
from runbook.modules import catalogue
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

    from runbook.engine.language.own.folders import Folder
    from runbook.engine.language.own.read import Noun, Read
    from runbook.engine.language.values import Reader
    from runbook.engine.model import Finding, Path

_given: list[str] = []  # by --module-path
_folders: dict[str, Folder] = {}  # those in use
PLACE: Final = "RB064"
_LISTS: Final = frozenset({
    *("detectors", "operations", "recover", "cured", "unhealed", "block", "fallback", "finally", "switch"),
})  # fmt: skip


@frozen
class Refusal:
    """Why a module that is named can't be had."""

    what: str
    mend: str


def also(paths: Sequence[str]) -> None:
    """Take in the folders of --module-path, for whatever this process loads.

    Raises:
        UserError: one is no directory, or has no place for modules.
    """
    from runbook.engine.errors import UserError

    for path in paths:
        mend = "it holds steps/NAME.py and probes/NAME.py"
        if not os.path.isdir(path):  # noqa: PTH112 -- text
            raise UserError("there is no such folder of modules", where=path, mend=mend)
        if not any(pathlib.Path(path, f"{noun}s").is_dir() for noun in folders.NOUNS):
            inner = pathlib.Path(path, folders.NAME)
            mend = f"name {inner}" if inner.is_dir() else mend
            raise UserError("this folder holds no modules: neither steps/ nor probes/ is in it", where=path, mend=mend)
        full = os.path.abspath(path)  # noqa: PTH100 -- a link is refused later
        if full not in _given:
            _given.append(full)


def places() -> list[str]:
    """Return the folders of modules in use."""
    return list(_folders)


def forget() -> None:
    """Leave what was enlisted for one runbook behind, before another is looked at."""
    _folders.clear()
    catalogue.dismiss()


@frozen
class Brought:
    """What a document's modules come with."""

    sources: tuple[Source, ...] = ()  # the files that have findings
    broken: frozenset[Path] = frozenset()  # where the document names modules that can't be had


def bring(reader: Reader, data: Mapping[str, Any], beside: str) -> Brought:
    """Enlist what a document names, and report what is wrong with it.

    Args:
        reader: gets the findings.
        data: the document.
        beside: the directory that it is in.
    """
    named: dict[str, list[Path]] = {}
    for key, path in _keys(data, ()):
        named.setdefault(key, []).append(path)
    places = _places(beside)
    wanted = named.keys() & {name for place in places for _, name in place.names()}
    strange = _strange(named)
    if not wanted and not strange:
        return Brought()
    said: list[Source] = []
    broken: set[Path] = set()
    for noun, name, found in _found(places, {*wanted, *strange}):
        paths = [path for path in named.get(name, ()) if _noun(path) in {noun, None}]
        if not paths:
            continue
        if isinstance(found, Refusal):
            reader.add(PLACE, found.what, paths[0], found.mend, key=True)
        elif found.findings:
            reader.findings += found.findings
            said.append(Source(found.file, found.text))
        if isinstance(found, Refusal) or found.cls is None:
            broken.update(paths)
    return Brought(tuple(said), frozenset(broken))


def everything() -> Iterator[Read | Refusal]:
    """Enlist all that the current directory, --module-path and installed packages bring; yield what can't be used."""
    places = _places(os.getcwd())  # noqa: PTH109 -- text
    for _, _, found in _found(places, None):
        if isinstance(found, Refusal) or found.cls is None:
            yield found


def ask(name: str) -> None:
    """Enlist what is here, and say what is wrong with a module that somebody names on the command line.

    Raises:
        RunbookInvalid: its file is no module.
        UserError: it can't be trusted, or bears the name of a bundled one.
    """
    from runbook.engine.errors import RunbookInvalid, UserError

    places = _places(os.getcwd())  # noqa: PTH109 -- text
    for _, each, found in _found(places, None):
        if each != name:
            continue
        if isinstance(found, Refusal):
            raise UserError(found.what, mend=found.mend)
        if found.cls is None:
            raise RunbookInvalid([finding for finding in found.findings if finding.level == "error"])


def findings(folder: str) -> tuple[list[Finding], dict[str, str]]:
    """Return what is wrong with all modules of a folder that somebody lints, and the texts of its files."""
    from runbook.engine.model import Finding, Span

    place = folders.Folder(os.path.abspath(folder))  # noqa: PTH100 -- a link is refused
    said: list[Finding] = []
    texts: dict[str, str] = {}
    for (noun, name), file in place.names().items():
        short = folders.shown(file)
        found = _one(place, noun, name, file)
        if isinstance(found, Refusal):
            texts.setdefault(short, "")
            said.append(Finding(PLACE, "own-place", "error", found.what, Span(short, 1, 1, 1, 2), found.mend))
        else:
            texts[short] = found.text
            said += found.findings
    return said, texts


def _places(beside: str) -> list[Folder]:
    own = os.path.join(os.path.abspath(beside), folders.NAME)  # noqa: PTH100, PTH118 -- text
    paths = [*([own] if os.path.isdir(own) else []), *_given]  # noqa: PTH112 -- the same
    for path in paths:
        if path not in _folders:
            _folders[path] = folders.Folder(path)
    return [_folders[path] for path in dict.fromkeys(paths)]


def _found(places: Sequence[Folder], wanted: set[str] | None) -> Iterator[tuple[Noun, str, Read | Refusal]]:
    """Enlist and yield every module of folders, and of packages those that are wanted and are in no folder."""
    seen: set[tuple[Noun, str]] = set()
    for place in places:
        for (noun, name), file in place.names().items():
            found = _one(place, noun, name, file)
            seen.add((noun, name))
            if not isinstance(found, Refusal):
                found = _enlisted(noun, name, found, f"{folders.NAME}.{noun}s.{name}", folders.NAME, _together)
            yield noun, name, found
    if wanted is not None and wanted <= {name for _, name in seen}:
        return
    yield from _installed(wanted, seen)


def _installed(
    wanted: set[str] | None, seen: Container[tuple[Noun, str]]
) -> Iterator[tuple[Noun, str, Read | Refusal]]:
    from runbook.engine.language.own import points
    from runbook.engine.language.own.trust import Untrusted

    for (noun, name), point in points.points().items():
        if (noun, name) in seen or (wanted is not None and name not in wanted):
            continue
        if name in catalogue.bundled(noun):
            yield noun, name, _taken(noun, name, f"the package {point.distribution}")
            continue
        try:
            read = points.module(point)
        except Untrusted as error:
            yield noun, name, Refusal(f"the {noun} `{name}` is not read: {error.what}", error.mend)
            continue
        yield noun, name, _enlisted(noun, name, read, point.module, point.root, partial(points.files, point))


def _one(place: Folder, noun: Noun, name: str, file: str) -> Read | Refusal:
    from runbook.engine.language.own.trust import Untrusted

    short = folders.shown(file)
    if name in catalogue.bundled(noun):
        return _taken(noun, name, short)
    if folders.MODULE.fullmatch(name) is None:
        return Refusal(f"`{name}` can't be the name of a {noun}", f"rename {short}: small letters, digits and single _")
    try:
        return place.module(noun, name)
    except Untrusted as error:
        return Refusal(f"the {noun} `{name}` ({short}) is not read: {error.what}", error.mend)


def _taken(noun: Noun, name: str, who: str) -> Refusal:
    what = f"`{name}` is a {noun} that comes with runbook, and {who} can't replace it"
    return Refusal(what, "give yours another name")


def _enlisted(noun: Noun, name: str, found: Read, module: str, root: str, files: Any) -> Read | Refusal:
    known = catalogue.own(noun, name)
    if found.cls is None:
        return found
    if known is not None and known.file != found.file:
        what = f"the {noun} `{name}` stands in {known.file} and in {found.file}"
        return found if _same(known.file, found.file) else Refusal(what, "give one of them another name")
    if known is None or known.cls is not found.cls:
        catalogue.enlist(noun, name, catalogue.Own(found.cls, module, found.file, root, files))
    return found


def _same(one: str, other: str) -> bool:
    try:
        with open(one, "rb") as first, open(other, "rb") as second:  # noqa: PTH123 -- text
            return first.read() == second.read()
    except OSError:
        return False


def _together() -> Mapping[str, bytes]:
    """Return the files of all folders in use, as they travel: one package, since they may import one another."""
    found: dict[str, bytes] = {}
    for place in _folders.values():
        for path, content in place.sources().items():
            found.setdefault(f"{folders.NAME}/{path}", content)
    return found


def _keys(value: Any, path: Path) -> Iterator[tuple[str, Path]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str):
                yield key, (*path, key)
                yield from _keys(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _keys(item, (*path, number))


def _strange(named: Mapping[str, Sequence[Path]]) -> set[str]:
    """Return the keys of items that are no words of the language: they may be modules of installed packages."""
    from runbook.engine.language.structure import DETECTOR_KEYS, OPERATION_KEYS

    words = {*DETECTOR_KEYS, *OPERATION_KEYS, *catalogue.bundled("step"), *catalogue.bundled("probe"), "block"}
    items = {key for key, paths in named.items() if any(map(_of_a_task, paths))}
    return {key for key in items - words if folders.MODULE.fullmatch(key)}


def _noun(path: Path) -> Noun | None:
    """Return which noun a key names where modules stand; None elsewhere."""
    if not _of_a_task(path):
        return None
    return "probe" if path[-3] == "detectors" else "step"


def _of_a_task(path: Path) -> bool:
    """Whether a key stands where the modules of detectors, operations and steps do."""
    if len(path) < 3 or not isinstance(path[-2], int):
        return False
    return path[-3] in _LISTS or path[0] == "recoveries"
