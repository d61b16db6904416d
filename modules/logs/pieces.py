"""Docker's JSON lines: one that was too long for docker (16 KiB) stands in several, which are put together here."""

import json
from typing import Any, Dict, List, Optional, Tuple

MARK = b'{"log":"'
_WHOLE = b'\\n","stream":'
_LONGEST = 64 * 1024  # characters that are kept of one line


def together(part: bytes) -> Tuple[bytes, int]:
    """Return as many lines, each text in the line of its last piece, and where an unfinished one begins."""
    lines = part.split(b"\n")
    begun: Dict[str, List[Any]] = {}  # by stream: the first piece's place, the pieces, their length
    changed = False
    for place, line in enumerate(lines):
        if not line.startswith(MARK) or (not begun and _WHOLE in line):
            continue
        record = _record(line)
        if record is None:
            continue
        text, stream = record["log"], str(record.get("stream"))
        if text.endswith("\n") and stream not in begun:
            continue
        first, pieces, length = begun.get(stream, (place, [], 0))
        if length < _LONGEST:
            pieces.append(text)
        changed, lines[place] = True, b""
        if text.endswith("\n"):
            lines[place] = _line({**record, "log": "".join(pieces)[:_LONGEST] + "\n"})
            begun.pop(stream, None)
        else:
            begun[stream] = [first, pieces, length + len(text)]
    held = min((first for first, _, _ in begun.values()), default=None)
    if held is None:
        return (b"\n".join(lines) if changed else part), len(part)
    for first, pieces, _ in begun.values():  # seen only where what is there has to be taken as it stands
        lines[first] = _line({"log": "".join(pieces)[:_LONGEST], "stream": "", "time": ""})
    return b"\n".join(lines), _offset(part, held)


def _record(line: bytes) -> Optional[Dict[str, Any]]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("log"), str) else None


def _line(record: Dict[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode()


def _offset(part: bytes, line: int) -> int:
    at = 0
    for _ in range(line):
        at = part.find(b"\n", at) + 1
    return at
