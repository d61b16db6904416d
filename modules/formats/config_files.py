"""Changes to a config file: which values become what, and the text that says so with all else left as it was."""

import importlib
import math
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple, Union

from runbook.modules.declare import Failed
from runbook.modules.formats.json_text import Uneditable

SUFFIXES = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml"}
Path = Tuple[Union[str, int], ...]
LARGEST = 1_000_000  # values in a config, aliases written out
_MARK = "\ufeff"  # that some editors put before a text
_MISSING = object()
_TRUTHS: Mapping[str, bool] = {  # what some programs read as one of these, and others as a name
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
}


class Edits(NamedTuple):
    """What is to become of which keys, in this order."""

    set: Mapping[str, Any]
    multiply: Mapping[str, float]
    add: Mapping[str, float]
    min: Mapping[str, float]
    max: Mapping[str, float]
    delete: Sequence[str]


class Changed(NamedTuple):
    """The new text, and (before, after) by key for what became another; None where a key is not there."""

    text: str
    values: Dict[str, Tuple[Any, Any]]


def change(text: str, kind: str, edits: Edits) -> Changed:
    """Make the edits in a text; what they leave the same stays the same to the byte.

    Raises:
        Failed: the text or one of the edits makes no sense, or can't be made without touching other things.
    """
    mark, text = (_MARK, text[1:]) if text.startswith(_MARK) else ("", text)
    try:
        changed = _change(text, kind, edits)
        return changed._replace(text=mark + changed.text)
    except RecursionError as error:
        raise Failed("it is nested too deeply") from error


def language(kind: str) -> Any:
    """Return the module that reads and edits texts of a format: json_text, yaml_text or toml_text."""
    return importlib.import_module(f"runbook.modules.formats.{kind}_text")


def split(key: str) -> List[str]:
    """Return the parts of a dotted key; a dot that belongs to a name has a backslash before it."""
    return [part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", key)]


def _change(text: str, kind: str, edits: Edits) -> Changed:
    words = language(kind)
    try:
        data = words.read(text)
    except Uneditable as error:
        raise Failed(f"it can't be read as {kind.upper()}: {error}") from error
    if not isinstance(data, (dict, list)):
        raise Failed("it holds no keys")
    wanted = _wanted(data, edits)
    made = _apart(data, [LARGEST])
    values: Dict[str, Tuple[Any, Any]] = {}
    for key, value in wanted.items():
        path = locate(made, key)
        before = _get(made, path)
        if same(before, value):
            continue
        values[key] = (None if before is _MISSING else before, value)
        path, value = _nearest(made, path, value)  # noqa: PLW2901 -- a new key brings the mappings above it
        try:
            text = words.put(text, path, value)
        except Uneditable as error:
            raise Failed(f"`{key}` can't be changed in this {kind.upper()}: {error}") from error
        _put(made, path, _apart(value, [LARGEST]))
    for key, path in _deepest_first(made, edits.delete):
        values[key] = (_get(made, path), None)
        try:
            text = words.drop(text, path)
        except Uneditable as error:
            raise Failed(f"`{key}` can't be removed from this {kind.upper()}: {error}") from error
        del _get(made, path[:-1])[path[-1]]
    _read_back(words, text, made, kind)
    return Changed(text, values)


def locate(data: Any, key: str) -> Path:
    """Return where a dotted key stands, or would stand.

    Raises:
        Failed: it leads through something that has no keys, or past the end of a list.
    """
    path: List[Union[str, int]] = []
    here = data
    for part in split(key):
        if isinstance(here, list):
            place = int(part) if re.fullmatch(r"[0-9]{1,9}", part) else len(here)
            if place >= len(here):
                raise Failed(f"`{key}`: a list of {len(here)} items stands here, and `{part}` is none of 0 to its last")
            path.append(place)
            here = here[place]
        elif isinstance(here, dict):
            name = _name(here, part)
            path.append(name)
            here = here.get(name, _MISSING)
        elif _absent(here):  # a key without a value becomes a mapping
            path.append(part)
            here = _MISSING
        else:
            raise Failed(f"`{key}`: `{part}` can't be looked up in {shown(here)}")
    return tuple(path)


def _name(here: Mapping[Any, Any], part: str) -> Any:
    """Return a key as a mapping has it: YAML's may be numbers, or words that are true or false."""
    if part in here:
        return part
    if re.fullmatch(r"-?[0-9]{1,18}", part):
        numbered = bool(here) and all(type(key) is int for key in here)
        return int(part) if numbered or int(part) in here else part
    truth = _TRUTHS.get(part.lower())
    return part if truth is None or not any(key is truth for key in here) else truth


def same(left: Any, right: Any) -> bool:
    """Tell whether two values are the same to a reader that tells true from 1 and 1 from 1.0."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(same(*pair) for pair in zip(left, right))
    for kind in (bool, int, float, str):
        if isinstance(left, kind) or isinstance(right, kind):
            both_nan = kind is float and left != left and right != right  # noqa: PLR0124
            return isinstance(left, kind) and isinstance(right, kind) and (left == right or both_nan)
    return bool(left == right)


def shown(value: Any) -> str:
    """Return a value as a message quotes it."""
    text = repr(value) if isinstance(value, str) else f"{value}"
    return text if len(text) <= 40 else text[:39] + "…"


def _wanted(data: Any, edits: Edits) -> Dict[str, Any]:
    """Return the value each key is to have, in the order of the edits."""
    wanted: Dict[str, Any] = dict(edits.set)
    for word, operands in (("multiply", edits.multiply), ("add", edits.add), ("min", edits.min), ("max", edits.max)):
        for key, operand in operands.items():
            value = wanted[key] if key in wanted else _get(data, locate(data, key))
            if value is _MISSING:
                raise Failed(f"`{key}` is not there, so there is nothing to {'clamp' if len(word) == 3 else word}")
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise Failed(f"`{key}` is {shown(value)}, not a number")
            wanted[key] = _computed(word, value, operand)
    return wanted


def _computed(word: str, value: float, operand: float) -> float:
    """Calculate exactly, with the numbers as they are written: 100 times 0.29 is 29."""
    from fractions import Fraction

    old, by = Fraction(repr(value)), Fraction(repr(operand))
    if word == "multiply":
        new = old * by
        if isinstance(value, int):
            return max(math.floor(new), 1) if value >= 1 else math.floor(new)
        return float(new)
    if word == "add":
        new = old + by
        return int(new) if isinstance(value, int) and new.denominator == 1 else float(new)
    if word == "min" and old < by:
        return math.ceil(by) if isinstance(value, int) else float(by)
    if word == "max" and old > by:
        return math.floor(by) if isinstance(value, int) else float(by)
    return value


def _apart(data: Any, left: List[int]) -> Any:
    """Copy data so that what YAML's aliases share is there twice, and a change of one leaves the other."""
    left[0] -= 1
    if left[0] < 0:
        raise Failed(f"it holds more than {LARGEST} values")
    if isinstance(data, dict):
        return {key: _apart(value, left) for key, value in data.items()}
    return [_apart(value, left) for value in data] if isinstance(data, (list, tuple)) else data


def _get(data: Any, path: Path) -> Any:
    for part in path:
        if isinstance(data, dict):
            data = data.get(part, _MISSING)
        elif isinstance(data, list):
            data = data[int(part)]
        else:
            return _MISSING
    return data


def _absent(value: Any) -> bool:
    return value is _MISSING or value is None


def _put(data: Any, path: Path, value: Any) -> None:
    _get(data, path[:-1])[path[-1]] = value


def _nearest(data: Any, path: Path, value: Any) -> Tuple[Path, Any]:
    """Shorten a path to its first part that is not there; the rest becomes mappings in the value."""
    for length in range(1, len(path)):
        if _absent(_get(data, path[:length])):
            for name in reversed(path[length:]):
                value = {name: value}
            return path[:length], value
    return path, value


def _deepest_first(data: Any, keys: Sequence[str]) -> List[Tuple[str, Path]]:
    """Return the keys to delete that are there, so that none of them moves before its turn."""
    found = {}
    for key in keys:
        try:
            path = locate(data, key)
        except Failed:
            continue  # what is not there needs no deleting
        if path and _get(data, path) is not _MISSING:
            found[path] = key
    order = sorted(found, key=lambda path: [(isinstance(part, int), part) for part in path], reverse=True)
    return [(found[path], path) for path in order]


def _read_back(words: Any, text: str, wanted: Any, kind: str) -> None:
    try:
        got = words.read(text)
    except Uneditable as error:
        raise Failed(f"the changed text would be no {kind.upper()}, so nothing was written: {error}") from error
    if not same(got, wanted):
        other = _other(got, wanted)
        raise Failed(f"this {kind.upper()} can't be changed without changing {other} too, so nothing was written")


def _other(got: Any, wanted: Any) -> str:
    """Name the first value that would be another, such as one that an alias shares."""
    path: List[str] = []
    while True:
        if isinstance(got, dict) and isinstance(wanted, dict):
            keys = [key for key in [*wanted, *got] if not same(got.get(key, _MISSING), wanted.get(key, _MISSING))]
            here = keys[0] if keys else None
            got, wanted = got.get(here, _MISSING), wanted.get(here, _MISSING)
        elif isinstance(got, list) and isinstance(wanted, list) and len(got) == len(wanted):
            here = next(number for number, pair in enumerate(zip(got, wanted)) if not same(*pair))
            got, wanted = got[here], wanted[here]
        else:
            return f"`{'.'.join(path)}`" if path else "something else"
        path.append(str(here))
