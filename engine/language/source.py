"""Bytes → plain data with the position of every key and value.

PyYAML's C parser gives events; the data is built here, without recursion, so that no nesting and no alias can hurt.
Every problem becomes a finding, and parsing goes on where it can.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import stat
from bisect import bisect_right
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING, Any

from runbook.engine.language import compose
from runbook.engine.language.places import Note
from runbook.engine.model import Finding, Path, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runbook.engine.language.places import Place

MAX_BYTES = 1 << 20
_GIVEN = re.compile(r"/dev/stdin|/(?:dev|proc/self)/fd/\d+")  # what the shell opened, as in `runbook lint <(…)`
_BREAK = re.compile(r"\r\n|\n|\r")
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
_RUN = re.compile(f"{_UNWRITABLE.pattern}+")
_FOLD = r"[ \t]*(?:(?:\r\n|\n|\r)[ \t]*)+|"
_FLOW = {
    "": re.compile(f"{_FOLD}.", re.DOTALL),
    "'": re.compile(f"{_FOLD}''|.", re.DOTALL),
    '"': re.compile(
        rf"{_FOLD}\\(?:x[0-9a-fA-F]{{2}}|u[0-9a-fA-F]{{4}}|U[0-9a-fA-F]{{8}}|(?:\r\n|\n|\r)[ \t]*|.)|.", re.DOTALL
    ),
}
_record: ContextVar[dict[str, bytes] | None] = ContextVar("record", default=None)
_MANY = 100  # findings of one file; beyond that nobody reads them
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")

RULES = {
    "RB001": "syntax",
    "RB002": "duplicate-key",
    "RB003": "yaml-trap",
    "RB004": "tab-indentation",
    "RB005": "exploding-alias",
    "RB006": "wrong-structure",
    "RB007": "unknown-key",
    "RB008": "unknown-module",
    "RB009": "one-module",
    "RB010": "expression-syntax",
    "RB011": "wrong-value",
    "RB012": "unknown-name",
    "RB013": "use",
    "RB014": "closed-set",
    "RB015": "duplicate-name",
    "RB050": "not-yet",
    "RB063": "own-module",
    "RB064": "own-place",
}


class Source:
    """A file's text, the plain data in it, where each value stands, and what is wrong with it.

    Attributes:
        file: its name, as it was given.
        text: its characters; undecodable bytes are replaced.
        data: dict, list, str, int, float, bool or None; None when it did not parse.
        problems: what was found so far, in the order of the file.
    """

    def __init__(
        self, file: str, text: str, data: Any = None, problems: Iterable[Finding] = (), place: Place | None = None
    ) -> None:
        self.file = file
        self.text = text
        self.data = data
        self.problems = list(problems)
        self._place = place

    def span(self, path: Path, *, key: bool = False) -> Span:
        """Return where a value stands, or its key.

        A value that is not there (a missing key, an empty value) is located at the nearest thing that is.
        """
        place, at = self._place, (0, 0)
        if place is None:
            return self.stretch(0, 0)
        key_at: tuple[int, int] | None = None
        for number, part in enumerate(path):
            found = place.child(part)
            if found is None:
                break
            at, place = found
            key_at = at if isinstance(part, str) else None
            if key and key_at and number == len(path) - 1:
                return self.stretch(*key_at)
        if place.start == place.end and key_at is not None:
            return self.stretch(*key_at)
        return self.stretch(place.start, place.end)

    def head(self, path: Path, *, key: bool = False) -> Span:
        """Return the first line of a value's span, for a message that is about a whole mapping or list."""
        span = self.span(path, key=key)
        if span.line == span.end_line:
            return span
        start, _ = self.offset(span)
        line = self.text[start : self._lines[span.line]] if span.line < len(self._lines) else self.text[start:]
        return self.stretch(start, start + len(line.rstrip()))

    def stretch(self, start: int, end: int) -> Span:
        """Return the span of the characters [start, end) of the text."""
        line, column = self._point(start)
        end_line, end_column = self._point(end) if end > start else (line, column)
        return Span(self.file, line, column, end_line, end_column)

    def offset(self, span: Span) -> tuple[int, int]:
        """Return a span as character offsets into the text, for edits."""
        return (
            min(self._lines[span.line - 1] + span.column - 1, len(self.text)),
            min(self._lines[span.end_line - 1] + span.end_column - 1, len(self.text)),
        )

    def inside(self, path: Path, offset: int) -> Span:
        """Return where a character of a text value stands: quotes, escapes, indentation and folding lie between."""
        start, end = self.offset(self.span(path))
        written, value = self.text[start:end], self._value(path)
        if not isinstance(value, str):
            return self.stretch(start, end)
        places = _block(written, value) if written[:1] in {"|", ">"} else _flow(written)
        at = places[offset] if offset < len(places) else max(len(written) - 1, 0)
        return self.stretch(start + at, start + min(at + 1, len(written)))

    def _value(self, path: Path) -> Any:
        value = self.data
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def finding(self, note: Note) -> Finding:
        """Return a note of the parser as a finding with its lines and columns."""
        return Finding(
            note.code,
            RULES[note.code],
            "error",
            note.message,
            self.stretch(note.start, max(note.start, note.end)),
            note.hint,
            note.fixes,
        )

    def _point(self, offset: int) -> tuple[int, int]:
        line = max(bisect_right(self._lines, offset), 1)
        return line, max(offset - self._lines[line - 1], 0) + 1

    @cached_property
    def _lines(self) -> list[int]:
        first = 1 if self.text.startswith("\ufeff") else 0  # an editor shows no column for the mark
        return [first, *(found.end() for found in _BREAK.finditer(self.text))]


@contextlib.contextmanager
def recorded() -> Iterator[dict[str, bytes]]:
    """Give by name what is read meanwhile, as it was read: it may be something else a moment later."""
    outer = _record.get()
    found: dict[str, bytes] = {}
    token = _record.set(found)
    try:
        yield found
    finally:
        _record.reset(token)
        if outer is not None:
            outer.update(found)


def read(path: str | pathlib.Path) -> Source:
    """Read a file; whatever is wrong with it is in the source's problems."""
    file = str(path)
    try:
        kind = pathlib.Path(path).stat().st_mode  # before it is opened: opening alone can rewind a tape
        if stat.S_ISDIR(kind):
            return _unreadable(file, f"{file} is a directory", "give the runbook's file")
        given = _GIVEN.fullmatch(file) is not None
        if not (stat.S_ISREG(kind) or (stat.S_ISFIFO(kind) and given)):
            what = "a pipe" if stat.S_ISFIFO(kind) else "not a regular file"
            return _unreadable(file, f"{file} is {what}", "give the runbook's file")
        with open(file, "rb", opener=None if given else _without_waiting) as opened:
            if not given and not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                return _unreadable(file, f"{file} is not a regular file any more", "give the runbook's file")
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        return _unreadable(file, f"{file} can't be read: {error.strerror or error}")
    except ValueError:  # a NUL in the name
        return _unreadable(file, "the file's name contains a NUL character")
    if (record := _record.get()) is not None:
        record[file] = content
    if len(content) > MAX_BYTES:
        return _unreadable(
            file, f"{file} is larger than 1 MiB", "a runbook is written by hand: split it, or check that it is one"
        )
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        return _undecodable(file, content, error)
    return parse(text, file)


def _without_waiting(path: str, flags: int) -> int:
    """Open what may have become a pipe since it was looked at."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def parse(text: str, file: str) -> Source:
    """Parse a runbook's text; `file` is the name that findings show."""
    if (at := text.find("\0")) >= 0:
        source = Source(file, text)
        note = Note(
            "RB001", "this is not a text file: it contains a NUL character", at, at + 1, "give a runbook's file"
        )
        source.problems.append(source.finding(note))
        return source
    notes = list(_unwritable(text))
    readable = _UNWRITABLE.sub("\ufffd", text[1:]) if notes else text.removeprefix("\ufeff")
    if notes and not text.startswith("\ufeff"):
        readable = _UNWRITABLE.sub("\ufffd", text)
    composed = compose.compose(readable, len(text) - len(readable))
    source = Source(file, text, composed.data, place=composed.place)
    notes += composed.notes
    notes.sort(key=lambda note: note.start)
    source.problems = [source.finding(note) for note in notes[:_MANY]]
    if len(notes) > _MANY:
        last = notes[_MANY]
        rest = Note("RB001", f"{len(notes) - _MANY} more problems follow", last.start, last.end)
        source.problems.append(source.finding(rest))
    return source


def _unwritable(text: str) -> Iterable[Note]:
    for found in _RUN.finditer(text, 1 if text.startswith("\ufeff") else 0):
        code, count = ord(found.group()[0]), found.end() - found.start()
        more = f", and {count - 1} more like it" if count > 1 else ""
        hint = f'delete it, or write "\\u{code:04x}" in double quotes'
        message = f"the file contains a character U+{code:04X} that can't be seen{more}"
        yield Note("RB001", message, found.start(), found.end(), hint)


def _unreadable(file: str, message: str, hint: str = "") -> Source:
    source = Source(file, "")
    source.problems.append(source.finding(Note("RB001", message, 0, 0, hint)))
    return source


def _undecodable(file: str, content: bytes, error: UnicodeDecodeError) -> Source:
    if content.startswith(_UTF_16):
        return _unreadable(file, f"{file} is UTF-16, not UTF-8", "save it as UTF-8")
    before = content[: error.start].decode("utf-8")
    source = Source(file, content.decode("utf-8", "replace"))
    message = f"the file is not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start}"
    note = Note("RB001", message, len(before), len(before) + 1, "save it as UTF-8")
    source.problems.append(source.finding(note))
    return source


def _flow(written: str) -> list[int]:
    """Return where each character of a plain or quoted text is written: escapes and line breaks are longer than it."""
    quote = written[:1] if written[:1] in {"'", '"'} else ""
    places: list[int] = []
    for found in _FLOW[quote].finditer(written, len(quote), len(written) - len(quote)):
        breaks = len(_BREAK.findall(found.group()))
        count = 1 if breaks < 2 else breaks - 1
        if found.group()[:1] == "\\" and breaks and quote == '"':
            count = 0  # an escaped line break is nothing
        places += [found.start()] * count
    return places


def _block(written: str, value: str) -> list[int]:
    """Return where each character of a text behind | or > is written: it is indented, and > folds its lines."""
    header = _BREAK.search(written)
    at = header.end() if header else 0
    places: list[int] = []
    for wanted in value:
        here = at
        while here < len(written) and written[here] != wanted and not (wanted.isspace() and written[here].isspace()):
            here += 1
        at = min(here, len(written) - 1) + 1
        places.append(at - 1)
    return places
