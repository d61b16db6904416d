"""YAML as text: what is named is changed where it stands, and every other character of the file stays as it is."""

import re
from typing import Any, Optional, Sequence, Union

from runbook.modules.formats import yaml_nodes
from runbook.modules.formats.json_text import Uneditable, cut, newline

Path = Sequence[Union[str, int]]
_PLAIN = re.compile(r"[A-Za-z_/](?:[\w./@%+-]| (?=[\w./]))*")
_TRAPS = {"y", "Y", "n", "N"}  # true and false to some
_REST = re.compile(r"[ \t]*(?:#[^\n]*)?(?=\r?\n|\Z)|[ \t]+#[^\n]*(?=\r?\n|\Z)")  # of a line: blanks and a comment
_PROPERTIES = re.compile(r"[&!]\S*(?:[ \t]+[&!]\S*)*[ \t]*(?:(?:(?<=\s)#[^\n]*)?\r?\n[ \t]*)+")  # above a block
_UNPRINTED = re.compile(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def read(text: str) -> Any:
    """Return the data in a text; one without a document is an empty mapping.

    Raises:
        Uneditable: it is no YAML, holds several documents, or ruamel.yaml is missing.
    """
    root = yaml_nodes.compose(text)
    data = None if root is None else yaml_nodes.meaning(root, text)
    return {} if data is None else data


def put(text: str, path: Path, value: Any) -> str:
    """Set what stands at `path`; only its last part may be new."""
    root = yaml_nodes.compose(text)
    if root is None or (root.id == "scalar" and root.value == ""):
        return _line_ended(text) + _block({path[0]: value}, 0, 2, newline(text)) + newline(text)
    parent = _find(text, root, path[:-1])
    place = _place(parent, path[-1])
    if place is None:
        return _add(text, root, parent, path[-1], value)
    node = parent.value[place] if parent.id == "sequence" else parent.value[place][1]
    if _empty(node):
        at = _behind(text, parent, place)
        return f"{text[:at]} {_flow(value)}{text[at:]}"
    start, end = _content(text, node), _end(text, node)
    if not _block_collection(node):
        return text[:start] + _like(node, value) + text[end:]
    end = _line_end(text, end)
    if isinstance(value, (dict, list)) and value:
        column = start - text.rfind("\n", 0, start) - 1
        above: int = parent.value[0][0].start_mark.column if parent.id == "mapping" else -1
        further = above + _unit(root) - column if column <= above and isinstance(value, dict) else 0  # a list may stand
        made = _block(value, column + further, _unit(root), newline(text))  # as far left as its key, a mapping can't
        return text[:start] + " " * further + made + text[end:]
    if parent.id == "sequence":
        return text[:start] + _flow(value) + text[end:]
    at = _behind(text, parent, place)
    comment = _REST.match(text, at)
    return f"{text[:at]} {_flow(value)}{comment[0] if comment else ''}{text[end:]}"


def drop(text: str, path: Path) -> str:
    """Remove a key with its value, or an item of a list."""
    root = yaml_nodes.compose(text)
    parent = _find(text, root, path[:-1])
    place = _place(parent, path[-1])
    if place is None:
        raise Uneditable("it comes with `<<` from elsewhere")
    if parent.flow_style:
        ends = [(_first(child), _last(text, child)) for child in parent.value]
        return cut(text, ends, place, (_bracket(text, parent), parent.end_mark.index - 1))
    if len(parent.value) == 1:
        nothing: Any = [] if parent.id == "sequence" else {}
        if len(path) > 1:
            return put(text, path[:-1], nothing)
        start: int = parent.start_mark.index
        return text[:start] + _flow(nothing) + text[_line_end(text, _end(text, parent)) :]
    first = _dash(text, parent, place) if parent.id == "sequence" else _first(parent.value[place])
    line = text.rfind("\n", 0, first) + 1
    end = _line_end(text, _last(text, parent.value[place]))
    if not text[line:first].strip(" "):
        return text[:line] + text[_next_line(text, end) :]
    if place + 1 == len(parent.value):
        raise Uneditable("it can't be removed without changing what stands before it")
    following = _dash(text, parent, place + 1) if parent.id == "sequence" else _first(parent.value[place + 1])
    if "#" in text[_next_line(text, end) : following]:
        raise Uneditable("a comment stands between it and what would take its place")
    return text[:first] + text[following:]


def _add(text: str, root: Any, parent: Any, name: Any, value: Any) -> str:
    """Write a key that is not there yet, behind the last one of its mapping."""
    made = f"{_flow(name)}: {_flow(value)}"
    if parent.id != "mapping":
        raise Uneditable("it is no mapping")
    if parent.flow_style:
        if not parent.value:
            at = _bracket(text, parent)
            return text[:at] + made + text[at:]
        at = _last(text, parent.value[-1])
        return f"{text[:at]}, {made}{text[at:]}"
    column = parent.value[0][0].start_mark.column
    at = _next_line(text, _line_end(text, _last(text, parent.value[-1])))
    lines = " " * column + _block({name: value}, column, _unit(root), newline(text))
    head = _line_ended(text[:at])
    return f"{head}{lines}{newline(text) if text.endswith(chr(10)) or at < len(text) else ''}{text[at:]}"


def _find(text: str, root: Any, path: Path) -> Any:
    node = root
    for part in path:
        place = _place(node, part)
        if place is None:
            raise Uneditable("it comes with `<<` from elsewhere")
        node = node.value[place] if node.id == "sequence" else node.value[place][1]
        if node.id == "alias":
            named = text[node.start_mark.index : node.end_mark.index]
            raise Uneditable(f"`{part}` is the alias `{named}`; change what it stands for, or set `{part}` as a whole")
    return node


def _place(node: Any, part: Union[str, int]) -> Optional[int]:
    if node.id == "sequence":
        return int(part)
    return next((number for number, (key, _) in enumerate(node.value) if _named(key, part)), None)


def _named(key: Any, part: Any) -> bool:
    name = yaml_nodes.key_of(key)
    return bool((type(name), name) == (type(part), part))


def _empty(node: Any) -> bool:
    """Tell whether nothing is written where a value belongs; the parser then says a wrong place."""
    return bool(node.id == "scalar" and node.start_mark.index == node.end_mark.index)


def _block_collection(node: Any) -> bool:
    return bool(node.id != "scalar" and not node.flow_style)


def _behind(text: str, parent: Any, place: int) -> int:
    """Return where a value's own colon or dash ends."""
    if parent.id == "sequence":
        return _dash(text, parent, place) + 1
    colon = _colon(text, parent.value[place][0])
    if colon is None:
        raise Uneditable("its key has no colon")
    return colon + 1


def _colon(text: str, key: Any) -> Optional[int]:
    """Return where a key's colon stands; None for one that has none, as in `{key}`."""
    at: int = key.end_mark.index
    while text[at : at + 1] in {" ", "\t", "#", "\n", "\r"}:
        at = _next_line(text, at) if text[at] == "#" else at + 1
    return at if text[at : at + 1] == ":" else None


def _dash(text: str, parent: Any, place: int) -> int:
    """Return where the dash of a block list's item stands."""
    at: int = parent.start_mark.index
    if place:
        at = _next_line(text, _last(text, parent.value[place - 1]))
    while text[at : at + 1] in {" ", "#", "\n", "\r"}:
        at = at + 1 if text[at] == " " else _next_line(text, at)
    if text[at : at + 1] != "-":
        raise Uneditable("where its item begins can't be told")
    return at


def _first(child: Any) -> int:
    """Return where an item, or a key with its value, begins."""
    at: int = (child[0] if isinstance(child, tuple) else child).start_mark.index
    return at


def _content(text: str, node: Any) -> int:
    """Return where a value begins; of a block, behind the line with its anchor or tag."""
    start: int = node.start_mark.index
    found = _PROPERTIES.match(text, start) if _block_collection(node) else None
    return found.end() if found else start


def _last(text: str, child: Any) -> int:
    """Return where an item, or a key with its value, ends."""
    if isinstance(child, tuple):
        if not _empty(child[1]):
            return _end(text, child[1])
        colon = _colon(text, child[0])
        return _end(text, child[0]) if colon is None else colon + 1
    return _end(text, child)


def _end(text: str, node: Any) -> int:
    """Return where a value ends; the mark of what stands in a block lies behind the comments that follow it."""
    if _block_collection(node):
        return _last(text, node.value[-1])
    end: int = node.end_mark.index
    if node.id == "scalar" and node.style in {"|", ">"}:
        start: int = node.start_mark.index
        return start + len(text[start:end].rstrip())
    return end


def _bracket(text: str, node: Any) -> int:
    """Return where the content of a flow collection begins, behind its bracket; a tag or an anchor may precede it."""
    return text.index("{" if node.id == "mapping" else "[", node.start_mark.index) + 1


def _line_end(text: str, at: int) -> int:
    """Return where the line ends that holds a place, without its end."""
    end = text.find("\n", at)
    end = len(text) if end == -1 else end
    return end - 1 if text[at:end].endswith("\r") else end


def _next_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end == -1 else end + 1


def _line_ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + newline(text)


def _unit(root: Any) -> int:
    """Return by how much the file indents."""
    for _, value in root.value if root.id == "mapping" else ():
        column = value.value[0][0].start_mark.column if value.id == "mapping" and _block_collection(value) else 0
        if column > root.start_mark.column:
            return int(column - root.start_mark.column)
    return 2


def _block(value: Any, column: int, unit: int, line_end: str) -> str:
    """Write a value over several lines; the first one is not indented."""
    begin = f"{line_end}{' ' * column}"
    if isinstance(value, dict) and value:
        return begin.join(
            f"{_flow(name)}:{_deeper(item, column + unit, unit, line_end)}" for name, item in value.items()
        )
    if isinstance(value, (list, tuple)) and value:
        return begin.join(f"- {_block(item, column + 2, unit, line_end)}" for item in value)
    return _flow(value)


def _deeper(value: Any, column: int, unit: int, line_end: str) -> str:
    if isinstance(value, (dict, list, tuple)) and value:
        return f"{line_end}{' ' * column}{_block(value, column, unit, line_end)}"
    return f" {_flow(value)}"


def _like(node: Any, value: Any) -> str:
    """Write a value in the quotes of the one before it, where that had some."""
    if isinstance(value, str) and node.id == "scalar":
        if node.style == '"':
            return _double(value)
        if node.style == "'" and not _UNPRINTED.search(value):
            return _single(value)
    return _flow(value)


def _flow(value: Any) -> str:
    """Write a value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(name)}: {_flow(item)}" for name, item in value.items()) + "}"
    if isinstance(value, (list, tuple)) and not isinstance(value, yaml_nodes.Tagged):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    if not isinstance(value, str):
        raise Uneditable(f"YAML has no words for {value!r}")
    if _PLAIN.fullmatch(value) and value not in _TRAPS and isinstance(yaml_nodes.word(value), str):
        return value
    return _double(value) if _UNPRINTED.search(value) else _single(value)


def _number(value: float) -> str:
    if value != value or value in {float("inf"), float("-inf")}:  # noqa: PLR0124 -- what is not a number
        return ".nan" if value != value else ".inf" if value > 0 else "-.inf"  # noqa: PLR0124
    made = repr(value)
    return made if "." in made else made.replace("e", ".0e")  # to YAML 1.1, 1e-05 is a text


def _single(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _double(value: str) -> str:
    names = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + _UNPRINTED.sub(lambda it: names.get(it[0]) or _code(ord(it[0])), escaped) + '"'


def _code(number: int) -> str:
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
