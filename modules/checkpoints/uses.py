"""Which checkpoints somebody needs: open files, command lines, links and files that name the one to resume from."""

import os
import re
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from runbook.modules import open_files
from runbook.modules.acting.regular_file import reading
from runbook.modules.acting.walking import Found
from runbook.modules.declare import Failed
from runbook.modules.host import Host

POINTER = 4096  # bytes; a file that names a checkpoint is no longer
LARGEST = 16 * 1024 * 1024  # bytes of a status file or config
_POINTS = re.compile(r"latest|last|best|checkpoint|resume", re.IGNORECASE)
_SPEAKING = re.compile(r"[A-Za-z]{3,}.*\d")  # such a name means a checkpoint wherever it stands; "100" does not


def held(path: str, units: Mapping[str, Sequence[Found]], host: Host) -> Iterator[Tuple[str, str]]:
    """Yield (name, why) of checkpoints that a process has open or mapped, or names on its command line."""
    names = _inodes(units)
    for inode, pid in sorted(open_files.holders(names).items(), key=lambda item: item[1]):
        yield names[inode], f"in use by process {pid}"
    ours = host.pid()
    for process in host.processes():
        if process.pid != ours:
            for name in named(process.command, path, units):
                yield name, f"named on the command line of process {process.pid}"


def pointed(path: str, beside: Sequence[Found], units: Mapping[str, Sequence[Found]]) -> Iterator[Tuple[str, str]]:
    """Yield (name, why) of checkpoints that links and small files beside them lead to; "" for one that is gone."""
    names = _inodes(units)
    for place in _links_above(path):
        found = _leads(place, names)
        if found is not None:
            yield found, f"{place} leads to it"
    for thing in beside:
        place = os.path.join(path, thing.path)
        if thing.link:
            target = os.path.normpath(os.path.join(path, os.readlink(place)))
            below = os.path.relpath(target, path).split(os.sep)[0]
            found = below if below in units else _leads(place, names)
            if found is not None:
                yield found, f"{thing.path} leads to it"
            elif not os.path.lexists(target):
                yield "", f"{thing.path} leads to {target}"
        elif thing.file and thing.stat.st_size <= POINTER and _POINTS.search(thing.path) and thing.path not in units:
            text = read(place, POINTER)
            told = [*named(text, path, units), *_numbered(text, units)]
            yield from ((name, f"{thing.path} names it") for name in told)
            if not told and re.fullmatch(r"\s*([A-Za-z_]+[-_]?)?\d+\s*", text):
                yield "", f"{thing.path} names {text.strip()}"


def _inodes(units: Mapping[str, Sequence[Found]]) -> Dict[Tuple[int, int], str]:
    return {(thing.stat.st_dev, thing.stat.st_ino): name for name, things in units.items() for thing in things}


def _leads(place: str, names: Mapping[Tuple[int, int], str]) -> Optional[str]:
    """Return the checkpoint that a link leads to, by whatever way: through other links, or a mount of the directory."""
    try:
        there = os.stat(place)
    except OSError:
        return None
    return names.get((there.st_dev, there.st_ino))


def _links_above(path: str) -> List[str]:
    """Return the links that stand beside the checkpoints' directory."""
    try:
        with os.scandir(os.path.dirname(path.rstrip("/")) or "/") as entries:
            return [entry.path for entry in entries if entry.is_symlink()]
    except OSError:
        return []


def told(files: Sequence[str], path: str, units: Mapping[str, Sequence[Found]]) -> Iterator[Tuple[str, str]]:
    """Yield (name, why) of the checkpoints that files such as a status or a config name."""
    for file in files:
        for name in named(read(file, LARGEST), path, units):
            yield name, f"{file} names it"


def named(text: str, path: str, units: Mapping[str, Sequence[Found]]) -> List[str]:
    """Return the checkpoints whose names stand in a text, and not within a longer name."""
    folder = os.path.basename(path.rstrip("/"))
    found = []
    for name in units:
        wanted = re.escape(name) if _SPEAKING.search(name) else re.escape(f"{folder}/{name}")
        if name in text and re.search(rf"(?<![\w.-]){wanted}(?![\w-]|\.\w)", text):
            found.append(name)
    return found


def read(path: str, most: int) -> str:
    """Return the text of a file.

    Raises:
        Failed: it can't be read, so that nobody knows what it names.
    """
    try:
        with reading(path) as file:
            content = file.read(most + 1)
    except OSError as error:
        why = error.strerror or error
        raise Failed(f"{path} can't be read ({why}), so which checkpoint it names is not known") from error
    if len(content) > most:
        raise Failed(f"{path} has more than {most >> 10} KiB: name a smaller file that names the checkpoint in use")
    return content.decode("utf-8", "replace")


def _numbered(text: str, units: Mapping[str, Sequence[Found]]) -> List[str]:
    """Megatron's pointer holds the number alone: 500 for iter_0000500."""
    number = text.strip()
    if not re.fullmatch(r"\d{1,18}", number):
        return []
    return [name for name in units if (ends := re.search(r"(\d+)\D*$", name)) and int(ends[1]) == int(number)]


def gathered(*sources: Iterator[Tuple[str, str]]) -> Tuple[Dict[str, str], List[str]]:
    """Return (why by name, the first reason of each; the reasons that belong to none)."""
    found: Dict[str, str] = {}
    dangling: List[str] = []
    for source in sources:
        for name, why in source:
            if name:
                found.setdefault(name, why)
            else:
                dangling.append(why)
    return found, dangling
