"""How a YAML value becomes the value that a parameter's annotation asks for, or a message that says what does."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from runbook.engine.language.nearest import nearest
from runbook.modules.declare import Kind

Coercer = Callable[[Any, bool], Any]  # (value, it comes out of a template) -> typed value; raises ValueError


class Misfit(ValueError):
    """A value that is not what a parameter asks for; the message says what is."""


KINDS: Final[dict[Kind, Coercer]] = {}  # what a parameter means beyond its type; meanings.py fills it
_LONGEST = 60


def is_template(value: Any) -> bool:
    """Tell whether a value is an Expression, to be evaluated later."""
    return hasattr(value, "evaluate")


def holds_template(value: Any) -> bool:
    """Tell whether a value is an Expression, or holds one."""
    if isinstance(value, Mapping):
        return any(map(holds_template, value.values()))
    return any(map(holds_template, value)) if isinstance(value, list | tuple) else is_template(value)


def coercer(hint: Any) -> Coercer:
    """Return the function that makes values of an annotation."""
    origin = get_origin(hint)
    if origin is Annotated:
        kind = next((extra for extra in hint.__metadata__ if isinstance(extra, Kind)), None)
        return KINDS[kind] if kind is not None else coercer(hint.__origin__)
    if origin is Literal:
        return _closed(get_args(hint))
    if origin is Union or type(hint).__name__ == "UnionType":
        return _union(get_args(hint))
    if origin in {list, tuple}:
        parts = [part for part in get_args(hint) if part is not Ellipsis]
        return _sequence(origin, coercer(parts[0]) if parts else _anything)
    if hint in {list, tuple}:
        return _sequence(hint, _anything)
    if hint in {dict, Mapping} or (isinstance(origin, type) and issubclass(origin, Mapping)):
        parts = list(get_args(hint))
        names = get_args(parts[0]) if parts and get_origin(parts[0]) is Literal else ()
        return _mapping(coercer(parts[1]) if parts else _anything, names)
    return {str: text, int: _whole, float: number, bool: _flag}.get(hint, _anything)


def shown(value: Any) -> str:
    """Return a value as a message quotes it: as YAML would write it, and short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def templated(inner: Coercer) -> Coercer:
    """Let templates pass untouched, as they do in lists and mappings."""
    return lambda value, rendered: value if is_template(value) else inner(value, rendered)


def _anything(value: Any, rendered: bool) -> Any:  # noqa: ARG001 -- the shape of a coercer
    return value


def text(value: Any, rendered: bool) -> str:
    """Return a text; a number is one, true and false are not."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool) and rendered:
        return str(value).lower()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Misfit(f"expected text, not {shown(value)}{' (put it in quotes)' if isinstance(value, bool) else ''}")
    return getattr(value, "text", None) or str(value)


def _whole(value: Any, rendered: bool) -> int:
    if rendered and isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,18}\s*", value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        quoted = isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value)
        raise Misfit(f"expected a whole number, not {shown(value)}{' (leave the quotes out)' if quoted else ''}")
    return int(value)


def number(value: Any, rendered: bool) -> float:
    """Return a number; out of a template it may be written as text."""
    if rendered and isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,18}(\.[0-9]+)?\s*", value):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:  # noqa: PLR0124 -- not a number
        raise Misfit(f"expected a number, not {shown(value)}")
    return float(value)


def _flag(value: Any, rendered: bool) -> bool:
    if rendered and value in ("true", "false"):
        return bool(value == "true")
    if not isinstance(value, bool):
        raise Misfit(f"expected true or false, not {shown(value)}")
    return value


def _closed(choices: tuple[Any, ...]) -> Coercer:
    def choose(value: Any, rendered: bool) -> Any:
        for choice in choices:
            if choice == value and isinstance(value, bool) == isinstance(choice, bool):
                return choice
            if rendered and isinstance(value, str) and str(choice) == value:
                return choice
        near = nearest(str(value), choices) if isinstance(value, str) else None
        names = ", ".join(str(choice) for choice in choices)
        raise Misfit(f"expected one of {names}, not {shown(value)}{f'; did you mean {near}?' if near else ''}")

    return choose


def _sequence(made: type, item: Coercer) -> Coercer:
    inner = templated(item)

    def collect(value: Any, rendered: bool) -> Any:
        if value is None or isinstance(value, Mapping):
            raise Misfit(f"expected a list, not {shown(value)}")
        items = value if isinstance(value, (list, tuple)) else [value]
        return made(each(items, inner, rendered))

    return collect


def each(items: Any, inner: Coercer, rendered: bool) -> list[Any]:
    """Return the items of a list, each typed; a message says which of several does not fit."""
    found = []
    for place, value in enumerate(items):
        try:
            found.append(inner(value, rendered))
        except ValueError as error:
            where = f"item {place + 1}: " if len(items) > 1 else ""
            raise Misfit(f"{where}{error}") from error
    return found


def _mapping(item: Coercer, names: tuple[Any, ...] = ()) -> Coercer:
    inner = templated(item)

    def collect(value: Any, rendered: bool) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise Misfit(f"expected a mapping, not {shown(value)}")
        found = {}
        for key, each in value.items():
            if names and key not in names:
                near = nearest(str(key), names)
                raise Misfit(f"'{key}' is none of {', '.join(names)}{f'; did you mean {near}?' if near else ''}")
            try:
                found[str(key)] = inner(each, rendered)
            except ValueError as error:
                raise Misfit(f"{key}: {error}") from error
        return found

    return collect


def _union(parts: tuple[Any, ...]) -> Coercer:
    may_be_null = type(None) in parts
    choices = [coercer(part) for part in parts if part is not type(None)]

    def choose(value: Any, rendered: bool) -> Any:
        if value is None and may_be_null:
            return None
        refusals = []
        for choice in choices:
            try:
                return choice(value, rendered)
            except ValueError as error:
                refusals.append(str(error))
        raise Misfit("; or ".join(dict.fromkeys(refusals)))

    return choose
