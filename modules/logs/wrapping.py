"""Lines as docker, Kubernetes (CRI) and `journalctl -o json` write them: each with what a program said in it."""

import json
import re
from typing import Any, Dict, NamedTuple, Optional, Union

CRI = re.compile(
    rb"(?P<stamp>20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)) (?P<stream>stdout|stderr) "
    rb"(?P<tag>[PF])(?::[\w:]*)?(?: |$)"
)
_MOMENT = "__REALTIME_TIMESTAMP"
_FIELDS = (b'"log":', b'"__REALTIME_TIMESTAMP"')
_BEGINS = (b"{", b"2")  # how such lines begin
_DATE = 10  # characters of one, before its time
_EACH = 4096  # bytes after which a line is looked at


class Wrapped(NamedTuple):
    """What stands in such a line."""

    text: bytes  # without the line's end; lines within it are parted by lone carriage returns
    stamp: str  # when it was written, as it stands there


def wraps(block: bytes) -> bool:
    """Tell whether lines of a block are such: by its last line and one every 4 KiB, as they seldom stand alone."""
    if b"{" in block and _FIELDS[1] in block:
        return True
    if _wraps(block, 0) or _wraps(block, block.rfind(b"\n", 0, len(block) - 1) + 1):
        return True
    find = block.find
    for at in range(_EACH, len(block), _EACH):
        begin = find(b"\n", at) + 1
        if block[begin : begin + 1] in _BEGINS and _wraps(block, begin):
            return True
    return False


def _wraps(block: bytes, begin: int) -> bool:
    if block.startswith(b"2", begin):
        return block.startswith(b"T", begin + _DATE) and CRI.match(block, begin) is not None
    if not block.startswith(b"{", begin):
        return False
    end = block.find(b"\n", begin)
    return _FIELDS[0] in block[begin : len(block) if end < 0 else end]


def inner(line: bytes) -> Optional[Wrapped]:
    """Return what stands in a line; None where it is none of these."""
    if line.startswith(b"{"):
        if not any(field in line for field in _FIELDS):
            return None
        record = fields_of(line)
        return None if record is None else _of_docker(record) or _of_journal(record)
    match = CRI.match(line) if line.startswith(b"2") else None
    if match is None:
        return None
    return Wrapped(line[match.end() :].rstrip(b"\r"), match["stamp"].decode())


def _of_docker(record: Dict[str, Any]) -> Optional[Wrapped]:
    text, stamp = record.get("log"), record.get("time")
    if not isinstance(text, str) or "stream" not in record:
        return None
    return Wrapped(one_line(text.encode("utf-8", "replace")), stamp if isinstance(stamp, str) else "")


def _of_journal(record: Dict[str, Any]) -> Optional[Wrapped]:
    if _MOMENT not in record or not record.get("MESSAGE"):
        return None
    try:
        stamp = realtime(record[_MOMENT])
    except (ValueError, TypeError, OverflowError):
        stamp = ""
    return Wrapped(one_line(text_of(record["MESSAGE"])), stamp)


def realtime(microseconds: Union[str, bytes]) -> str:
    """Return the journal's time as one that lines begin with."""
    return f"{int(microseconds) / 1e6:.6f}"


def one_line(text: bytes) -> bytes:
    """Return a message with lone carriage returns between its lines, and none at its end."""
    return text.rstrip(b"\r\n").replace(b"\r\n", b"\r").replace(b"\n", b"\r")


def fields_of(line: Union[str, bytes]) -> Optional[Dict[str, Any]]:
    """Return the fields of an entry, or of a line; None for what has none."""
    try:
        record = json.loads(line, strict=False)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def text_of(value: Any) -> bytes:
    """Return a field's text: bytes that are no UTF-8 come as numbers, several fields of one name as a list."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if isinstance(value, list):
        if all(isinstance(item, int) and 0 <= item < 256 for item in value):
            return bytes(value)
        return b"\n".join(text_of(item) for item in value)
    return b""
