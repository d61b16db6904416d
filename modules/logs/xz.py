"""An xz file unpacked in bounded memory: its first bytes can ask for any number, up to 4 GiB."""

from typing import Any, Protocol

DEAREST = 256 * 1024 * 1024  # bytes of memory that unpacking may take; `xz -9` asks for 65 MB
_MAGIC = b"\xfd7zXZ\0"
_RAW = 64 * 1024  # packed bytes that are read at once


class Source(Protocol):
    """What packed bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """Return some of the next bytes, or none at the end."""


class Dear(OSError):
    """Unpacking it takes more memory than it may."""

    def __init__(self) -> None:
        super().__init__(f"unpacking it takes more than {DEAREST >> 20} MiB of memory")


class Xz:
    """A stream of unpacked bytes, of any number of xz streams behind one another."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._unpacker: Any = None
        self._input = b""
        self._unpacked = False  # one stream at least
        self._ended = False  # what comes now is none

    def __enter__(self) -> "Xz":  # noqa: PYI034 -- typing has Self from Python 3.11 on
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the source open, which is its owner's."""
        self._unpacker = None

    def read1(self, size: int) -> bytes:
        """Return some of the next unpacked bytes, or none at the end.

        Raises:
            LZMAError: it is damaged.
            EOFError: it is cut off.
            Dear: it takes too much memory.
        """
        import lzma

        while not self._ended:
            if self._unpacker is None:
                self._input = self._input or self._source.read(_RAW)
                if not self._input:
                    return b""
                self._input = self._input.lstrip(b"\0")  # padding between streams
                if not self._input:
                    continue
                if len(self._input) < len(_MAGIC):
                    self._input += self._source.read(_RAW)
                if self._unpacked and not self._input.startswith(_MAGIC):
                    break  # what stands behind the last stream is not ours
                self._unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=DEAREST)
            elif not self._input and self._unpacker.needs_input:
                self._input = self._source.read(_RAW)
                if not self._input:
                    raise EOFError("it ends before its end was packed")
            try:
                found: bytes = self._unpacker.decompress(self._input, size)
            except lzma.LZMAError as error:
                if "memory" in str(error).lower():
                    raise Dear from error
                raise
            self._input = b""
            if self._unpacker.eof:
                self._input, self._unpacker, self._unpacked = self._unpacker.unused_data, None, True
            if found:
                return found
        self._ended = True
        return b""
