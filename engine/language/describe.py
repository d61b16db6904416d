"""What a module's source says about it: its docstring, its example, the comments behind its fields."""

from __future__ import annotations

import dataclasses
import re
from functools import wraps
from typing import TYPE_CHECKING, TypeVar

from runbook.modules.declare import Probe, Record, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Class = type[Step | Probe | Record]
T = TypeVar("T")


def once(make: Callable[[Class], T]) -> Callable[[Class], T]:
    """Keep what was made of a class: there are few, and they live as long as the process."""
    kept: dict[Class, T] = {}

    @wraps(make)
    def get(cls: Class) -> T:
        if cls not in kept:
            kept[cls] = make(cls)
        return kept[cls]

    return get


@once
def description(cls: Class) -> str:
    """Return what a module's docstring says, without its example."""
    import inspect

    return re.split(r"\n\s*Example:", inspect.cleandoc(cls.__doc__ or ""))[0].strip()


@once
def example(cls: Class) -> str:
    """Return the YAML of a module's `Example:` section, or an empty text."""
    import inspect
    import textwrap

    text = inspect.cleandoc(cls.__doc__ or "")
    _, found, rest = text.partition("Example:\n")
    if not found:
        return ""
    lines = []
    for line in rest.splitlines():
        if line.strip() and not line.startswith(" "):
            break
        lines.append(line)
    return textwrap.dedent("\n".join(lines)).strip("\n")


@once
def comments(cls: Class) -> Mapping[str, str]:
    """Return the comment behind each field of a class, and of those it inherits from."""
    import inspect
    import textwrap

    found: dict[str, str] = {}
    for part in reversed(cls.__mro__):
        if dataclasses.is_dataclass(part):
            try:
                source = vars(part).get("__runbook_source__") or textwrap.dedent(inspect.getsource(part))
            except (OSError, TypeError):
                continue
            found.update(_trailing(source))
    return found


def _trailing(source: str) -> Iterator[tuple[str, str]]:
    """Yield each field's name with the comment behind it."""
    import tokenize
    from io import StringIO

    name, depth, start = "", 0, True
    text: dict[str, str] = {}
    for token in tokenize.generate_tokens(StringIO(source).readline):
        if token.type == tokenize.INDENT:
            depth += 1
        elif token.type == tokenize.DEDENT:
            depth -= 1
        elif token.type == tokenize.COMMENT:
            if name and not start:
                text[name] = re.sub(r"\s*#\s*noqa.*", "", token.string).lstrip("# ").rstrip()
        elif token.type == tokenize.NEWLINE:
            start = True
        elif token.type != tokenize.NL:
            if start:
                name = token.string if depth == 1 and token.type == tokenize.NAME else ""
            start = False
    yield from text.items()
