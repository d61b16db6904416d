"""Wrapped lines of one kind, one behind the other, taken apart together: much faster than one by one.

Where a line of the block is anything but the usual, nothing is said, and `cleaning.said` does it line by line; where
none is, both come to the same. Of the journal's lines only the message and the time have to be JSON.
"""

import json
import re
from typing import Callable, Iterator, List, Optional, Sequence, overload

from runbook.modules.logs.cleaning import Text, cleaned
from runbook.modules.logs.wrapping import one_line, realtime

_STREAM = rb"(?:stdout|stderr)"
_ATTRS = rb'(?:"attrs":\{[^{}\n]*\},)?'  # what `--log-opt labels` adds
_TAIL = re.compile(rb'\\n","stream":"' + _STREAM + rb'",' + _ATTRS + rb'"time":"([\dTZ:.+-]*)"\}\n(?:\{"log":"|\Z)')
_CRI = re.compile(
    rb"\n(20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)) " + _STREAM + rb" F(?: |(?=\n))"
)
_MARK = b'{"log":"'
_MESSAGE = b'"MESSAGE"'
_MOMENT = b'"__REALTIME_TIMESTAMP"'
_SAID = re.compile(_MESSAGE + rb' ?: ?"([^"\\]*(?:\\.[^"\\]*)*)"')
_WHEN = re.compile(_MOMENT + rb' ?: ?"(\d{1,17})"')
_BREAKS = re.compile(rb"\\u000[aAdD]")  # nobody writes them so, but they may
_RETURNS = re.compile(rb"\r+$", re.MULTILINE)


class _Stamps(Sequence[str]):
    """The times beside lines, which few ask for."""

    def __init__(self, make: Callable[[], List[str]]) -> None:
        self._make = make
        self._made: Optional[List[str]] = None

    @property
    def _all(self) -> List[str]:
        if self._made is None:
            self._made = self._make()
        return self._made

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> List[str]: ...
    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return self._all[index]

    def __len__(self) -> int:
        return len(self._all)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)


def said_in_bulk(part: bytes) -> Optional[Text]:
    """Return what programs said in whole lines, and when; None where some are other than the usual."""
    if not part.endswith(b"\n"):
        return None
    if part.startswith(_MARK):
        return _of_docker(part)
    if part.startswith(b"{"):
        return _of_journal(part)
    return _of_kubernetes(part) if part.startswith(b"2") else None


def _of_docker(part: bytes) -> Optional[Text]:
    texts, count = _TAIL.subn(b"\n", part[len(_MARK) :])
    if count != part.count(b"\n"):
        return None
    data = _decoded(texts)
    return None if data is None else _text(data, lambda: _joined(_TAIL.findall(part)))


def _of_kubernetes(part: bytes) -> Optional[Text]:
    texts, count = _CRI.subn(b"\n", b"\n" + part)
    if count != part.count(b"\n"):
        return None
    return _text(texts[1:], lambda: _joined(_CRI.findall(b"\n" + part)))


def _of_journal(part: bytes) -> Optional[Text]:
    if b'"stream":' in part and b'"log":' in part:
        return None
    lines = part[:-1].split(b"\n")
    for line in lines:
        if not (line.startswith(b'{"') and line.endswith(b'"}') and line.count(_MESSAGE) == 1 == line.count(_MOMENT)):
            return None
    if b'\\"}\n' in part:
        return None
    texts, stamps = _SAID.findall(part), _WHEN.findall(part)
    if not len(lines) == len(texts) == len(stamps) or not all(texts):
        return None
    data = _decoded(b"\n".join(texts) + b"\n")
    return None if data is None else _text(data, lambda: [realtime(stamp) for stamp in stamps])


def _joined(stamps: Sequence[bytes]) -> List[str]:
    return b"\n".join(stamps).decode().split("\n")


def _text(data: bytes, stamps: Callable[[], List[str]]) -> Text:
    """Return lines as the patterns see them; what a carriage return parts in one are several at one time."""
    if b"\r" in data:
        data = _RETURNS.sub(b"", data)
    counts = [line.count(b"\r") for line in data.split(b"\n")] if b"\r" in data else []

    def made() -> List[str]:
        found = stamps()
        return [*(stamp for stamp, count in zip(found, counts) for _ in range(1 + count))] if counts else found

    return cleaned(data, docker=False)._replace(stamps=_Stamps(lambda: [*made(), ""]))


def _decoded(texts: bytes) -> Optional[bytes]:
    """Return what JSON strings say, one a line; line feeds within one become carriage returns."""
    if not texts.isascii():
        try:
            texts.decode()
        except UnicodeDecodeError:
            return None
    try:
        few = texts.count(b"\\") < texts.count(b"\n")
        return _decoded_singly(texts) if few else _decoded_together(texts)
    except ValueError:
        return None


def _decoded_singly(texts: bytes) -> bytes:
    if b"\\" not in texts and b'"' not in texts:
        return texts
    lines = texts.split(b"\n")
    for place, line in enumerate(lines):
        if b"\\" in line or b'"' in line:
            lines[place] = one_line(str(json.loads(b'"' + line + b'"', strict=False)).encode("utf-8", "replace"))
    return b"\n".join(lines)


def _decoded_together(texts: bytes) -> Optional[bytes]:
    if _BREAKS.search(texts) is not None:
        return None
    data = texts.replace(b"\\\\", b"\\u005c").replace(b"\\r\\n", b"\\r").replace(b"\\n", b"\\r")
    return str(json.loads(b'"' + data + b'"', strict=False)).encode("utf-8", "replace")
