"""Shapes of values that the schema of drills is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runbook.engine.language.structure import Schema


def entry(title: str, properties: dict[str, Schema], description: str, required: list[str] | None = None) -> Schema:
    """Return a mapping with these keys."""
    return {
        "type": "object",
        "title": title,
        "properties": properties,
        **({"required": required} if required else {}),
        "additionalProperties": False,
        "description": description,
    }


def or_text(title: str, description: str, properties: dict[str, Schema]) -> Schema:
    """Return a mapping with these keys, or a text that stands for its first."""
    one = {"type": "string", "minLength": 1}
    return {"anyOf": [one, entry(title, properties, description)], "title": title, "description": description}


def by_name(item: str, description: str) -> Schema:
    """Return a mapping whose values are of a definition."""
    return {
        "type": "object",
        "title": f"mapping of {item}s",
        "additionalProperties": {"$ref": f"#/$defs/{item}"},
        "description": description,
    }


def text(description: str, **more: Any) -> Schema:
    """Return a text that is not empty."""
    return {"type": "string", "minLength": 1, "description": description, **more}


def texts(description: str) -> Schema:
    """Return a text, or a list of texts."""
    one = {"type": "string", "minLength": 1}
    return {"anyOf": [one, {"type": "array", "minItems": 1, "items": one}], "title": "text", "description": description}


def command(description: str) -> Schema:
    """Return a command: its words, or a text that is split into them."""
    one = {"type": "string", "minLength": 1}
    words = {"type": "array", "minItems": 1, "items": {"type": ["string", "number"], "title": "word"}}
    return {"anyOf": [one, words], "title": "command", "description": description}


def duration(description: str, example: str = "30s") -> Schema:
    """Return a duration."""
    return {
        "anyOf": [{"type": "string", "minLength": 1}, {"type": "number", "minimum": 0}],
        "title": "duration",
        "description": description,
        "examples": [example],
    }


def size(description: str) -> Schema:
    """Return a size."""
    return {
        "anyOf": [{"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}],
        "title": "size",
        "description": description,
        "examples": ["8MB"],
    }


def choice(description: str, choices: list[str]) -> Schema:
    """Return one of several words."""
    return {"type": "string", "enum": choices, "description": description}


def flag(description: str) -> Schema:
    """Return true or false."""
    return {"type": "boolean", "description": description}


def mapping(description: str) -> Schema:
    """Return a mapping of anything."""
    return {"type": "object", "title": "mapping", "description": description}
