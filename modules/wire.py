r"""Frames between controller and agent: 4 bytes of big-endian length, then a JSON object in ASCII.

Lone surrogates (names of files that are not UTF-8) travel as `\udcXX`, so a cursor's path comes back as it went.
"""

import enum
import json
import os
import re
import struct
from typing import Any, Dict, Iterator, List, Optional

from runbook.modules.frozen import fields

LARGEST = 32 << 20  # bytes of one frame
MARK = b"\0runbook\0"  # what an agent that begins says once; before it a login may have printed
NOISE = 64 * 1024  # bytes that a login may print
_VALUES = 1 << 20  # of one message: each takes some hundred bytes when it is read
_LENGTH = struct.Struct("!I")
_NUMBERED = re.compile(rb'\{"seq":(\d{1,15}),')


class Junk(Exception):
    """What arrived is no frame of ours; nothing after it can be read."""


def plain(value: Any) -> Any:
    """Return what JSON can say for a value that it can't: enums, bytes, sets, dataclasses."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "replace")
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if hasattr(type(value), "__dataclass_fields__"):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"a {type(value).__name__} can't travel between agent and controller")


_JSON = json.JSONEncoder(default=plain, separators=(",", ":"))  # to make one costs as much as a small message


class Raw:
    """A look as the JSON that its worker made, which the agent passes on unread.

    Args:
        text: it, in ASCII.
        state: what of it the probe remembers; None where that is what the look was given.
    """

    __slots__ = ("state", "text")

    def __init__(self, text: bytes, state: Optional[bytes]) -> None:
        self.text, self.state = text, state

    def read(self) -> Dict[str, Any]:
        """Read it after all."""
        found: Dict[str, Any] = json.loads(self.text)
        return found


def encode(message: Dict[str, Any]) -> bytes:
    """Return the frame of a message.

    Raises:
        Junk: it is too large for one, or nested too deeply.
    """
    try:
        if any(type(look) is Raw for look in message.get("looks", ())):
            looks = [look.text if type(look) is Raw else text(look) for look in message["looks"]]
            return frame(b'{"seq":%s,"looks":[%s]}' % (text(message["seq"]), b",".join(looks)))
        return frame(text(message))
    except RecursionError as error:
        raise Junk("a message that is nested too deeply to travel") from error


def text(value: Any) -> bytes:
    """Return a value as JSON."""
    return _JSON.encode(value).encode("ascii")


def frame(body: bytes) -> bytes:
    """Return a body with its length before it."""
    if len(body) > LARGEST:
        raise Junk(f"a message of {len(body) >> 20} MiB, more than the {LARGEST >> 20} MiB that one may have")
    return _LENGTH.pack(len(body)) + body


def result(
    status: str, error: str = "", *, changed: bool = False, duration: float = 0.0, **more: Any
) -> Dict[str, Any]:
    """Return how a step ended, as it travels."""
    return {
        "status": status,
        "changed": changed,
        "error": error,
        "output": "",
        "exit_code": None,
        "data": {},
        "actions": [],
        "diff": "",
        "duration": duration,
        **more,
    }


class Reader:
    """Puts messages together from whatever arrives.

    An answer that bears its number but can't be read comes out as `{"seq": …, "unreadable": why}`.

    Args:
        marked: a mark stands before the first frame; what comes before the mark is `noise`.
    """

    def __init__(self, *, marked: bool = False) -> None:
        self.most = LARGEST  # bytes of a frame
        self.noise = b""  # what was printed before the mark
        self.marked = marked  # the mark has not come yet
        self._buffer = bytearray()

    @property
    def within(self) -> bool:
        """A frame has begun and not ended."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> List[Dict[str, Any]]:
        """Take bytes and return the messages that are whole by now.

        Raises:
            Junk: these are no frames.
        """
        return list(self.each(data))

    def each(self, data: bytes) -> Iterator[Dict[str, Any]]:
        """Take bytes and yield the messages that are whole by now, one by one: `most` may change in between.

        Raises:
            Junk: these are no frames.
        """
        self._buffer += data
        if not self.marked or self._mark_seen():
            yield from self._whole()

    def _mark_seen(self) -> bool:
        at = self._buffer.find(MARK)
        self.noise = bytes(self._buffer[: NOISE if at < 0 else at])
        if at > NOISE or (at < 0 and len(self._buffer) > NOISE + len(MARK)):
            raise Junk(f"over {NOISE >> 10} KiB of something else before an agent's first word")
        if at >= 0:
            self.marked = False
            del self._buffer[: at + len(MARK)]
        return at >= 0

    def _whole(self) -> Iterator[Dict[str, Any]]:
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > self.most:
                raise Junk(f"a frame that says it has {length} bytes: not the agent's protocol")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            numbered = _NUMBERED.match(self._buffer, _LENGTH.size)
            seq = int(numbered[1]) if numbered is not None else None
            try:
                message = json.loads(self._body(end))
            except (ValueError, RecursionError) as error:
                if seq is None:
                    raise Junk(f"a frame that is no JSON: {error}") from error
                message = {"seq": seq, "unreadable": str(error)}
            if not isinstance(message, dict):
                raise Junk("a frame that is no JSON object")
            yield message

    def _body(self, end: int) -> str:
        """Take a frame out; of a large one no more than one copy is ever there.

        What separates values is counted in texts as well: to tell these apart would cost more than to read them.

        Raises:
            ValueError: it would take far more memory as values than as text, or is not in ASCII.
        """
        try:
            if end > _VALUES and sum(self._buffer.count(mark, 0, end) for mark in (b",", b"[", b"{")) > _VALUES:
                raise ValueError(f"it holds over {_VALUES >> 20} Mi values")
            with memoryview(self._buffer) as whole, whole[_LENGTH.size : end] as body:
                return str(body, "ascii")
        finally:
            del self._buffer[:end]
