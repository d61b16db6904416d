"""The structure of a file of signatures, as JSON Schema: `schemas/signatures.schema.json` holds it for editors."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from runbook.engine.language import signatures

if TYPE_CHECKING:
    from runbook.engine.language.structure import Schema

NAME = r"^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+$"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


@cache
def document() -> Schema:
    """Return the schema of a file of signatures."""
    return {
        "$schema": _DIALECT,
        "$id": "urn:runbook:schema:signatures:1",
        "title": "file of signatures",
        "description": "What lines of logs mean, and what to do about it; an entry of a known id overrides it.",
        "type": "object",
        "properties": {
            "signatures": {
                "type": "array",
                "items": {"$ref": "#/$defs/signature"},
                "description": "In order of precedence: the first whose pattern is found names the line.",
            },
            "xid": {
                "type": "object",
                "title": "mapping of Xid codes",
                "additionalProperties": {"$ref": "#/$defs/xid"},
                "description": "What codes of the NVIDIA driver call for here, over the bundled table.",
            },
            "precedence": {
                "type": "integer",
                "minimum": 0,
                "maximum": 100,
                "default": 50,
                "description": "Of bundled files: a lower number comes before the other files.",
            },
        },
        "additionalProperties": False,
        "$defs": {"signature": _signature(), "xid": _xid()},
    }


def _signature() -> Schema:
    return {
        "type": "object",
        "title": "signature",
        "properties": {
            "id": {
                "type": "string",
                "title": "id such as cuda.oom",
                "pattern": NAME,
                "description": "Its area and its name. One that is known already is overridden.",
                "examples": ["cuda.oom"],
            },
            "off": {"type": "boolean", "description": "true takes a known signature out of the catalogue."},
            "title": _text("A few words: the headline of an incident."),
            "scope": _choice("Which logs it stands in.", signatures.SCOPES, default="app"),
            "pattern": _texts("What is found in a line: a regular expression, or several of which one is enough."),
            "severity": _choice("How bad it is.", signatures.SEVERITIES),
            "category": _choice("What it is about.", signatures.CATEGORIES),
            "role": _choice(
                "root: it can be the cause. cascade: it follows from another. confirmation: it says what is known. "
                "advice: it is evidence of nothing.",
                signatures.ROLES,
            ),
            "retryable": {"type": "boolean", "default": False, "description": "Trying again can help."},
            "causes": _texts("Ids, or patterns of ids such as nccl.*, of what it brings about; they fold under it."),
            "meaning": _text("What it means, in one or two sentences."),
            "advice": _text("What to do, as an imperative."),
            "action": _choice("What it calls for, where it is about a GPU.", signatures.ACTIONS),
            "lines": {
                "type": "integer",
                "minimum": 1,
                "maximum": 16,
                "default": 1,
                "description": "Over how many lines a match may reach; `\\n` stands between them.",
            },
            "event": _text("Hits of the same event within 120 lines and 10 s are one record.", examples=["oom"]),
            "match": _texts("Real lines that are one; tests and `runbook lint` try them."),
            "near_miss": _texts("Real lines that look like one and are none."),
        },
        "required": ["id"],
        "additionalProperties": False,
    }


def _xid() -> Schema:
    return {
        "type": "object",
        "title": "Xid code",
        "properties": {
            "action": _choice("What it calls for.", signatures.ACTIONS),
            "mnemonic": _text("NVIDIA's name for it."),
            "meaning": _text("What it means."),
            "note": _text("Why it is read so here."),
        },
        "required": ["action"],
        "additionalProperties": False,
    }


def _text(description: str, **more: Any) -> Schema:
    return {"type": "string", "minLength": 1, "description": description, **more}


def _texts(description: str) -> Schema:
    one = {"type": "string", "minLength": 1}
    return {"anyOf": [one, {"type": "array", "minItems": 1, "items": one}], "title": "text", "description": description}


def _choice(description: str, choices: tuple[str, ...], **more: Any) -> Schema:
    return {"type": "string", "enum": list(choices), "description": description, **more}
