"""Values of parameters that mean more than their Python type: durations, sizes, paths, commands, conditions."""

from __future__ import annotations

import re
import shlex
import signal
from typing import TYPE_CHECKING, Any

from runbook.engine.language import units
from runbook.engine.language.kinds import KINDS, Coercer, Misfit, each, is_template, number, shown, templated, text
from runbook.engine.language.nearest import nearest
from runbook.modules.declare import Kind

if TYPE_CHECKING:
    from collections.abc import Callable


def _quantity(kind: Kind, what: str, parse: Callable[[str], float]) -> Coercer:
    def measure(value: Any, rendered: bool) -> Any:
        if isinstance(value, str):
            if rendered and re.fullmatch(r"[0-9]{1,18}(\.[0-9]+)?", value):
                return parse("0") + (int(value) if kind is Kind.SIZE and value.isdecimal() else float(value))
            return parse(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:  # noqa: PLR0124
            raise Misfit(f"expected a {what}, not {shown(value)}: write it as {units.SHAPES[kind]}")
        if isinstance(value, units.Amount) and value.kind is not kind:
            raise Misfit(f"expected a {what}, not {value.text}: write it as {units.SHAPES[kind]}")
        if value < 0:
            raise Misfit(f"a {what} can't be negative, but {value} is")
        if value and not rendered and kind is not Kind.PERCENT:
            raise Misfit(f"{value} has no unit: write it as {units.SHAPES[kind]}")
        return int(value) if kind is Kind.SIZE else float(value)

    return measure


def _percent(value: Any, rendered: bool) -> float:
    found: float = _quantity(Kind.PERCENT, "percentage", units.percent)(value, rendered)
    if found > 100:
        raise Misfit(f"a percentage is between 0 and 100, not {found:g}")
    return found


def _time(value: Any, rendered: bool) -> float:
    if isinstance(value, str):
        from datetime import datetime

        try:
            return datetime.fromisoformat(value).astimezone().timestamp()
        except ValueError:
            if not rendered or not re.fullmatch(r"[0-9]{1,12}(\.[0-9]+)?", value):
                raise Misfit(f"'{value}' is not a time: write it as 2026-01-31T12:00:00Z") from None
    return number(value, rendered)


def _path(value: Any, rendered: bool) -> str:
    found = text(value, rendered)
    if not found.strip():
        raise Misfit("a path can't be empty")
    if "\0" in found:
        raise Misfit("a path can't hold a NUL character")
    return found


def _regex(value: Any, rendered: bool) -> str:  # noqa: ARG001 -- the shape of a coercer
    if not isinstance(value, str):
        raise Misfit(f"expected a regular expression, not {shown(value)} (put it in quotes)")
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(value)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        at = getattr(error, "pos", None)
        reason = getattr(error, "msg", None) or str(error)
        place = f" at character {at + 1}" if at is not None else ""
        raise Misfit(f"{shown(value)} is no regular expression: {reason}{place}") from error
    return value


def _argv(value: Any, rendered: bool) -> tuple[Any, ...]:
    if isinstance(value, str):
        try:
            words = tuple(shlex.split(value))
        except ValueError as error:
            raise Misfit(f"{shown(value)} can't be split into words: {str(error).lower()}") from error
    elif isinstance(value, (list, tuple)):
        words = tuple(each(value, templated(text), rendered))
    else:
        raise Misfit(f"expected a command, not {shown(value)}: write it as a text or a list of words")
    if not words or words[0] == "":
        raise Misfit("a command can't be empty")
    if any("\0" in word for word in words if isinstance(word, str)):
        raise Misfit("a command can't hold a NUL character")
    return words


def _condition(value: Any, rendered: bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)) and value:
        return " and ".join(f"({_condition(each, rendered)})" for each in value)
    text = value.text if is_template(value) else value
    if not isinstance(text, str):
        raise Misfit(f"expected a condition, not {shown(value)}")
    from runbook.engine.language import expression

    try:
        expression.parse(text, template=False)
    except expression.Syntax as error:
        raise Misfit(f"{shown(text)} is no condition: {error}") from error
    return text


def _signal(value: Any, rendered: bool) -> str:
    names = [name.removeprefix("SIG") for name in signal.Signals.__members__]
    text = value.upper().removeprefix("SIG") if isinstance(value, str) else value
    if rendered or not isinstance(value, str):
        text = _by_number(text)
    if text in names:
        return str(text)
    near = nearest(str(value), names)
    raise Misfit(f"{shown(value)} is no signal{f'; did you mean {near}?' if near else ': write TERM, KILL or HUP'}")


def _begin(value: Any, rendered: bool) -> str:
    found = text(value, rendered)
    since = re.fullmatch(r"since\s+(.+)", found)
    if since is not None:
        return f"since {units.duration(since[1]):g}s"
    if found in ("end", "start") or re.fullmatch(r"last [1-9]\d{0,8} lines?", found):
        return found
    raise Misfit(f"expected end, start, last 1000 lines or since 1h, not {shown(found)}")


def _by_number(value: Any) -> Any:
    try:
        return signal.Signals(int(value)).name.removeprefix("SIG") if not isinstance(value, bool) else value
    except (ValueError, TypeError):
        return value


KINDS.update(
    {
        Kind.DURATION: _quantity(Kind.DURATION, "duration", units.duration),
        Kind.SIZE: _quantity(Kind.SIZE, "size", units.size),
        Kind.PERCENT: _percent,
        Kind.CELSIUS: number,
        Kind.WATT: number,
        Kind.TIME: _time,
        Kind.PATH: _path,
        Kind.REGEX: _regex,
        Kind.GLOB: text,
        Kind.ARGV: _argv,
        Kind.SCRIPT: text,
        Kind.CONDITION: _condition,
        Kind.SIGNAL: _signal,
        Kind.BEGIN: _begin,
    }
)
