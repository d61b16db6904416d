"""Zstandard, by whatever this Python has for it: the standard library's module from 3.14 on, or a package of PyPI's."""

import importlib
from contextlib import suppress
from typing import Any

from runbook.modules.logs.xz import Source

MAGIC = b"\x28\xb5\x2f\xfd"
LACKING = "it is packed by zstandard, for which this Python has nothing: `pip install zstandard`, or unpack it first"

_ALIKE = ("compression.zstd", "backports.zstd", "pyzstd")  # unpack as lzma does, so much at a time
_OTHER = "zstandard"
_RAW = 64 * 1024  # packed bytes that are read at once
_BITE = 512  # packed bytes given at once to what returns all that they hold: 16 MB at the worst


class Lacking(OSError):
    """There is nothing here that unpacks it."""

    def __init__(self) -> None:
        super().__init__(LACKING)


class Zstd:
    """A stream of unpacked bytes, of any number of frames behind one another."""

    def __init__(self, source: Source) -> None:
        """Take what the packed bytes are read from.

        Raises:
            Lacking: there is nothing here that unpacks it.
        """
        self._source = source
        self._unpacker: Any = unpacker()
        self._input = b""
        self._ended = False

    def __enter__(self) -> "Zstd":  # noqa: PYI034 -- typing has Self from Python 3.11 on
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the source open, which is its owner's."""
        self._unpacker = None

    def read1(self, size: int) -> bytes:
        """Return some of the next unpacked bytes, or none at the end.

        Raises:
            ZstdError: it is damaged; each package has its own.
            EOFError: it is cut off.
        """
        while not self._ended:
            if not self._input and (self._unpacker is None or self._unpacker.needs_input):
                self._input = self._source.read(_RAW)
                if not self._input:
                    if self._unpacker is not None:
                        raise EOFError("it ends before its end was packed")
                    break
            if self._unpacker is None:
                if len(self._input) < len(MAGIC):
                    self._input += self._source.read(_RAW)
                if not self._input.startswith(MAGIC):
                    break  # what stands behind the last frame is not ours
                self._unpacker = unpacker()
            found: bytes = self._unpacker.decompress(self._input, size)
            self._input = getattr(self._unpacker, "unconsumed_tail", b"")
            if self._unpacker.eof:
                self._input, self._unpacker = self._unpacker.unused_data, None
            if found:
                return found
        self._ended = True
        return b""


def unpacker() -> Any:
    """Return what unpacks one frame, as the decompressors of bz2 and lzma do.

    Raises:
        Lacking: there is nothing here that does.
    """
    for name in _ALIKE:
        with suppress(ImportError):
            return importlib.import_module(name).ZstdDecompressor()
    with suppress(ImportError):
        return _InBites(importlib.import_module(_OTHER).ZstdDecompressor().decompressobj())
    raise Lacking


class _InBites:
    """A decompressor that returns all that it can, fed so little that this is little."""

    def __init__(self, whole: Any) -> None:
        self._whole = whole
        self.unconsumed_tail = b""
        self.needs_input = True

    def decompress(self, data: bytes, size: int) -> bytes:
        """Return some of what a part of the data holds; the rest of it is `unconsumed_tail`, or `unused_data`."""
        parts, held, at = [], 0, 0
        while at < len(data) and held < size and not self._whole.eof:
            parts.append(self._whole.decompress(data[at : at + _BITE]))
            held += len(parts[-1])
            at += _BITE
        self.unconsumed_tail = data[at:]
        return b"".join(parts)

    @property
    def eof(self) -> bool:
        """The frame has ended."""
        return bool(self._whole.eof)

    @property
    def unused_data(self) -> bytes:
        """What stands behind the frame."""
        return bytes(self._whole.unused_data) + self.unconsumed_tail
