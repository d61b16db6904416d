"""What a worker says to its agent: each look with a head, so that the agent need not read the look to pass it on."""

import contextlib
import json
import struct
from typing import Any, Dict, Iterator, Mapping, Optional

from runbook.modules import wire
from runbook.modules.states import SAME

LARGEST = 16 << 20  # bytes of one look's answer
_HEAD = struct.Struct("!IiIB")  # bytes that follow; which look is next, or -1; where its state begins, or 0; what it is
_NOTHING, _LOOK, _LETTER = 0, 1, 2  # no look; one that is passed on unread; a message of JSON about one
_STATE = b',"state":'


def following(index: Optional[int]) -> bytes:
    """Say only which look is next."""
    return _HEAD.pack(0, -1 if index is None else index, 0, _NOTHING)


def look(seen: Mapping[str, Any], index: Optional[int]) -> Optional[bytes]:
    """Say what was seen, and which look is next; None where that has to be told in a letter."""
    at = 0
    known = {"id": seen["id"], "status": seen["status"], "records": seen["records"]}
    if known["status"] != "seen":
        return None
    with contextlib.suppress(TypeError, ValueError, RecursionError):  # the letter says why
        if seen.get(SAME):
            text = wire.text({**known, SAME: True})
        else:
            text = wire.text(known)[:-1] + _STATE
            at = len(text)
            text += wire.text(seen["state"]) + b"}"
        if len(text) <= LARGEST:
            return _HEAD.pack(len(text), -1 if index is None else index, at, _LOOK) + text
    return None


def letter(text: bytes) -> bytes:
    """Say what is in a message of JSON: `look`, `imported` and `next`."""
    return _HEAD.pack(len(text), -1, 0, _LETTER) + text


class Heard:
    """Puts together what a worker says."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Dict[str, Any]]:
        """Take bytes and yield the messages that are whole by now: `next`, and mostly a `look`.

        Raises:
            Junk: they make no sense.
        """
        self._buffer += data
        while len(self._buffer) >= _HEAD.size:
            length, index, at, kind = _HEAD.unpack_from(self._buffer)
            if length > wire.LARGEST or kind > _LETTER:
                raise wire.Junk("what a worker never says")
            end = _HEAD.size + length
            if len(self._buffer) < end:
                return
            text = bytes(self._buffer[_HEAD.size : end])
            del self._buffer[:end]
            found: Dict[str, Any] = {"next": None if index < 0 else index}
            if kind == _LOOK:
                found["look"] = wire.Raw(text, text[at:-1] if at else None)
            elif kind == _LETTER:
                try:
                    found = json.loads(text)
                except ValueError as error:
                    raise wire.Junk(f"a letter that is no JSON: {error}") from error
            yield found
