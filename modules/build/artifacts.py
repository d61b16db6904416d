"""Whether what a build left behind is whole: objects, libraries, archives, wheels, and ninja's and CMake's own files.

After a crash or a power cut the last files written are empty, cut off or full of NULs, and newer than their sources, so
that no build tool looks at them again.
"""

import os
import re
import struct
from typing import Optional

SUFFIXES = frozenset({".o", ".obj", ".lo", ".a", ".lib", ".so", ".dylib", ".whl", ".ko", ".cubin", ".gch", ".pch"})
_VERSIONED = re.compile(r"\.so(\.\d+)+$")
_EMPTY_IS_WRONG = frozenset({".o", ".obj", ".lo", ".a", ".so", ".whl", ".ko", ".cubin"})
_OWN = {
    ".ninja_log": b"# ninja log v",
    ".ninja_deps": b"# ninjadeps\n",
    "build.ninja": b"",
    "CMakeCache.txt": b"# This is the CMakeCache file.",
}
_LARGEST_RECORD = 1 << 19  # bytes of a record of .ninja_deps, by ninja's own limit


def is_artifact(name: str) -> bool:
    """Tell by its name what a build makes."""
    return os.path.splitext(name)[1] in SUFFIXES or _VERSIONED.search(name) is not None


def is_program(path: str) -> bool:
    """Tell an executable or library by its first bytes."""
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def fault(path: str, size: int) -> str:
    """Say what is wrong with a file; empty where nothing is, or where its kind is not known.

    Args:
        path: the file.
        size: its size in bytes.

    Raises:
        OSError: it can't be read.
    """
    name = os.path.basename(path)
    suffix = ".so" if _VERSIONED.search(name) else os.path.splitext(name)[1]
    if name in _OWN:
        return _tools(path, name, size)
    if not size:
        return "empty" if suffix in _EMPTY_IS_WRONG else ""
    if suffix == ".whl":
        return _wheel(path)
    with open(path, "rb") as file:
        head = file.read(64)
        if head[:4] == b"\x7fELF":
            return _elf(file, head, size)
        if head[:8] == b"!<arch>\n":
            return _archive(file, size)
    if suffix in _EMPTY_IS_WRONG and not head.strip(b"\0"):
        return "full of NULs"
    return ""


def _elf(file: "object", head: bytes, size: int) -> str:
    """Compare where the section headers of an ELF file end with where the file does."""
    wide, order = head[4:5] == b"\x02", "<" if head[5:6] == b"\x01" else ">"
    if len(head) < (64 if wide else 52):
        return "cut off"
    place, at = ("Q", 0x28) if wide else ("I", 0x20)
    (sections,) = struct.unpack_from(order + place, head, at)
    entry, count = struct.unpack_from(order + "HH", head, 0x3A if wide else 0x2E)
    if sections and sections + entry * count > size:
        return "cut off"
    if sections and count:
        file.seek(sections)  # type: ignore[attr-defined]
        table = file.read(entry * count)  # type: ignore[attr-defined]
        if not table.strip(b"\0"):
            return "full of NULs where its sections should be"
        return _sections(table, entry, order, size, wide=wide)
    return ""


def _sections(table: bytes, entry: int, order: str, size: int, *, wide: bool) -> str:
    for at in range(0, len(table) - entry + 1, entry):
        (kind,) = struct.unpack_from(order + "I", table, at + 4)
        offset, length = struct.unpack_from(order + ("QQ" if wide else "II"), table, at + (0x18 if wide else 0x10))
        if kind not in {0, 8} and offset + length > size:  # nothing, or a section without content
            return "cut off"
    return ""


def _archive(file: "object", size: int) -> str:
    at = 8
    while at < size:
        file.seek(at)  # type: ignore[attr-defined]
        header = file.read(60)  # type: ignore[attr-defined]
        if len(header) < 60 or header[58:60] != b"`\n" or not header[48:58].strip().isdigit():
            return "cut off" if len(header) < 60 else "damaged"
        length = int(header[48:58])
        if at + 60 + length > size:
            return "cut off"
        at += 60 + length + length % 2
    return ""


def _wheel(path: str) -> str:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            wrong = archive.testzip()
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError):
        return "cut off"
    return f"damaged ({wrong})" if wrong else ""


def _tools(path: str, name: str, size: int) -> str:
    if not size:
        return "empty"
    with open(path, "rb") as file:
        content = file.read()
    if not content.startswith(_OWN[name]):
        return "damaged"
    if name == ".ninja_deps":
        return _deps(content)
    return "full of NULs" if b"\0" in content else ""


def _deps(content: bytes) -> str:
    """Walk over ninja's records; a last one that is cut off ninja mends by itself."""
    at = len(_OWN[".ninja_deps"]) + 4
    while at + 4 <= len(content):
        (word,) = struct.unpack_from("<I", content, at)
        length = word & 0x7FFFFFFF
        if length > _LARGEST_RECORD or length < 4 or length % 4:
            return "damaged"
        at += 4 + length
    return ""


def own_file(name: str) -> Optional[str]:
    """Say whose file it is that a build tool keeps for itself; None for others."""
    if name not in _OWN:
        return None
    return "CMake" if name == "CMakeCache.txt" else "ninja"
