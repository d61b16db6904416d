"""What is wrong with a value, in words: what was expected, what is there, and what to write instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runbook.engine.language import cron, units
from runbook.engine.language.nearest import nearest
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from runbook.engine.model import Path

_NAMES = {
    "object": "a mapping", "array": "a list", "string": "text", "boolean": "true or false", "null": "nothing",
    "number": "a number", "integer": "a whole number",
}  # fmt: skip
_UNITS: dict[str, Any] = {"duration": units.duration, "size": units.size, "percentage": units.percent}
_QUANTITIES = {*_UNITS, "limit", "count", "share", "duration or cron expression", "number of hosts or percentage"}


@frozen
class Problem:
    """One place where data does not fit the schema."""

    path: Path
    message: str
    hint: str = ""
    key: bool = False  # it is about the key, not about the value
    code: str = "RB006"


@frozen
class Leaf:
    """One alternative of a union."""

    schema: dict[str, Any]
    title: str  # of the union it belongs to
    examples: tuple[Any, ...]


def refused(leaves: list[Leaf], value: Any, path: Path) -> Problem:
    """Say why a scalar fits none of the alternatives of its type."""
    choices = [choice for leaf in leaves for choice in leaf.schema.get("enum", ())]
    if choices and isinstance(value, str):
        near = nearest(value, choices)
        hint = f"did you mean {near}?" if near else f"write one of {', '.join(map(str, choices))}"
        if not any(leaf.title in _QUANTITIES for leaf in leaves):
            return Problem(path, f"{got(value)} is none of {', '.join(map(str, choices))}", hint, code="RB014")
    if "duration or cron expression" in {leaf.title for leaf in leaves} and cron.meant(value):
        try:
            cron.parse(value)
        except ValueError as error:
            return Problem(path, str(error), code="RB011")
    quantity = next((leaf for leaf in leaves if leaf.title in _QUANTITIES), None)
    if quantity is None:
        lowest = next((leaf.schema["minimum"] for leaf in leaves if "minimum" in leaf.schema), None)
        if lowest is not None and not isinstance(value, str) and value < lowest:
            return Problem(path, f"{value} is too small", f"write {lowest} or more", code="RB011")
        if value == "":
            return Problem(path, "the text is empty", "write it, or delete the key")
        return expected(leaves, value, path)
    examples = " or ".join(str(example) for example in quantity.examples)
    if quantity.title in _UNITS:
        try:
            _UNITS[quantity.title](str(value))
        except ValueError as error:
            return Problem(path, str(error), code="RB011")
    message = f"{got(value)} is not {article(quantity.title)}"
    return Problem(path, message, f"write it as {examples}" if examples else "", code="RB011")


def expected(leaves: list[Leaf], value: Any, path: Path) -> Problem:
    """Say which types were expected where another one is."""
    wanted: list[str] = []
    for leaf in leaves:
        kinds = leaf.schema.get("type")
        names = [kinds] if isinstance(kinds, str) else list(kinds or ())
        if leaf.schema.get("title") == "template" or names == ["null"]:
            continue
        if names and names[0] in {"object", "array"}:
            label = _NAMES[names[0]] if "list" not in leaf.title else article(leaf.title)
        else:
            title = leaf.title or leaf.schema.get("title", "")
            if any(title in label for label in wanted):
                continue
            label = article(title) if title else " or ".join(_NAMES[name] for name in names)
        if label and label not in wanted:
            wanted.append(label)
    message = f"expected {' or '.join(wanted) or 'nothing'}, got {got(value)}"
    choices = [choice for leaf in leaves for choice in leaf.schema.get("enum", ())]
    types = {kind for leaf in leaves for kind in _listed(leaf.schema.get("type"))}
    hint = ""
    if (
        isinstance(value, int | float)
        and "string" in types
        and not choices
        and not any(leaf.title in _QUANTITIES for leaf in leaves)
    ):
        written = str(value).lower() if isinstance(value, bool) else str(value)
        hint = f'write "{written}" in quotes'
    elif choices and value is not None:
        hint = f"write one of {', '.join(map(str, choices))}"
    elif "array" in types and value is not None:
        hint = "write a list: begin each item with `- `"
    elif value is None:
        hint = "write a value, or delete the key"
    elif mapping := next((leaf.schema for leaf in leaves if leaf.schema.get("properties")), None):
        some = [
            *mapping.get("required", ()),
            *(key for key in mapping["properties"] if key not in mapping.get("required", ())),
        ]
        hint = f"write a mapping: {{{', '.join(f'{key}: …' for key in some[:2])}}}"
    elif examples := next((leaf.examples for leaf in leaves if leaf.examples), ()):
        hint = f"write it as {' or '.join(map(str, examples))}"
    return Problem(path, message, hint)


def _listed(kinds: str | list[str] | None) -> list[str]:
    return [kinds] if isinstance(kinds, str) else list(kinds or ())


def article(noun: str) -> str:
    """Return a noun with its article."""
    if noun == "runbook":
        return "the runbook"
    if noun.startswith(("one of ", "true or false", "text", "false", "parameters")):
        return noun
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"


def got(value: Any) -> str:
    """Return a value as a message shows it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
