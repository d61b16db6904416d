"""The filters, tests and text methods that an expression may use. A filter that can't do its work raises ValueError."""

from __future__ import annotations

import json
import math
import posixpath
import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any, Final

from runbook.engine.errors import RenderError
from runbook.engine.language.text import LONGEST, as_json, bound, text
from runbook.engine.language.truth import Member, equal, is_number, ordered

_NAME_LENGTH = 200  # bytes of a path component that a slug may have


def slug(value: Any) -> str:
    """Return a name for a file or directory: `deepseek-ai/deepseek-ocr` becomes `deepseek-ai--deepseek-ocr`."""
    made = text(value).strip("/").replace("/", "--")
    made = re.sub(r"[^A-Za-z0-9._-]+", "-", made).lstrip(".-")
    if len(made) > _NAME_LENGTH:
        import hashlib

        made = f"{made[:_NAME_LENGTH]}-{hashlib.sha256(made.encode()).hexdigest()[:8]}"
    return made or "_"


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _title(value: Any) -> str:
    words = re.split(r"([-\s({\[<]+)", _str(value))
    return "".join(word[0].upper() + word[1:].lower() for word in words if word)


def _replace(value: Any, old: str, new: str, count: int | None = None) -> str:
    source, old, new = _str(value), _str(old), _str(new)
    times = source.count(old) if count is None else min(source.count(old), count)
    if len(source) + times * len(new) > LONGEST:
        raise RenderError(f"becomes a text of more than {LONGEST:,} characters")
    return source.replace(old, new, -1 if count is None else count)


def _length(value: Any) -> int:
    if not isinstance(value, (str, list, tuple, Mapping)):
        raise TypeError
    return len(value)


def _int(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"\s*[-+]?\d{1,300}\s*", value, re.ASCII):
        return int(value)
    return int(_float(value))


def _float(value: Any) -> float:
    made = float(value) if not isinstance(value, str) or len(value) < 400 else math.nan
    if not math.isfinite(made):
        raise ValueError
    return made


def _round(value: Any, precision: int = 0, method: str = "common") -> float:
    if not is_number(value) or not -20 < precision < 20:
        raise ValueError
    if method == "common":
        return round(float(value), precision)
    chosen: Callable[[float], int] = {"ceil": math.ceil, "floor": math.floor}[method]
    return float(chosen(value * 10**precision) / 10**precision)


def _abs(value: Any) -> Any:
    if not is_number(value):
        raise TypeError
    return abs(value)


def _items(value: Any) -> list[Any]:
    if isinstance(value, (str, list, tuple, Mapping)):
        return list(value)
    raise TypeError


def _rank(value: Any) -> Any:
    return value.order.index(value) if isinstance(value, Member) else value.lower() if isinstance(value, str) else value


def _alike(values: list[Any]) -> list[Any]:
    """Return values that have an order among them."""
    if not all(is_number(value) for value in values) and not all(isinstance(value, str) for value in values):
        raise TypeError
    return values


def _sum(value: Any) -> Any:
    values = _items(value)
    if not all(is_number(each) for each in values):
        raise TypeError
    return sum(values)


def _join(value: Any, by: str = "") -> str:
    parts = [text(each) for each in _items(value)]
    if sum(map(len, parts)) + len(parts) * len(_str(by)) > LONGEST:
        raise RenderError(f"becomes a text of more than {LONGEST:,} characters")
    return by.join(parts)


def _unique(value: Any) -> list[Any]:
    kept: list[Any] = []
    seen: set[Any] = set()
    for each in _items(value):
        key = (type(each).__name__, _rank(each)) if isinstance(each, (str, int, float)) else ("json", as_json(each))
        if key not in seen:
            seen.add(key)
            kept.append(each)
    return kept


def _reverse(value: Any) -> Any:
    return value[::-1] if isinstance(value, str) else _items(value)[::-1]


def _split(value: Any, by: str | None = None, most: int = -1) -> list[str]:
    return _str(value).split(by, most)


def _from_json(value: Any) -> Any:
    try:
        return json.loads(_str(value))
    except RecursionError as error:
        raise ValueError from error


def _bool(value: Any) -> bool:
    if isinstance(value, (bool, int, float)):
        return bool(value)
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[_str(value).strip().lower()]


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "abs": _abs,
    "basename": lambda value: posixpath.basename(_str(value)),
    "bool": _bool,
    "dirname": lambda value: posixpath.dirname(_str(value)),
    "first": lambda value: _items(value)[0],
    "float": _float,
    "from_json": _from_json,
    "int": _int,
    "join": _join,
    "last": lambda value: _items(value)[-1],
    "length": _length,
    "list": _items,
    "lower": lambda value: text(value).lower(),
    "max": lambda value: max(_alike(_items(value)), key=_rank),
    "min": lambda value: min(_alike(_items(value)), key=_rank),
    "quote": lambda value: shlex.quote(text(value)),
    "replace": _replace,
    "reverse": _reverse,
    "round": _round,
    "slug": slug,
    "sort": lambda value, reverse=False: sorted(_alike(_items(value)), key=_rank, reverse=bool(reverse)),
    "split": _split,
    "string": text,
    "sum": _sum,
    "title": _title,
    "to_json": as_json,
    "trim": lambda value, characters=None: text(value).strip(characters),
    "unique": _unique,
    "upper": lambda value: text(value).upper(),
}
DEFAULT: Final = "default"  # the filter that takes what is undefined; the evaluator knows it

METHODS: Final[Mapping[str, Callable[..., Any]]] = {
    "endswith": lambda value, end: _str(value).endswith(_str(end)),
    "lower": lambda value: _str(value).lower(),
    "replace": _replace,
    "split": _split,
    "startswith": lambda value, start: _str(value).startswith(_str(start)),
    "strip": lambda value, characters=None: _str(value).strip(characters),
    "upper": lambda value: _str(value).upper(),
}

TESTS: Final[Mapping[str, Callable[..., Any]]] = {
    "boolean": lambda value: isinstance(value, bool),
    "divisibleby": lambda value, number: value % number == 0,
    "empty": lambda value: _length(value) == 0,
    "even": lambda value: value % 2 == 0,
    "false": lambda value: value is False,
    "float": lambda value: isinstance(value, float),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "list": lambda value: isinstance(value, (list, tuple)),
    "mapping": lambda value: isinstance(value, Mapping),
    "none": lambda value: value is None,
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "odd": lambda value: value % 2 == 1,
    "sameas": lambda value, other: value is other or (type(value) is type(other) and equal(value, other) is True),
    "sequence": lambda value: isinstance(value, (list, tuple, str)),
    "string": lambda value: isinstance(value, str),
    "true": lambda value: value is True,
}
COMPARING: Final[Mapping[str, str]] = {  # tests that are comparisons in words
    "eq": "eq", "equalto": "eq", "ne": "ne", "lt": "lt", "le": "lteq", "gt": "gt", "ge": "gteq", "in": "in",
}  # fmt: skip
DEFINED: Final = frozenset({"defined", "undefined"})  # tests that take what is undefined
PATTERNS: Final = frozenset({"search", "match"})  # tests with a regular expression, which stands in the runbook itself

__all__ = ["COMPARING", "DEFAULT", "DEFINED", "FILTERS", "METHODS", "PATTERNS", "TESTS", "bound", "ordered", "slug"]
