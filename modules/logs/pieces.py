"""Lines that were too long for docker or Kubernetes (16 KiB) stand in several, which are put together here."""

import json
from typing import Dict, List, NamedTuple, Optional, Tuple

from runbook.modules.logs.wrapping import CRI, fields_of

MARK = b'{"log":"'
_WHOLE = b'\\n","stream":'
_LONGEST = 64 * 1024 + 1  # bytes that are kept of one line, by which it is seen to be too long
_FULL = 8 * 1024  # bytes of a piece; one that is shorter is the rest before a program's end
_SHORT = 3  # short ones that follow each other: their writer leaves out the line ends
_STREAMS = 8


class _Piece(NamedTuple):
    frame: bytes  # what stands before the text in Kubernetes' line
    record: Optional[Dict[str, object]]  # of docker's line
    text: bytes
    stream: str
    whole: bool

    def line(self, text: bytes) -> bytes:
        """Return the line that would hold a whole text."""
        if self.record is None:
            return self.frame + text
        said = text.decode("utf-8", "replace") + "\n"
        return json.dumps({**self.record, "log": said}, separators=(",", ":")).encode()


class _Begun:
    """A line of one stream, as far as it is there."""

    def __init__(self) -> None:
        self.places: List[int] = []
        self.texts: List[bytes] = []
        self.length = 0
        self.short = 0

    def add(self, place: int, piece: _Piece) -> None:
        """Take in a piece."""
        self.places.append(place)
        self.texts.append(piece.text[: max(0, _LONGEST - self.length)])
        self.length += len(self.texts[-1])
        self.short = self.short + 1 if len(piece.text) < _FULL and not piece.whole else 0

    @property
    def text(self) -> bytes:
        """What is there of it."""
        return b"".join(self.texts)


def held(part: bytes) -> bool:
    """Tell whether some lines may be pieces."""
    return (b"{" in part and MARK in part) or (
        b" P" in part and (b" stderr P" in part or b" stdout P" in part) and CRI.match(part) is not None
    )


def begins(rest: bytes) -> bool:
    """Tell whether a line is such that another may follow which belongs to it."""
    return rest.startswith(MARK) or CRI.match(rest) is not None


def together(part: bytes) -> Tuple[bytes, int]:
    """Return as many lines, each text in the line of its last piece, and where an unfinished one begins."""
    lines = part.split(b"\n")
    begun: Dict[str, _Begun] = {}  # by stream
    endless = set()  # streams whose writer leaves out the line ends
    last: Dict[str, _Piece] = {}
    changed = False
    for place, line in enumerate(lines):
        piece = _piece(line, begun=bool(begun))
        if piece is None or piece.stream in endless or (piece.whole and piece.stream not in begun):
            continue
        if piece.stream not in begun and len(begun) >= _STREAMS:
            continue
        known = begun.setdefault(piece.stream, _Begun())
        known.add(place, piece)
        last[piece.stream] = piece
        if known.short >= _SHORT and piece.record is not None:
            endless.add(piece.stream)
            del begun[piece.stream]
        elif piece.whole:
            changed = True
            _join(lines, begun.pop(piece.stream), piece)
    first = min((known.places[0] for known in begun.values()), default=None)
    if first is None:
        return (b"\n".join(lines) if changed else part), len(part)
    for stream, known in begun.items():  # seen only where what is there has to be taken as it stands
        _join(lines, known, last[stream])
    return b"\n".join(lines), _offset(part, first)


def _join(lines: List[bytes], known: _Begun, last: _Piece) -> None:
    for place in known.places:
        lines[place] = b""
    lines[known.places[-1]] = last.line(known.text)


def _piece(line: bytes, *, begun: bool) -> Optional[_Piece]:
    """Return a line as a piece; None for what is none, which most lines are seen to be at once."""
    if line.startswith(b"{"):
        return None if not begun and _WHOLE in line else _of_docker(line)
    match = CRI.match(line) if line.startswith(b"2") else None
    if match is None or (not begun and match["tag"] == b"F"):
        return None
    frame = line[: match.start("tag")] + b"F "
    return _Piece(frame, None, line[match.end() :], match["stream"].decode(), match["tag"] == b"F")


def _of_docker(line: bytes) -> Optional[_Piece]:
    if b'"log":' not in line:
        return None
    record = fields_of(line)
    text = None if record is None else record.get("log")
    if record is None or not isinstance(text, str) or "stream" not in record:
        return None
    whole = text.endswith("\n")
    said = text[: len(text) - whole].encode("utf-8", "replace")
    return _Piece(b"", record, said, str(record["stream"]), whole)


def _offset(part: bytes, line: int) -> int:
    at = 0
    for _ in range(line):
        at = part.find(b"\n", at) + 1
    return at
