"""JSON as text: one value is changed, and every other character of the file stays as it is."""

import json
from typing import Any, List, Optional, Sequence, Tuple, Union

from runbook.modules.formats.unsound import told
from runbook.modules.frozen import frozen

BLANKS = " \t\r\n"
DECODER = json.JSONDecoder()


class Uneditable(ValueError):
    """The text can't be read or changed; the message says why."""


@frozen
class Node:
    """Where a value stands in the text; `members` of an object, `items` of an array."""

    start: int
    end: int
    members: "Optional[Tuple[Member, ...]]" = None
    items: "Optional[Tuple[Node, ...]]" = None


@frozen
class Member:
    """A key of an object with its value."""

    key: str
    start: int
    key_end: int
    node: Node


def read(text: str) -> Any:
    """Return the data in a text.

    Raises:
        Uneditable: it is no JSON, or a key stands twice in an object.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise Uneditable(f"no JSON: line {error.lineno} column {error.colno}: {told(error)}") from error
    except Uneditable:
        raise
    except ValueError as error:  # a number of thousands of digits
        raise Uneditable(f"no JSON that can be read: {error}") from error


def put(text: str, path: Sequence[Union[str, int]], value: Any) -> str:
    """Set what stands at `path`; only its last part may be new."""
    root = _value(text, _blanks(text, 0))
    parent = _find(root, path[:-1])
    last = path[-1]
    if parent.items is not None:
        node = parent.items[int(last)]
        return text[: node.start] + _dump(text, root, value, node.start) + text[node.end :]
    members = parent.members or ()
    found = next((member for member in members if member.key == last), None)
    if found is not None:
        node = found.node
        return text[: node.start] + _dump(text, root, value, node.start) + text[node.end :]
    return _insert(text, root, parent, str(last), value)


def drop(text: str, path: Sequence[Union[str, int]]) -> str:
    """Remove what stands at `path`, with its comma."""
    parent = _find(_value(text, _blanks(text, 0)), path[:-1])
    if parent.items is not None:
        spans = [(item.start, item.end) for item in parent.items]
        place = int(path[-1])
    else:
        members = parent.members or ()
        spans = [(member.start, member.node.end) for member in members]
        place = [member.key for member in members].index(str(path[-1]))
    return cut(text, spans, place, (parent.start + 1, parent.end - 1))


def cut(text: str, spans: Sequence[Tuple[int, int]], place: int, inside: Tuple[int, int]) -> str:
    """Remove one of the parts of a list that are parted by commas; `inside` is what the brackets hold."""
    if len(spans) == 1:
        start, end = inside
    elif place + 1 < len(spans):
        start, end = spans[place][0], spans[place + 1][0]
    else:
        start, end = spans[place - 1][1], spans[place][1]
    return text[:start] + text[end:]


def newline(text: str) -> str:
    """Return what ends a line of the text."""
    return "\r\n" if "\r\n" in text else "\n"


def _insert(text: str, root: Node, parent: Node, key: str, value: Any) -> str:
    members = parent.members or ()
    name = json.dumps(key, ensure_ascii=text.isascii())
    if not members:
        unit = _unit(text, root)
        if unit is None:
            made = f"{{{name}: {_dump(text, root, value, parent.start)}}}"
        else:
            base = _indent(text, parent.start)
            lines = newline(text)
            inner = _dump(text, root, value, parent.start, deeper=unit)
            made = f"{{{lines}{base}{unit}{name}: {inner}{lines}{base}}}"
        return text[: parent.start] + made + text[parent.end :]
    last = members[-1]
    colon = text[last.key_end : last.node.start]
    if len(members) > 1:
        comma = text[members[-2].node.end : last.start]  # with the blanks and line ends around it
    else:
        gap = text[parent.start + 1 : last.start]
        comma = "," + (gap or colon.partition(":")[2])
    made = f"{comma}{name}{colon}{_dump(text, root, value, last.start)}"
    return text[: last.node.end] + made + text[last.node.end :]


def _dump(text: str, root: Node, value: Any, at: int, deeper: str = "") -> str:
    """Write a value as the file writes its own: indented where it is, plain where all stands on one line."""
    unit = _unit(text, root)
    ascii_only = text.isascii()
    try:
        if unit is None or not isinstance(value, (dict, list)):
            return json.dumps(value, ensure_ascii=ascii_only, allow_nan=False)
        made = json.dumps(value, ensure_ascii=ascii_only, allow_nan=False, indent=unit)
    except ValueError as error:
        raise Uneditable("JSON has no word for infinity or for what is not a number") from error
    return made.replace("\n", newline(text) + _indent(text, at) + deeper)


def _unit(text: str, root: Node) -> Optional[str]:
    """Return by how much the file indents, or None when it is all on one line."""
    first = root.members[0].start if root.members else root.items[0].start if root.items else None
    if first is None:
        return None if root.end - root.start == 2 else "  "
    gap = text[root.start + 1 : first]
    return gap.rpartition("\n")[2] if "\n" in gap else None


def _indent(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _find(root: Node, path: Sequence[Union[str, int]]) -> Node:
    node = root
    for part in path:
        if node.items is not None:
            node = node.items[int(part)]
        else:
            node = next(member.node for member in node.members or () if member.key == part)
    return node


def _value(text: str, at: int) -> Node:
    if text[at] == "{":
        return _object(text, at)
    if text[at] == "[":
        return _array(text, at)
    return Node(at, DECODER.raw_decode(text, at)[1])


def _object(text: str, at: int) -> Node:
    members: List[Member] = []
    place = _blanks(text, at + 1)
    while text[place] != "}":
        if text[place] == ",":
            place = _blanks(text, place + 1)
        key, key_end = DECODER.raw_decode(text, place)
        node = _value(text, _blanks(text, _blanks(text, key_end) + 1))
        members.append(Member(key, place, key_end, node))
        place = _blanks(text, node.end)
    return Node(at, place + 1, members=tuple(members))


def _array(text: str, at: int) -> Node:
    items: List[Node] = []
    place = _blanks(text, at + 1)
    while text[place] != "]":
        if text[place] == ",":
            place = _blanks(text, place + 1)
        items.append(_value(text, place))
        place = _blanks(text, items[-1].end)
    return Node(at, place + 1, items=tuple(items))


def _blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in BLANKS:
        at += 1
    return at


def _unique(pairs: Sequence[Tuple[str, Any]]) -> Any:
    made = dict(pairs)
    if len(made) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Uneditable(f"the key `{twice}` stands twice in one object, so it is not clear which one counts")
    return made
