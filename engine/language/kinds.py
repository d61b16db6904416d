"""How a YAML value becomes the value that a parameter's annotation asks for, or a message that says what does."""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from runbook.engine.language import units
from runbook.engine.language.nearest import nearest
from runbook.modules.declare import Kind

Coercer = Callable[[Any, bool], Any]  # (value, it comes out of a template) -> typed value; raises ValueError

NESTED: dict[Kind, Coercer] = {}  # kinds that hold another module's parameters; filled by params.py
_LONGEST = 60


def is_template(value: Any) -> bool:
    """Tell whether a value is an Expression, to be evaluated later."""
    return hasattr(value, "evaluate")


def coercer(hint: Any) -> Coercer:
    """Return the function that makes values of an annotation."""
    origin = get_origin(hint)
    if origin is Annotated:
        kind = next((extra for extra in hint.__metadata__ if isinstance(extra, Kind)), None)
        return _of_kind(kind) if kind is not None else coercer(hint.__origin__)
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
        return _mapping(coercer(parts[1]) if parts else _anything)
    return {str: _text, int: _whole, float: _number, bool: _flag}.get(hint, _anything)


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


def _templated(inner: Coercer) -> Coercer:
    return lambda value, rendered: value if is_template(value) else inner(value, rendered)


def _anything(value: Any, rendered: bool) -> Any:  # noqa: ARG001 -- the shape of a coercer
    return value


def _text(value: Any, rendered: bool) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool) and rendered:
        return str(value).lower()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"expected text, not {shown(value)}{' (put it in quotes)' if isinstance(value, bool) else ''}")
    return getattr(value, "text", None) or str(value)


def _whole(value: Any, rendered: bool) -> int:
    if rendered and isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,18}\s*", value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        quoted = isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value)
        raise ValueError(f"expected a whole number, not {shown(value)}{' (leave the quotes out)' if quoted else ''}")
    return int(value)


def _number(value: Any, rendered: bool) -> float:
    if rendered and isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,18}(\.[0-9]+)?\s*", value):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:  # noqa: PLR0124 -- not a number
        raise ValueError(f"expected a number, not {shown(value)}")
    return float(value)


def _flag(value: Any, rendered: bool) -> bool:
    if rendered and value in ("true", "false"):
        return bool(value == "true")
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, not {shown(value)}")
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
        raise ValueError(f"expected one of {names}, not {shown(value)}{f'; did you mean {near}?' if near else ''}")

    return choose


def _sequence(made: type, item: Coercer) -> Coercer:
    inner = _templated(item)

    def collect(value: Any, rendered: bool) -> Any:
        if value is None or isinstance(value, Mapping):
            raise ValueError(f"expected a list, not {shown(value)}")
        items = value if isinstance(value, (list, tuple)) else [value]
        return made(_each(items, inner, rendered))

    return collect


def _each(items: Any, inner: Coercer, rendered: bool) -> list[Any]:
    found = []
    for place, value in enumerate(items):
        try:
            found.append(inner(value, rendered))
        except ValueError as error:
            where = f"item {place + 1}: " if len(items) > 1 else ""
            raise ValueError(f"{where}{error}") from error
    return found


def _mapping(item: Coercer) -> Coercer:
    inner = _templated(item)

    def collect(value: Any, rendered: bool) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise ValueError(f"expected a mapping, not {shown(value)}")
        found = {}
        for key, each in value.items():
            try:
                found[str(key)] = inner(each, rendered)
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from error
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
        raise ValueError("; or ".join(dict.fromkeys(refusals)))

    return choose


def _of_kind(kind: Kind) -> Coercer:
    found = _KINDS.get(kind)
    return found if found is not None else lambda value, rendered: NESTED[kind](value, rendered)


def _quantity(kind: Kind, what: str, parse: Callable[[str], float]) -> Coercer:
    def measure(value: Any, rendered: bool) -> Any:
        if isinstance(value, str):
            if rendered and re.fullmatch(r"[0-9]{1,18}(\.[0-9]+)?", value):
                return parse("0") + (int(value) if kind is Kind.SIZE and value.isdecimal() else float(value))
            return parse(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:  # noqa: PLR0124
            raise ValueError(f"expected a {what}, not {shown(value)}: write it as {units.SHAPES[kind]}")
        if getattr(value, "kind", kind) is not kind:
            raise ValueError(f"expected a {what}, not {getattr(value, 'text', value)}: write it as {units.SHAPES[kind]}")
        if value < 0:
            raise ValueError(f"a {what} can't be negative, but {value} is")
        if value and not rendered and kind is not Kind.PERCENT:
            raise ValueError(f"{value} has no unit: write it as {units.SHAPES[kind]}")
        return int(value) if kind is Kind.SIZE else float(value)

    return measure


def _percent(value: Any, rendered: bool) -> float:
    found: float = _quantity(Kind.PERCENT, "percentage", units.percent)(value, rendered)
    if found > 100:
        raise ValueError(f"a percentage is between 0 and 100, not {found:g}")
    return found


def _time(value: Any, rendered: bool) -> float:
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value).astimezone().timestamp()
        except ValueError:
            if not rendered or not re.fullmatch(r"[0-9]{1,12}(\.[0-9]+)?", value):
                raise ValueError(f"'{value}' is not a time: write it as 2026-01-31T12:00:00Z") from None
    return _number(value, rendered)


def _path(value: Any, rendered: bool) -> str:
    found = _text(value, rendered)
    if not found.strip():
        raise ValueError("a path can't be empty")
    if "\0" in found:
        raise ValueError("a path can't hold a NUL character")
    return found


def _regex(value: Any, rendered: bool) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a regular expression, not {shown(value)} (put it in quotes)")
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(value)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        at = getattr(error, "pos", None)
        reason = getattr(error, "msg", None) or str(error)
        place = f" at character {at + 1}" if at is not None else ""
        raise ValueError(f"{shown(value)} is no regular expression: {reason}{place}") from error
    return value


def _argv(value: Any, rendered: bool) -> tuple[Any, ...]:
    if isinstance(value, str):
        try:
            words = tuple(shlex.split(value))
        except ValueError as error:
            raise ValueError(f"{shown(value)} can't be split into words: {str(error).lower()}") from error
    elif isinstance(value, (list, tuple)):
        words = tuple(_each(value, _templated(_text), rendered))
    else:
        raise ValueError(f"expected a command, not {shown(value)}: write it as a text or a list of words")
    if not words or words[0] == "":
        raise ValueError("a command can't be empty")
    if any("\0" in word for word in words if isinstance(word, str)):
        raise ValueError("a command can't hold a NUL character")
    return words


def _condition(value: Any, rendered: bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return " and ".join(f"({_condition(each, rendered)})" for each in value)
    text = value.text if is_template(value) else value
    if not isinstance(text, str):
        raise ValueError(f"expected a condition, not {shown(value)}")
    from runbook.engine.language import expression

    try:
        expression.parse(text, template=False)
    except expression.Syntax as error:
        raise ValueError(f"{shown(text)} is no condition: {error}") from error
    return text


def _signal(value: Any, rendered: bool) -> str:
    names = [name.removeprefix("SIG") for name in signal.Signals.__members__]
    text = value.upper().removeprefix("SIG") if isinstance(value, str) else value
    if rendered or not isinstance(value, str):
        text = _by_number(text)
    if text in names:
        return str(text)
    near = nearest(str(value), names)
    raise ValueError(f"{shown(value)} is no signal{f'; did you mean {near}?' if near else ': write TERM, KILL or HUP'}")


def _by_number(value: Any) -> Any:
    try:
        return signal.Signals(int(value)).name.removeprefix("SIG") if not isinstance(value, bool) else value
    except (ValueError, TypeError):
        return value


_KINDS: dict[Kind, Coercer] = {
    Kind.DURATION: _quantity(Kind.DURATION, "duration", units.duration),
    Kind.SIZE: _quantity(Kind.SIZE, "size", units.size),
    Kind.PERCENT: _percent,
    Kind.CELSIUS: _number,
    Kind.WATT: _number,
    Kind.TIME: _time,
    Kind.PATH: _path,
    Kind.REGEX: _regex,
    Kind.ARGV: _argv,
    Kind.SCRIPT: _text,
    Kind.CONDITION: _condition,
    Kind.SIGNAL: _signal,
}
