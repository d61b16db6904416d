"""YAML as text: simple values are changed where they stand, so that comments and layout stay.

PyYAML says where a value stands; it is not among what travels with the modules, so the host's Python must have it.
"""

from typing import Any, Dict, List, Sequence, Tuple, Union

from runbook.modules.formats.json_text import Uneditable, cut, newline

WIDEST = 1 << 30  # never fold a line


def read(text: str) -> Any:
    """Return the data in a text.

    Raises:
        Uneditable: it is no YAML, holds several documents, or PyYAML is missing.
    """
    yaml = _yaml()
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1} column {mark.column + 1}: " if mark else ""
        raise Uneditable(f"no YAML: {where}{getattr(error, 'problem', None) or error}") from error
    except ValueError as error:
        raise Uneditable(f"no YAML that can be read: {error}") from error


def put(text: str, path: Sequence[Union[str, int]], value: Any) -> str:
    """Set what stands at `path`; only its last part may be new."""
    root = _yaml().compose(text)
    node = _find(root, path)
    if node is not None:
        if _block(node):
            raise Uneditable("it is a block of several lines; only simple values and [flow] values can be replaced")
        start: int = node.start_mark.index
        end: int = node.end_mark.index
        lead = " " if start == end and not text[start - 1 : start].isspace() else ""
        return text[:start] + lead + _dump(value) + text[end:]
    parent = _find(root, path[:-1])
    if parent is None or not parent.value:
        raise Uneditable("there is no key beside it whose layout a new one could take")
    made = f"{_dump(path[-1])}: {_dump(value)}"
    last = _end(parent.value[-1][1])
    if parent.flow_style:
        return f"{text[:last]}, {made}{text[last:]}"
    line_end = last if text[last - 1] == "\n" else text.find("\n", last)
    column: int = parent.value[0][0].start_mark.column
    line = " " * column + made + newline(text)
    if line_end == -1:  # the file's last line lacks its end
        return text + newline(text) + line.rstrip("\r\n")
    at = line_end if text[last - 1] == "\n" else line_end + 1
    return text[:at] + line + text[at:]


def drop(text: str, path: Sequence[Union[str, int]]) -> str:
    """Remove a key with its value."""
    parent = _find(_yaml().compose(text), path[:-1])
    if not isinstance(parent.value[0], tuple):
        if not parent.flow_style:
            raise Uneditable("items of a block list can't be removed; remove the list's key, or set it")
        spans = [(item.start_mark.index, item.end_mark.index) for item in parent.value]
        return cut(text, spans, int(path[-1]), (parent.start_mark.index + 1, parent.end_mark.index - 1))
    place = next(n for n, (key, _) in enumerate(parent.value) if _key(key) == path[-1])
    if parent.flow_style:
        spans = [(key.start_mark.index, _end(value)) for key, value in parent.value]
        return cut(text, spans, place, (parent.start_mark.index + 1, parent.end_mark.index - 1))
    key, value = parent.value[place]
    start = key.start_mark.index - key.start_mark.column
    end = _end(value)
    line_end = end if text[end - 1] == "\n" else text.find("\n", end) + 1
    if text[start : key.start_mark.index].strip() or len(parent.value) == 1:
        raise Uneditable("it can't be removed without changing what stands around it")
    return text[:start] + (text[line_end:] if line_end else "")


def _yaml() -> Any:
    try:
        import yaml
    except ImportError:
        raise Uneditable("missing: PyYAML, on this host: python3 -m pip install pyyaml") from None
    return yaml


def _find(root: Any, path: Sequence[Union[str, int]]) -> Any:
    """Return the node at a path; None where there is none."""
    node = root
    for part in path:
        pairs: List[Tuple[Any, Any]] = node.value
        if isinstance(part, int) and node.id == "sequence":
            node = node.value[part]
            continue
        node = next((value for key, value in pairs if _key(key) == part), None)
        if node is None:
            return None
    return node


def _key(node: Any) -> Any:
    plain: Dict[str, Any] = {"tag:yaml.org,2002:int": int}
    try:
        return plain.get(node.tag, str)(node.value)
    except (TypeError, ValueError):
        return node.value


def _block(node: Any) -> bool:
    return bool(node.flow_style is False if node.id != "scalar" else node.style in {"|", ">"})


def _end(node: Any) -> int:
    """Return where a value ends; a block collection's own mark lies behind the comments that follow it."""
    while node.id != "scalar" and not node.flow_style:
        node = node.value[-1][1] if node.id == "mapping" else node.value[-1]
    end: int = node.end_mark.index
    return end


def _dump(value: Any) -> str:
    yaml = _yaml()
    try:
        made: str = yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=WIDEST, sort_keys=False)
    except yaml.YAMLError as error:
        raise Uneditable(f"YAML has no words for {value!r}") from error
    return made.strip()[1:-1]
