"""Whether files of weights are sound: safetensors, zip, and what torch writes."""

import errno
import json
import os
import struct
import time
from typing import Any, BinaryIO, Dict, Iterator, Tuple

from runbook.modules.acting.regular_file import Irregular, reading
from runbook.modules.formats.unsound import LARGEST_TEXT, Unsound, Untold

LARGEST_HEADER = 100_000_000  # what the safetensors library itself takes at most
LARGEST_DIRECTORY = 16 * 1024 * 1024  # bytes of what a zip file says of its members
BLOCK = 1024 * 1024

_DIGITS = 20  # of the largest offset
_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1,
    "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
_OLD_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the magic number of torch before 1.6, pickled


def checked_safetensors(path: str, until: float) -> None:  # noqa: ARG001 -- the shape of a check
    """Check a safetensors file: its header, and that the tensors fill it."""
    with reading(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        if len(start) < 8:
            raise Unsound(f"{size} bytes are too few for a header")
        length = int(struct.unpack("<Q", start)[0])
        if length > LARGEST_HEADER:
            raise Unsound(f"its header claims {length} bytes: this is no safetensors file")
        if 8 + length > size:
            raise Unsound(f"cut off in its header: {size} of at least {8 + length} bytes")
        if length > LARGEST_TEXT:
            raise Untold(f"its header of {length} bytes is too large to be parsed: {LARGEST_TEXT >> 20} MiB may be")
        raw = file.read(length)
    try:
        header = json.loads(raw.decode("utf-8"), parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise Unsound(f"its header is no JSON: {error}") from error
    if not isinstance(header, dict):
        raise Unsound("its header is no mapping")
    tensors = sorted(_tensors(header))
    reached = 0
    for begin, end, name in tensors:
        if begin != reached:
            raise Unsound(f"tensor {name} begins at {begin} and not at {reached}")
        reached = end
    if 8 + length + reached > size:
        raise Unsound(f"cut off: {size} of {8 + length + reached} bytes")
    if 8 + length + reached < size:
        raise Unsound(f"too long: {size} bytes instead of {8 + length + reached}")


def _tensors(header: Dict[str, Any]) -> Iterator[Tuple[int, int, str]]:
    for name, about in header.items():
        if name == "__metadata__":
            continue
        try:
            begin, end = about["data_offsets"]
            shape, width = list(about["shape"]), _BYTES.get(about["dtype"])
        except (TypeError, KeyError, ValueError) as error:
            raise Unsound(f"the header says nothing useful of tensor {name}") from error
        if not all(type(number) is int and number >= 0 for number in (begin, end, *shape)):
            raise Unsound(f"the header says nothing useful of tensor {name}")
        if begin > end or (width is not None and end - begin != _numbers(shape) * width):
            raise Unsound(f"tensor {name}: {end - begin} bytes do not fit its shape {shape}")
        yield begin, end, name


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:  # to read millions of them takes for ever
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def _numbers(shape: "list[int]") -> int:
    """Return how many numbers a tensor holds, or some number that is more than any file holds."""
    found = 0 if 0 in shape else 1
    for extent in shape:
        found *= extent
        if found >= 10**_DIGITS:
            break
    return found


class _Bounded:
    """A file of which nothing reads more at once than there may be of a zip file's directory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        """Read some bytes.

        Raises:
            Untold: there are too many.
        """
        found = self._file.read(LARGEST_DIRECTORY + 1 if size < 0 else min(size, LARGEST_DIRECTORY + 1))
        if len(found) > LARGEST_DIRECTORY:
            raise Untold(f"its directory takes more than {LARGEST_DIRECTORY >> 20} MiB")
        return found


def checked_zip(path: str, until: float) -> None:
    """Check a zip file: its directory, and the checksum of every member."""
    _members(path, until)


def _members(path: str, until: float) -> "list[str]":
    """Return the names of a zip file's members, all of which are sound as far as they were read by then."""
    import zipfile
    import zlib

    try:
        with reading(path) as file, zipfile.ZipFile(_Bounded(file)) as archive:
            names = archive.namelist()
            for entry in archive.infolist():
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise Untold(f"{entry.filename} is packed by method {entry.compress_type}: its content is not read")
                with archive.open(entry) as content:  # its checksum is compared when its end is read
                    while content.read(BLOCK):
                        if time.monotonic() > until:
                            return names  # the directory at its end is sound, so it is not cut off
            return names
    except Irregular:
        raise
    except (NotImplementedError, RuntimeError) as error:  # encrypted, or a newer version of the format
        raise Untold(str(error)) from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # it seeks where the file says, which may be nowhere
            raise
        raise Unsound(f"its directory leads nowhere: {error}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError, OverflowError, LookupError) as error:
        raise Unsound(str(error) or "cut off") from error


def foreign(path: str) -> bool:
    """Tell whether a file with a suffix that torch shares with others, such as .bin, is none of torch's."""
    with reading(path) as file:
        start = file.read(len(_OLD_TORCH))
    return bool(start.strip(b"\0")) and not start.startswith((b"PK", _OLD_TORCH)) and not _OLD_TORCH.startswith(start)


def checked_torch(path: str, until: float) -> None:
    """What `torch.save` writes: a zip file with a pickle in it; before 1.6 it was pickles one after the other."""
    with reading(path) as file:
        start = file.read(len(_OLD_TORCH))
        if not start:
            raise Unsound("the file is empty")
        if start.startswith(_OLD_TORCH):
            raise Untold("written by a torch before 1.6: only torch itself can tell")
        if not start.startswith(b"PK"):
            raise Unsound("neither of torch's formats: it may be cut off or overwritten")
    if not any(name.endswith("data.pkl") for name in _members(path, until)):
        raise Unsound("a zip file without the data.pkl of a torch file")
