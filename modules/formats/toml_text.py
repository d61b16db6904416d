"""TOML as text: what is named is changed where it stands; tomlkit keeps every other character of the file."""

import datetime as dt
from typing import Any, Mapping, Sequence, Union

from runbook.modules.formats.json_text import Uneditable

Path = Sequence[Union[str, int]]


def read(text: str) -> Any:
    """Return the data in a text.

    Raises:
        Uneditable: it is no TOML, or tomlkit is missing.
    """
    return _plain(_parsed(text).unwrap())


def put(text: str, path: Path, value: Any) -> str:
    """Set what stands at `path`; only its last part may be new."""
    document = _parsed(text)
    parent, name = _find(document, path[:-1]), path[-1]
    made = _item(value)
    if isinstance(name, str) and name in parent and not _table(parent[name]):
        made = _after(parent[name], made)
    try:
        parent[name] = made
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Uneditable(str(error)) from error
    return _written(document, text)


def drop(text: str, path: Path) -> str:
    """Remove a key with its value, or an item of a list."""
    document = _parsed(text)
    parent = _find(document, path[:-1])
    try:
        del parent[path[-1]]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Uneditable(str(error)) from error
    return _written(document, text)


def _kit() -> Any:
    try:
        import tomlkit
    except ImportError:
        raise Uneditable("missing: tomlkit, on this host: python3 -m pip install tomlkit") from None
    return tomlkit


def _parsed(text: str) -> Any:
    kit = _kit()
    try:
        document = kit.parse(text)
    except (kit.exceptions.TOMLKitError, ValueError, TypeError, KeyError, IndexError) as error:
        raise Uneditable(f"no TOML: {error}") from error
    if kit.dumps(document) != text:
        raise Uneditable("tomlkit does not give it back as it is")
    return document


def _find(document: Any, path: Path) -> Any:
    node = document
    for part in path:
        node = node[part]
    return node


def _table(node: Any) -> bool:
    items = _kit().items
    return isinstance(node, (items.Table, items.AoT)) or not isinstance(node, items.Item)


def _after(before: Any, made: Any) -> Any:
    """Give a new value the comment and the blanks of the one that it replaces; a text its kind of quotes."""
    items = _kit().items
    if isinstance(before, items.String) and isinstance(made, items.String) and before.as_string().startswith("'"):
        alone = not before.as_string().startswith("'''") and made.isprintable() and "'" not in made
        made = _kit().string(str(made), literal=True) if alone else made
    made.trivia.indent, made.trivia.comment_ws = before.trivia.indent, before.trivia.comment_ws
    made.trivia.comment, made.trivia.trail = before.trivia.comment, before.trivia.trail
    return made


def _written(document: Any, before: str) -> str:
    text: str = _kit().dumps(document)
    if "\r\n" in before:  # what tomlkit adds itself ends as on Unix
        text = text.replace("\r\n", "\n").replace("\n", "\r\n")
    return text


def _item(value: Any) -> Any:
    """Return a value as tomlkit writes it: mappings in braces, so that they stand where they belong."""
    kit = _kit()
    if value is None:
        raise Uneditable("TOML has no null; use `delete`")
    if isinstance(value, Mapping):
        table = kit.inline_table()
        for name, item in value.items():
            table.append(str(name), _item(item))
        return table
    if isinstance(value, (list, tuple)):
        array = kit.array()
        for item in value:
            array.append(_item(item))
        return array
    return kit.item(value)


def _plain(value: Any) -> Any:
    """Return data of Python's own types: times of tomlkit's are equal to others, and of another class."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value if isinstance(value, (dt.date, dt.time)) else str(value)
