"""YAML as Ansible reads it: 1.1, where `yes` is true and `0777` is octal, with `!vault` and `!unsafe`.

Built from the events of PyYAML's C parser without recursion, so that no nesting and no alias can hurt, and with the
place of every key. What surprises is warned of; a key that stands twice has its last value.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import TYPE_CHECKING, Any, Final

import yaml
from yaml.constructor import SafeConstructor
from yaml.cyaml import CParser  # type: ignore[attr-defined]
from yaml.resolver import Resolver

from runbook.engine.errors import UserError
from runbook.engine.inventory.texts import Map, Mark, Opened, Sealed, Unsafe
from runbook.engine.language.syntax import explain
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEPTH: Final = 100
MAX_VALUES: Final = 5_000_000  # after the expansion of aliases: 10,000 hosts with 500 values each
_PREFIX: Final = "tag:yaml.org,2002:"
_VAULT: Final = ("!vault", "!vault-encrypted")
_NOTHING: Any = object()
_BRACKETS = re.compile(r"\s*[\[{]")
_RESOLVE: Callable[..., str] = Resolver().resolve
_FIRST: Final = frozenset(Resolver.yaml_implicit_resolvers)
_SCALARS: Final[dict[str, Callable[[SafeConstructor, Any], Any]]] = {
    f"{_PREFIX}{name}": getattr(SafeConstructor, f"construct_yaml_{name}")
    for name in ("null", "bool", "int", "float", "timestamp", "binary")
}


@frozen
class Notice:
    """Something in a file that is not wrong, but not what one would expect either."""

    code: str
    message: str
    mark: Mark
    length: int
    hint: str = ""


class _Frame:
    __slots__ = ("anchor", "data", "key", "key_mark", "kind", "merged", "unsafe", "values")

    def __init__(self, data: Any, kind: str, anchor: str | None, *, unsafe: bool) -> None:
        self.data = data
        self.kind = kind  # map, seq, set, pairs, omap
        self.anchor = anchor
        self.unsafe = unsafe
        self.key: Any = _NOTHING
        self.key_mark: Mark = (1, 1)
        self.merged: list[Any] = []
        self.values = 1


def read(text: str, file: str, notices: list[Notice] | None = None, *, opened: bool = False) -> Any:
    """Return the data of a document: what is JSON is read as JSON, all else as YAML 1.1.

    Args:
        text: the document.
        file: what messages call it.
        notices: takes what is worth a warning.
        opened: the text came out of a vault, so its texts are secrets.

    Raises:
        UserError: it is neither; says the line.
    """
    if _BRACKETS.match(text):
        try:
            return revived(json.loads(text), file, opened=opened)
        except (ValueError, RecursionError):
            pass  # most YAML in brackets is no JSON
    return _Builder(text, file, [] if notices is None else notices, opened=opened).built()


class _Builder:
    def __init__(self, text: str, file: str, notices: list[Notice], *, opened: bool) -> None:
        self.text = text
        self.file = file
        self.notices = notices
        self.plain: Callable[[str], Any] = Opened if opened else str
        self.stack: list[_Frame] = []
        self.anchors: dict[str, tuple[Any, int, str] | None] = {}
        self.resolved: dict[str, Any] = {}
        self.values = 0
        self.result: Any = _NOTHING
        self.constructor = SafeConstructor()

    def built(self) -> Any:
        documents = 0
        try:
            parser = CParser(self.text)
            while (event := parser.get_event()) is not None:
                kind = type(event)
                if kind is yaml.ScalarEvent:
                    self.scalar(event)
                elif kind is yaml.MappingStartEvent:
                    self.open(event, is_map=True)
                elif kind is yaml.SequenceStartEvent:
                    self.open(event, is_map=False)
                elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                    self.close()
                elif kind is yaml.AliasEvent:
                    self.alias(event)
                elif kind is yaml.DocumentStartEvent:
                    documents += 1
                    if documents > 1:
                        raise self.wrong("the file holds several YAML documents", event, "write each into its own file")
        except yaml.reader.ReaderError as error:
            line = self.text.count("\n", 0, error.position) + 1
            raise UserError(f"the character U+{error.character:04X} has no place in YAML",
                            where=f"{self.file}:{line}", mend='delete it, or write "\\x…"') from None  # fmt: skip
        except yaml.YAMLError as error:
            known = explain(error, self.text)
            line = self.text.count("\n", 0, known.start) + 1
            column = known.start - (self.text.rfind("\n", 0, known.start) + 1) + 1
            raise UserError(known.message, where=f"{self.file}:{line}:{column}", mend=known.hint) from None
        except UnicodeEncodeError:
            raise UserError("the file is not UTF-8", where=self.file, mend="save it as UTF-8") from None
        return None if self.result is _NOTHING else self.result

    def wrong(self, message: str, event: Any, mend: str = "") -> UserError:
        mark = event.start_mark
        return UserError(message, where=f"{self.file}:{mark.line + 1}:{mark.column + 1}", mend=mend)

    def open(self, event: Any, *, is_map: bool) -> None:
        if len(self.stack) >= MAX_DEPTH:
            raise self.wrong(f"nested deeper than {MAX_DEPTH} levels", event, "flatten it")
        tag, kind = event.tag, "map" if is_map else "seq"
        unsafe = bool(self.stack) and self.stack[-1].unsafe
        if tag == "!unsafe":
            unsafe = True
        elif tag not in {None, "!", f"{_PREFIX}{kind}"}:
            kind = tag.removeprefix(_PREFIX)
            if kind not in ({"set"} if is_map else {"pairs", "omap"}):
                raise self.tag(event)
        data: Any = [] if kind in {"seq", "pairs", "omap"} else set() if kind == "set" else Map()
        if kind == "map":
            data.mark = (event.start_mark.line + 1, event.start_mark.column + 1)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        self.stack.append(_Frame(data, kind, event.anchor, unsafe=unsafe))

    def close(self) -> None:
        frame = self.stack.pop()
        if frame.merged:
            own, places, frame.data = frame.data, frame.data.places, Map()
            frame.data.mark = own.mark
            for merged in frame.merged:
                frame.data.update(merged)
                frame.data.places.update(getattr(merged, "places", {}))
            frame.data.update(own)
            frame.data.places.update(places)
        self.add(frame.data, None, frame.anchor, frame.values)

    def scalar(self, event: Any) -> None:
        text, tag = event.value, event.tag
        value: Any
        if tag is None and event.implicit[0]:
            value = self.implicit(text, event)
        elif tag is None or tag in {"!", f"{_PREFIX}str"}:
            value = self.plain(text)
        elif tag in _SCALARS:
            value = self.typed(tag, text, event)
        elif tag in _VAULT:
            value = Sealed(text, f"{self.file}:{event.start_mark.line + 1}")
        elif tag == "!unsafe":
            value = self.implicit(text, event) if not event.style else text
            value = Unsafe(text) if isinstance(value, str) else value
        else:
            raise self.tag(event)
        if self.stack and self.stack[-1].unsafe and isinstance(value, str):
            value = Unsafe(value)
        self.add(value, event, event.anchor, 1)

    def implicit(self, text: str, event: Any) -> Any:
        if text[:1] not in _FIRST:
            return self.plain(text)
        value = self.resolved.get(text, _NOTHING)
        if value is _NOTHING:
            tag: str = _RESOLVE(yaml.ScalarNode, text, (True, False))
            value = self.typed(tag, text, event) if tag in _SCALARS else self.plain(text)
            self.resolved[text] = value
        if not isinstance(value, str):
            self.trap(text, value, event)
        return value

    def typed(self, tag: str, text: str, event: Any) -> Any:
        try:
            return _SCALARS[tag](self.constructor, yaml.ScalarNode(tag, text))
        except (yaml.YAMLError, ValueError, KeyError, AttributeError, IndexError, OverflowError) as error:
            name = tag.removeprefix(_PREFIX)
            raise self.wrong(f"`{text[:60]}` can't be read as {name}: {str(error)[:100]}", event,
                             f'write "{text[:60]}" in quotes if the text is meant') from None  # fmt: skip

    def trap(self, text: str, value: Any, event: Any) -> None:
        """Warn of a word or number that YAML 1.1 reads as something else than it looks."""
        told = _trap(text, value)
        if told:
            mark = event.start_mark
            hint = f'write "{text}" in quotes if the text is meant'
            self.notices.append(Notice("RB003", told, (mark.line + 1, mark.column + 1), len(text), hint))

    def alias(self, event: Any) -> None:
        known = self.anchors.get(event.anchor, _NOTHING)
        if known is _NOTHING:
            raise self.wrong(f"*{event.anchor} stands for nothing: no &{event.anchor} before it", event)
        if known is None:
            raise self.wrong(f"*{event.anchor} contains itself", event, "write the value itself")
        data, values, _ = known
        self.add(data, event, None, values)

    def tag(self, event: Any) -> UserError:
        shown = event.tag.replace(_PREFIX, "!!")[:60]
        return self.wrong(f"the tag {shown} means nothing in an inventory", event, "there are !vault and !unsafe")

    def add(self, value: Any, event: Any, anchor: str | None, values: int) -> None:
        self.values += values
        if self.values > MAX_VALUES:
            raise UserError(f"more than {MAX_VALUES} values, counting what aliases stand for", where=self.file)
        if anchor is not None:
            self.anchors[anchor] = (value, values, "")
        if not self.stack:
            if self.result is _NOTHING:
                self.result = value
            return
        frame = self.stack[-1]
        frame.values += values
        if frame.kind in {"seq", "pairs", "omap"}:
            if frame.kind != "seq":
                if not isinstance(value, dict) or len(value) != 1:
                    raise UserError(f"!!{frame.kind} takes mappings of one key each", where=self.file)
                value = next(iter(value.items()))
            frame.data.append(value)
        elif frame.key is _NOTHING:
            self.key(frame, value, event)
        else:
            self.entry(frame, value, event)

    def key(self, frame: _Frame, value: Any, event: Any) -> None:
        try:
            hash(value)
        except TypeError:
            mend = 'a value that begins with {{ must be in quotes: "{{ … }}"'
            line, column = getattr(value, "mark", (1, 1))
            raise UserError(
                "a mapping or list can't be a key", where=f"{self.file}:{line}:{column}", mend=mend
            ) from None
        frame.key = value
        if event is not None:
            mark = event.start_mark
            frame.key_mark = (mark.line + 1, mark.column + 1)
            if value == "<<" and type(event) is yaml.ScalarEvent and not event.style:
                frame.key = _MERGE

    def entry(self, frame: _Frame, value: Any, event: Any) -> None:
        key, frame.key = frame.key, _NOTHING
        if key is _MERGE:
            parts = value if isinstance(value, list) else [value]
            if not all(isinstance(each, dict) for each in parts):
                where = f"{self.file}:{frame.key_mark[0]}:{frame.key_mark[1]}"
                raise UserError("<< takes a mapping, or a list of mappings", where=where, mend="write <<: *anchor")
            frame.merged.extend(reversed(parts))
            return
        if frame.kind == "set":
            frame.data.add(key)
            return
        if key in frame.data:
            first = frame.data.places[key][0][0]
            told = f"the key {key} stands here a second time, first in line {first}: the last value counts"
            self.notices.append(Notice("RB002", told, frame.key_mark, len(str(key)), "delete one of them"))
        if event is None:
            mark = getattr(value, "mark", frame.key_mark)
        else:
            mark = (event.start_mark.line + 1, event.start_mark.column + 1)
        frame.data[key] = value
        frame.data.places[key] = (frame.key_mark, mark)


_MERGE: Any = object()
_ON: Final = frozenset(["yes", "Yes", "YES", "on", "On", "ON", "no", "No", "NO", "off", "Off", "OFF"])


def _trap(text: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"{text} is {str(value).lower()} in YAML 1.1, as Ansible reads it" if text in _ON else ""
    if isinstance(value, int):
        if ":" in text:
            return f"{text} is the number {value} in YAML 1.1: base 60"
        if text.lstrip("+-").startswith("0") and len(text.lstrip("+-")) > 1 and text.lstrip("+-")[1] not in "xXbB":
            return f"{text} is the number {value} in YAML 1.1: octal"
        return f"{text} is the number {value} in YAML 1.1" if "_" in text else ""
    if isinstance(value, float):
        return f"{text} is the number {value} in YAML 1.1: base 60" if ":" in text else ""
    if isinstance(value, (dt.date, dt.datetime)):
        return f"{text} is a date in YAML 1.1"
    return ""


def revived(data: Any, file: str, *, opened: bool = False) -> Any:
    """Return JSON data with what `__ansible_vault` and `__ansible_unsafe` stand for."""
    if isinstance(data, str):
        return Opened(data) if opened else data
    if isinstance(data, list):
        return [revived(each, file, opened=opened) for each in data]
    if isinstance(data, dict):
        if isinstance(sealed := data.get("__ansible_vault"), str):
            return Sealed(sealed, file)
        if isinstance(unsafe := data.get("__ansible_unsafe"), str):
            return Unsafe(unsafe)
        return {key: revived(each, file, opened=opened) for key, each in data.items()}
    return data
