"""The structure of a file of cases (`NAME.test.yaml`) as JSON Schema; `schemas/test.schema.json` is for editors."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.model import Impact, IncidentState, Mode, OperationState

if TYPE_CHECKING:
    from runbook.engine.language.structure import Schema

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
GUARDS: Final = (
    *("maintenance", "ack", "mode", "approval", "rejected", "stale", "lease", "busy", "cooldown", "limit"),
    *("flapping", "max_unavailable", "fault_tolerance", "impact", "root"),
)


@cache
def document() -> Schema:
    """Return the schema of a file of cases."""
    return {
        "$schema": _DIALECT,
        "$id": "urn:runbook:schema:test:1",
        "title": "file of cases",
        "description": "What a runbook does when certain things happen, played with a virtual clock by `runbook test`.",
        "type": "object",
        "properties": {
            "runbook": _text("The runbook's file, from here; default: the file of this one's name without `.test`."),
            "vars": _mapping("Variables, as -e gives them."),
            "secrets": _mapping("Made-up secrets; default: each is its own name."),
            "hosts": _texts("The hosts of every case; default localhost."),
            "cases": {
                "type": "array",
                "minItems": 1,
                "items": {"$ref": "#/$defs/case"},
                "description": "Each is played by itself, from an empty journal.",
            },
        },
        "required": ["cases"],
        "additionalProperties": False,
        "$defs": {
            "case": _case(),
            "happening": _happening(),
            "sight": _sight(),
            "ending": _ending(),
            "people": _people(),
            "expected": _expected(),
        },
    }


def _case() -> Schema:
    return {
        "type": "object",
        "title": "case",
        "properties": {
            "name": _text("What is shown to hold, as a sentence."),
            "hosts": _texts("The hosts; default those of the file."),
            "every": _duration("The time between looks; default the runbook's `every`."),
            "lasts": _duration(
                "How long it is played; default: until all is over, or an hour after the last happening."
            ),
            "vars": _mapping("Variables, over those of the file."),
            "options": {
                "type": "object",
                "title": "options",
                "properties": {
                    "max_mode": _choice("As --max-mode.", [mode.value for mode in Mode]),
                    "max_impact": _choice("As --max-impact.", [impact.value for impact in Impact]),
                    "approve": _flag("As --yes: what would wait for an approval has one."),
                    "now": _flag("As --now."),
                    "check": _flag("As --check."),
                    "tags": _texts("As --tags."),
                    "detectors": _texts("As --detector."),
                    "operations": _flag("false plays the detectors alone."),
                },
                "additionalProperties": False,
                "description": "What the person at the command line asks for.",
            },
            "happens": {
                "type": "array",
                "items": {"$ref": "#/$defs/happening"},
                "description": "What happens in the world, each at its time or after a step.",
            },
            "expect": {"$ref": "#/$defs/expected"},
        },
        "required": ["name", "expect"],
        "additionalProperties": False,
    }


def _happening() -> Schema:
    return {
        "type": "object",
        "title": "happening",
        "properties": {
            "at": _duration("When, from the beginning of the case."),
            "after": _text("The step (its name or module) after whose success it happens; each time anew."),
            "host": _texts("On which hosts; default all."),
            "see": {
                "type": "object",
                "title": "mapping of detectors",
                "additionalProperties": {"$ref": "#/$defs/sight"},
                "description": "By detector, or waiting step's name: what looks see from now on; events come up once.",
            },
            "steps": {
                "type": "object",
                "title": "mapping of steps",
                "additionalProperties": {"$ref": "#/$defs/ending"},
                "description": "By a step's name or module: how it ends from now on; default: well, within a second.",
            },
            "operations": {
                "type": "object",
                "title": "mapping of operations",
                "additionalProperties": {"$ref": "#/$defs/ending"},
                "description": "By an operation's name: how its attempts end from now on.",
            },
            "components": {
                "type": "object",
                "title": "mapping of components",
                "additionalProperties": {
                    "type": "object",
                    "title": "attempts",
                    "properties": {
                        "attempts": {"type": "integer", "minimum": 1, "description": "How many, in earlier passes."},
                        "failures": {"type": "integer", "minimum": 0, "description": "How many failed, evenly spread."},
                        "latency": _duration("How long each took; default 1s."),
                    },
                    "required": ["attempts"],
                    "additionalProperties": False,
                },
                "description": "By a component's name, such as POOL.MEMBER: what its attempts have been so far.",
            },
            "people": {"$ref": "#/$defs/people"},
        },
        "additionalProperties": False,
    }


def _sight() -> Schema:
    return {
        "anyOf": [
            {"type": "array", "title": "list of records", "items": {"type": "object", "title": "record"}},
            {"type": "object", "title": "record, or {lines|unknown|absent: …}"},
            {"type": "null", "title": "null (nothing is there)"},
        ],
        "title": "what is seen",
        "description": "Records with the probe's fields; `lines: […]` of a log; `unknown: REASON`; `absent: REASON`.",
    }


def _ending() -> Schema:
    return {
        "anyOf": [
            {"const": "ok", "type": "string", "enum": ["ok"], "title": "ok"},
            {
                "type": "object",
                "title": "ending",
                "properties": {
                    "fails": _text("The message with which it fails; without it, it succeeds."),
                    "exit_code": {"type": "integer", "description": "Its exit code."},
                    "output": {"type": "string", "description": "What it printed."},
                    "takes": _duration("How long it takes; default 1s."),
                    "times": {"type": "integer", "minimum": 1, "description": "How often; then it ends well again."},
                    "changed": _flag("Whether it changed anything; default true."),
                    "data": _mapping("What `register` makes available, such as retry_after or progress."),
                },
                "additionalProperties": False,
            },
        ],
        "title": "ending",
        "description": "How a step ends.",
    }


def _people() -> Schema:
    return {
        "type": "object",
        "title": "what people do",
        "properties": {
            "approve": _texts("Detectors whose waiting incidents are approved."),
            "reject": _texts("Detectors whose waiting incidents are rejected."),
            "ack": _texts("Detectors whose incidents somebody takes in hand."),
            "maintenance": _text("Hosts (a pattern) that are under maintenance from now on."),
            "for": _duration("How long the ack or the maintenance holds; default until it is taken off."),
            "off": _flag("true takes every ack and maintenance off."),
            "reset": _texts("Components that are called well again."),
        },
        "additionalProperties": False,
        "description": "What people say by `approve`, `reject`, `ack`, `maintenance`, `reset`.",
    }


def _expected() -> Schema:
    states = [state.value for state in IncidentState]
    return {
        "type": "object",
        "title": "expectation",
        "properties": {
            "incidents": _items(
                "All incidents, in the order in which they opened; [] = none.",
                {
                    "detector": _text("The detector."),
                    "host": _text("The host."),
                    "subject": _scalar("The subject."),
                    "state": _choice("How it ended, or stands at the end.", states),
                    "reason": _text("A regular expression that is found in its reason."),
                    "folded": {"type": "integer", "minimum": 0, "description": "How many incidents follow from it."},
                    "count": {"type": "integer", "minimum": 1, "description": "How many events it stands for."},
                    **_times(),
                },
                "detector",
            ),
            "steps": _items(
                "All steps that were begun, in their order; [] = none.",
                {
                    "step": _text("The step's name, or its module."),
                    "host": _text("The host."),
                    "subject": _scalar("The subject that it acts on."),
                    "status": _choice("How it ended.", ["done", "failed", "skipped", "refused", "planned", "timeout"]),
                    **_times(),
                },
                "step",
            ),
            "refused": _items(
                "Refusals that came in this order, among others; [] = none at all.",
                {
                    "detector": _text("The detector."),
                    "host": _text("The host."),
                    "guard": _choice("Which guard.", list(GUARDS)),
                    "reason": _text("A regular expression that is found in its reason."),
                    **_times(),
                },
                "detector",
            ),
            "notified": {
                "anyOf": [_text("one"), {"type": "array", "items": {"type": "string"}}],
                "title": "text",
                "description": "All notifications in their order, each a regular expression; [] = none.",
            },
            "operations": {
                "type": "object",
                "title": "mapping of operations",
                "additionalProperties": {
                    "anyOf": [
                        _choice("Its state.", [state.value for state in OperationState]),
                        {
                            "type": "object",
                            "title": "end of an operation",
                            "properties": {
                                "state": _choice("Its state.", [state.value for state in OperationState]),
                                "attempts": {"type": "integer", "minimum": 0, "description": "How many were made."},
                                "error": _text("A regular expression that is found in its error."),
                            },
                            "additionalProperties": False,
                        },
                    ],
                    "title": "state",
                },
                "description": "How operations ended, by their names.",
            },
            "unknown": {
                "anyOf": [_text("one"), {"type": "array", "items": {"type": "string"}}],
                "title": "text",
                "description": "Detectors of which at some time nothing could be told; [] = none.",
            },
        },
        "additionalProperties": False,
        "description": "What must come of it. What is not named may be as it likes; a list names all.",
    }


def _times() -> dict[str, Schema]:
    return {
        "at": _duration("Exactly when, from the beginning of the case."),
        "by": _duration("At the latest."),
        "after": _duration("At the earliest."),
    }


def _items(description: str, properties: dict[str, Schema], head: str) -> Schema:
    one: list[Schema] = [
        _text(f"The {head}'s name alone."),
        {"type": "object", "title": "mapping", "properties": properties, "additionalProperties": False},
    ]
    return {
        "type": "array",
        "items": {"anyOf": one, "title": head},
        "description": description,
    }


def _text(description: str) -> Schema:
    return {"type": "string", "minLength": 1, "description": description}


def _scalar(description: str) -> Schema:
    return {"type": ["string", "number", "boolean"], "title": "value", "description": description}


def _texts(description: str) -> Schema:
    one = {"type": "string", "minLength": 1}
    return {"anyOf": [one, {"type": "array", "minItems": 1, "items": one}], "title": "text", "description": description}


def _duration(description: str) -> Schema:
    return {
        "anyOf": [{"type": "string", "minLength": 1}, {"type": "number", "minimum": 0}],
        "title": "duration",
        "description": description,
        "examples": ["30s"],
    }


def _choice(description: str, choices: list[str]) -> Schema:
    return {"type": "string", "enum": choices, "description": description}


def _flag(description: str) -> Schema:
    return {"type": "boolean", "description": description}


def _mapping(description: str, **more: Any) -> Schema:
    return {"type": "object", "title": "mapping", "description": description, **more}
