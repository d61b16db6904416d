"""TOML as text: values that stand on one line are changed there, so that comments and layout stay.

The parser is only the judge: Python has one from 3.11 on, and `tomli` is the same for older ones.
"""

import datetime as dt
import importlib
import json
import re
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from runbook.modules.formats.json_text import Uneditable, newline

KEY = r"(?:[A-Za-z0-9_-]+|\"(?:[^\"\\]|\\.)*\"|'[^']*')"
KEYS = rf"{KEY}(?:[ \t]*\.[ \t]*{KEY})*"
HEADER = re.compile(rf"[ \t]*(\[\[?)[ \t]*({KEYS})[ \t]*\]\]?[ \t]*(?:#.*)?\r?$")
PAIR = re.compile(rf"[ \t]*({KEYS})[ \t]*=[ \t]*")
TEXT = r"(?!\"\"\"|''')(?:\"(?:[^\"\\]|\\.)*\"|'[^']*')"
ARRAY = r"\[(?:[^\[\]\"'#\r\n]|\"(?:[^\"\\]|\\.)*\"|'[^']*')*\]"
WORD = r"[^\s#\[{\"',]+(?:[ ]\d\d:[^\s#]*)?"  # a number, true, or a date with its time
VALUE = re.compile(rf"{TEXT}|{ARRAY}|{WORD}")
REST = re.compile(r"[ \t]*(?:#.*)?\r?$")
BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
Path = Sequence[Union[str, int]]


class Line(NamedTuple):
    """A line of the file: the table that it lies in, and the key and the span of the value when it sets one."""

    start: int
    end: int  # behind the line's end
    table: Tuple[Union[str, int], ...]
    key: Optional[Tuple[Union[str, int], ...]] = None
    value: Optional[Tuple[int, int]] = None


def read(text: str) -> Any:
    """Return the data in a text.

    Raises:
        Uneditable: it is no TOML, or this Python can't read it.
    """
    parser = _parser()
    try:
        return parser.loads(text)
    except ValueError as error:
        raise Uneditable(f"no TOML: {error}") from error


def put(text: str, path: Path, value: Any) -> str:
    """Set what stands at `path`; only its last part may be new."""
    wanted = tuple(path)
    lines = list(_lines(text))
    found = next((line for line in lines if line.key == wanted), None)
    if found is not None:
        if found.value is None:
            raise Uneditable("its value does not stand on one line of its own")
        return text[: found.value[0]] + _dump(value) + text[found.value[1] :]
    table = wanted[:-1]
    if table and not any(line.table == table for line in lines):
        raise Uneditable("there is no table of its own that it could stand in")
    inside = [line for line in lines if line.table == table and (line.key is not None or table)]
    at = inside[-1].end if inside else 0
    head = text[:at]
    if head and not head.endswith("\n"):
        head += newline(text)
    return f"{head}{_name(str(wanted[-1]))} = {_dump(value)}{newline(text)}{text[at:]}"


def drop(text: str, path: Path) -> str:
    """Remove a key with its line."""
    found = next((line for line in _lines(text) if line.key == tuple(path)), None)
    if found is None or found.value is None:
        raise Uneditable("it does not stand on one line of its own")
    return text[: found.start] + text[found.end :]


def _parser() -> Any:
    try:
        import tomllib
    except ImportError:
        try:
            return importlib.import_module("tomli")
        except ImportError:
            message = "missing: a TOML parser, on this host: python3 -m pip install tomli (Python 3.11 has one)"
            raise Uneditable(message) from None
    return tomllib


def _lines(text: str) -> Iterator[Line]:
    """Yield the header lines and the lines that set a key; what lies within a long value is misread, and read back."""
    table: Tuple[Union[str, int], ...] = ()
    counts: Dict[Tuple[Union[str, int], ...], int] = {}
    start = 0
    for line in text.split("\n"):
        end = min(start + len(line) + 1, len(text))
        header = HEADER.match(line)
        pair = PAIR.match(line)
        if header:
            names = _names(header[2])
            table = _placed(names, counts)
            if header[1] == "[[" and names:
                plain = table if not isinstance(table[-1], int) else table[:-1]
                counts[plain] = counts.get(plain, -1) + 1
                table = (*plain, counts[plain])
            yield Line(start, end, table)
        elif pair and _names(pair[1]):
            value = VALUE.match(line, pair.end())
            alone = value and REST.match(line, value.end())
            span = (start + value.start(), start + value.end()) if value and alone else None
            yield Line(start, end, table, (*table, *_names(pair[1])), span)
        start = end


def _placed(names: Sequence[str], counts: Dict[Tuple[Union[str, int], ...], int]) -> Tuple[Union[str, int], ...]:
    """Return a header's table as a path; a name of an array of tables means its last table so far."""
    place: Tuple[Union[str, int], ...] = ()
    for name in names:
        place = (*place, name)
        if place in counts:
            place = (*place, counts[place])
    return place


def _names(dotted: str) -> List[str]:
    try:
        inner = _parser().loads(f"{dotted} = 0")
    except ValueError:
        return []
    names = []
    while isinstance(inner, dict):
        [(name, inner)] = inner.items()
        names.append(name)
    return names


def _name(key: str) -> str:
    return key if BARE.match(key) else json.dumps(key)


def _dump(value: Any) -> str:
    if value is None:
        raise Uneditable("TOML has no null; use `delete`")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_name(str(key))} = {_dump(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_dump(item) for item in value) + "]"
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, float):
        return repr(float(value))  # inf and nan are TOML's own words too
    return json.dumps(value, ensure_ascii=False)
