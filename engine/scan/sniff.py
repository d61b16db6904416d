"""Telling logs from what is none by a file's first bytes: directories hold models, archives and core dumps, too."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, BinaryIO, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_SAMPLE: Final = 4096
_TELLING: Final = 1024  # bytes that tell a file from others
_MAGIC: Final = (
    (b"\x7fELF", "a program or a core dump"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"SQLite format 3", "a database"),
    (b"LPKSHHRH", "a systemd journal: `journalctl --file PATH | runbook scan -` reads it"),
    (b"\xff\xfe", "UTF-16: `iconv -f UTF-16 -t UTF-8 PATH | runbook scan -` reads it"),
    (b"\xfe\xff", "UTF-16: `iconv -f UTF-16 -t UTF-8 PATH | runbook scan -` reads it"),
    (b"\x93NUMPY", "an array"),
    (b"\x89HDF", "a data set"),
    (b"PAR1", "a data set"),
    (b"GGUF", "a model"),
)
_NAMES: Final = (  # in directories alone: what bears such a name is no log, whatever its first bytes say
    *(".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".npy", ".npz", ".parquet", ".arrow", ".gguf", ".onnx", ".h5"),
    *(".pyc", ".so", ".a", ".o", ".whl", ".zip", ".db", ".sqlite", ".pkl", ".pickle", ".nsys-rep", ".qdrep"),
)
_CONTROL: Final = bytes(code for code in (*range(1, 8), *range(14, 27), *range(28, 32), 127))
_MUCH: Final = 0.05  # of a sample: in logs there are none, in binary files a tenth


def binary(path: str, *, named: bool) -> str:
    """Return what kind of binary file it is, or an empty text for one that may be a log.

    Args:
        path: a regular file, packed or not.
        named: somebody named this very file, so that its name says nothing against it.

    Raises:
        OSError: it can't be opened.
    """
    if not named and path.lower().endswith(_NAMES):
        return "a binary file"
    found = _begin(path)
    for magic, word in _MAGIC:
        if found.startswith(magic):
            return word.replace("PATH", path)
    text = found.replace(b"\0", b"")
    strange = len(text) - len(text.translate(None, _CONTROL))
    if found and (not text or strange > _MUCH * len(text)):
        return "a binary file"
    return ""


def sample(path: str) -> bytes:
    """Return a regular file's first 1 KiB, unpacked; nothing where it is none, or can't be read."""
    try:
        return _begin(path)[:_TELLING] if os.path.isfile(path) else b""  # noqa: PTH113 -- as the person wrote it
    except (OSError, ValueError):
        return b""


def _begin(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 -- a descriptor
        found = file.read(_SAMPLE)
        if (packing := _packing(found)) is not None:
            file.seek(0)
            return _unpacked(packing, file)
        if found and not found.strip(b"\0"):  # a hole, as copytruncate leaves one where a program writes on
            file.seek(-min(_SAMPLE, os.fstat(descriptor).st_size), os.SEEK_END)
            found = file.read(_SAMPLE)
        return found


def _packing(found: bytes) -> str | None:
    for magic, name in ((b"\x1f\x8b", "gzip"), (b"BZh", "bz2"), (b"\xfd7zXZ\0", "xz")):
        if found.startswith(magic):
            return name
    return "" if found.startswith(b"\x28\xb5\x2f\xfd") else None


def _unpacked(packing: str, packed: BinaryIO) -> bytes:
    """Return the first bytes of what is packed; none where it is broken, which the reader will tell of."""
    if not packing:
        return b""
    try:
        with _opener(packing)(packed) as file:
            found: bytes = file.read1(_SAMPLE)
    except (OSError, EOFError, ValueError):
        return b""
    except Exception as error:  # lzma's own kind, without importing it
        if type(error).__name__ != "LZMAError":
            raise
        return b""
    else:
        return found


def _opener(packing: str) -> Callable[..., Any]:
    if packing == "xz":
        from runbook.modules.logs.xz import Xz

        return Xz
    import importlib

    opener: Callable[..., Any] = importlib.import_module(packing).open
    return opener
