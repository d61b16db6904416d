"""Events of PyYAML's C parser → plain data and places, in one loop with a stack of its own.

The library's own composer recurses in C and expands nothing with care; here depth, the number of values after the
expansion of aliases, duplicate keys, tags and the traps of YAML 1.1 are seen while the data is built.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml
from yaml.cyaml import CParser  # type: ignore[attr-defined]

from runbook.engine.language import scalars
from runbook.engine.language.places import Composed, Note, Place
from runbook.engine.language.syntax import explain
from runbook.engine.model import Edit
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH = 64
MAX_VALUES = 50_000  # after the expansion of aliases; a MiB of YAML written by hand has fewer
_TAB = re.compile(r"^(?: |- )*-?\t[ \t]*(?=\S)", re.MULTILINE)
_PLAIN_TAGS = {"!", "tag:yaml.org,2002:str"}
_MAP_TAGS = {"!", "tag:yaml.org,2002:map"}
_SEQ_TAGS = {"!", "tag:yaml.org,2002:seq"}
_ENOUGH = 1000  # notes, after which reading on helps nobody
_BLOCK = ("|", ">")
_ITSELF = "write the value itself"
_NOTHING: Any = object()
_UNUSABLE: Any = object()


class _Stop(Exception):
    """Nothing more can be learnt from the text."""


class _Frame:
    """A mapping or list that is still open."""

    __slots__ = ("anchor", "data", "flow", "height", "key", "key_at", "merges", "place", "values")

    def __init__(self, data: Any, place: Place, anchor: str | None, *, flow: bool) -> None:
        self.data = data
        self.place = place
        self.anchor = anchor
        self.flow = flow
        self.key: Any = _NOTHING
        self.key_at = (0, 0)
        self.merges: list[tuple[Any, Place]] = []
        self.values = 1
        self.height = 1


@frozen
class _Anchored:
    data: Any
    place: Place
    values: int
    height: int


def compose(text: str, shift: int = 0) -> Composed:
    """Build the data of a text whose first character is number `shift` of its file."""
    composer = _Composer(text, shift)
    try:
        composer.run()
    except _Stop:
        composer.result.data = None
    composer.tabs()
    return composer.result


def _quote(text: str) -> dict[str, str]:
    return {"hint": f'write "{text}" in quotes', "instead": f'"{text}"'}


class _Composer:
    def __init__(self, text: str, shift: int) -> None:
        self.text = text
        self.shift = shift
        self.result = Composed()
        self.stack: list[_Frame] = []
        self.anchors: dict[str, _Anchored | None] = {}
        self.values = 0
        self.contents: list[tuple[int, int]] = []  # scalars of several lines: a tab in them indents nothing

    def note(
        self, code: str, message: str, start: int, end: int, *, hint: str = "", instead: str | None = None
    ) -> None:
        start, end = start + self.shift, end + self.shift
        fixes = () if instead is None else (Edit(start, end, instead),)
        self.result.notes.append(Note(code, message, start, end, hint, fixes))
        if len(self.result.notes) >= _ENOUGH:
            raise _Stop

    def events(self) -> Iterator[Any]:
        try:
            parser = CParser(self.text)
            while (event := parser.get_event()) is not None:
                yield event
        except yaml.YAMLError as error:
            known = explain(error, self.text)
            if known.message not in {note.message for note in self.result.notes[-1:]}:
                self.note("RB001", known.message, known.start, known.end, hint=known.hint)
            raise _Stop from None

    def run(self) -> None:
        documents = 0
        for event in self.events():
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self.scalar(event)
            elif kind is yaml.MappingStartEvent:
                self.open(event, {}, _MAP_TAGS)
            elif kind is yaml.SequenceStartEvent:
                self.open(event, [], _SEQ_TAGS)
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                self.close(event)
            elif kind is yaml.AliasEvent:
                self.alias(event)
            elif kind is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    start = event.start_mark.index
                    hint = "write each runbook into its own file"
                    self.note("RB001", "the file holds several YAML documents", start, start + 3, hint=hint)
                    break
        if self.result.data is None and not self.result.notes:
            message = "the file is empty" if not self.text.strip() else "the file holds nothing but comments"
            self.note("RB001", message, 0, 0, hint="`runbook new` writes one to start from")

    def open(self, event: Any, data: Any, tags: set[str]) -> None:
        start = event.start_mark.index
        if len(self.stack) >= MAX_DEPTH:
            self.note("RB005", f"nested deeper than {MAX_DEPTH} levels", start, start + 1, hint="flatten it")
            raise _Stop
        if event.tag is not None and event.tag not in tags:
            self.tag(event)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        place = Place(start + self.shift, event.end_mark.index + self.shift, {} if isinstance(data, dict) else [])
        self.stack.append(_Frame(data, place, event.anchor, flow=bool(event.flow_style)))

    def close(self, event: Any) -> None:
        frame = self.stack.pop()
        if frame.flow:
            frame.place.end = event.end_mark.index + self.shift
        for merged, place in frame.merges:
            for key, value in merged.items():
                if key not in frame.data:
                    frame.data[key] = value
                    frame.place.children[key] = place.children[key]
        self.add(frame.data, frame.place, frame.anchor, frame.values, frame.height)

    def scalar(self, event: Any) -> None:
        start, end, value, style = event.start_mark.index, event.end_mark.index, event.value, event.style
        if style in _BLOCK:
            end = start + len(self.text[start:end].rstrip())
        if event.end_mark.line != event.start_mark.line:
            self.contents.append((start, end))
        if event.tag is not None and event.tag not in _PLAIN_TAGS:
            self.tag(event)
        elif event.tag is None and event.implicit[0] and not style:
            value = self.plain(event.value, start, end)
        elif "\0" in value:
            self.note("RB001", "the text contains a NUL character", start, end, hint="delete the \\0")
        self.add(value, Place(start + self.shift, end + self.shift), event.anchor, 1, 1)

    def plain(self, text: str, start: int, end: int) -> Any:
        frame = self.stack[-1] if self.stack else None
        is_key = frame is not None and frame.key is _NOTHING and isinstance(frame.data, dict)
        value = scalars.resolve(text)
        if type(value) is scalars.Trap:
            if is_key and len(text) == 1:  # x and y are coordinates more often than y is a yes
                return text
            if is_key:
                self.note("RB003", value.message, start, end, **_quote(text))
                return text
            self.note("RB003", value.message, start, end, hint=value.hint, instead=value.instead)
            return value.value
        if is_key and not isinstance(value, str) and text:
            self.note("RB003", f"the key {text} is not text", start, end, **_quote(text))
            return text
        return value

    def alias(self, event: Any) -> None:
        start, end, name = event.start_mark.index, event.end_mark.index, event.anchor
        known = self.anchors.get(name, _NOTHING)
        place = Place(start + self.shift, end + self.shift)
        if known is _NOTHING:
            self.note("RB001", f"*{name} stands for nothing: no &{name} before it", start, end, hint=_ITSELF)
            self.add(None, place, None, 1, 1)
        elif known is None:
            self.note("RB005", f"*{name} contains itself", start, end, hint=_ITSELF)
            self.add(None, place, None, 1, 1)
        else:
            if len(self.stack) + known.height > MAX_DEPTH:
                self.note("RB005", f"*{name} nests deeper than {MAX_DEPTH} levels", start, end, hint="flatten it")
                raise _Stop
            place.children = known.place.children
            self.values += known.values - 1
            self.add(known.data, place, None, known.values, known.height)

    def add(self, value: Any, place: Place, anchor: str | None, values: int, height: int) -> None:
        self.values += 1
        if self.values > MAX_VALUES:
            start = place.start - self.shift
            message = f"more than {MAX_VALUES} values, counting what aliases stand for"
            self.note("RB005", message, start, place.end - self.shift, hint="write fewer aliases of aliases")
            raise _Stop
        if anchor is not None:
            self.anchors[anchor] = _Anchored(value, place, values, height)
        if not self.stack:
            if self.result.place is None:
                self.result.data, self.result.place = value, place
            return
        frame = self.stack[-1]
        frame.values += values
        frame.height = max(frame.height, height + 1)
        if not frame.flow and place.end > frame.place.end:
            frame.place.end = place.end
        if isinstance(frame.data, list):
            frame.data.append(value)
            frame.place.children.append(place)
        elif frame.key is _NOTHING:
            frame.key = self.key(frame, value, place)
            frame.key_at = (place.start, place.end)
        else:
            self.entry(frame, value, place)
            frame.key = _NOTHING

    def key(self, frame: _Frame, value: Any, place: Place) -> Any:
        start, end = place.start - self.shift, place.end - self.shift
        if not isinstance(value, str):
            if self.text.startswith("{{", start - 1) or self.text.startswith("{{", start):
                start -= self.text.startswith("{{", start - 1)
                closed = self.text.find("}}", end - 1)
                end = max(end, closed + 2) if closed >= 0 else end
                self.note("RB001", "a value that begins with {{ must be in quotes", start, end, hint='write "{{ … }}…"')
            else:
                self.note("RB001", "a key must be text", start, end, hint="write the key in quotes")
            return _UNUSABLE
        if value == "<<" and self.text[start:end] == "<<":
            return value
        if value in frame.data:
            first = self.text.count("\n", 0, frame.place.children[value][0][0] - self.shift) + 1
            hint = "delete one of them, or merge the two"
            message = f"the key {value} stands here a second time, first in line {first}"
            self.note("RB002", message, start, end, hint=hint)
            return _UNUSABLE
        return value

    def entry(self, frame: _Frame, value: Any, place: Place) -> None:
        key = frame.key
        if key is _UNUSABLE:
            return
        start, end = frame.key_at
        if key == "<<" and self.text[start - self.shift : end - self.shift] == "<<":
            self.merge(frame, value, place)
            return
        frame.data[key] = value
        frame.place.children[key] = (frame.key_at, place)

    def merge(self, frame: _Frame, value: Any, place: Place) -> None:
        if isinstance(value, dict):
            frame.merges.append((value, place))
        elif isinstance(value, list) and all(isinstance(item, dict) for item in value):
            frame.merges.extend(zip(value, place.children, strict=True))
        else:
            start, end = frame.key_at
            message = "<< takes a mapping, or a list of mappings, to merge"
            self.note("RB001", message, start - self.shift, end - self.shift, hint="write <<: *anchor")

    def tag(self, event: Any) -> None:
        start = event.start_mark.index
        written = self.text[start : start + 80].split(maxsplit=1)
        shown = next((word for word in written if word.startswith("!")), event.tag)
        message, hint = f"the tag {shown} has no place in a runbook", "delete it; secrets stand under `secrets`"
        if self.stack and self.stack[-1].key in {"when", "clear"}:
            message, hint = f"{shown} is read as a tag, not as an expression", f"write: not {shown.lstrip('!')}"
        self.note("RB001", message, start, start + len(shown), hint=hint)

    def tabs(self) -> None:
        """Report tabs that indent, unless they are the content of a scalar of several lines."""
        lines = [
            found
            for found in _TAB.finditer(self.text)
            if not any(start < found.start() < end for start, end in self.contents)
        ]
        if not lines:
            return
        notes = self.result.notes
        for found in lines[:20]:
            start = self.text.index("\t", found.start()) + self.shift
            notes.append(
                Note("RB004", "a tab indents this line", start, found.end() + self.shift, "indent with spaces")
            )
        known = {self.text.count("\n", 0, note.start) for note in notes if note.code == "RB004"}
        notes[:] = [note for note in notes if note.code != "RB001" or self.text.count("\n", 0, note.start) not in known]
