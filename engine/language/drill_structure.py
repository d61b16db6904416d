"""The structure of a drill (`NAME.drill.yaml`) as JSON Schema; `schemas/drill.schema.json` is for editors."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from runbook.engine.language import drill_given as givens
from runbook.engine.language import drill_shapes as shapes

if TYPE_CHECKING:
    from runbook.engine.language.structure import Schema

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
INCIDENT_ENDS: Final = ("cured", "open", "observed", "waiting", "suppressed", "unhealed", "unverified")
OPERATION_ENDS: Final = ("succeeded", "failed")
SIGNALS: Final = ("KILL", "TERM", "INT", "HUP", "ABRT", "SEGV", "STOP")
WAYS: Final = ("truncate", "flip", "zero", "garble")


@cache
def document() -> Schema:
    """Return the schema of a drill."""
    return {
        "$schema": _DIALECT,
        "$id": "urn:runbook:schema:drill:1",
        "title": "drill",
        "description": "The real faults that `runbook drill` injects in a scratch place, and what must come of each.",
        "type": "object",
        "properties": {
            "runbook": shapes.text(
                "The runbook's file, from here; default: the file of this one's name without `.drill`."
            ),
            "description": shapes.text("What is drilled."),
            "vars": shapes.mapping("Variables, as -e gives them: they lead the runbook into the scratch place."),
            "secrets": shapes.mapping("Made-up secrets; default: each is its own name."),
            "undrilled": {
                "type": "object",
                "title": "mapping of detectors",
                "additionalProperties": shapes.text("Why."),
                "description": "Detectors without a fault, each with the reason; the drill does not look at them.",
            },
            **_manner(),
            "given": {"$ref": "#/$defs/given"},
            "faults": {
                "type": "array",
                "minItems": 1,
                "items": {"$ref": "#/$defs/fault"},
                "description": "Each is injected in a fresh place, one after the other.",
            },
        },
        "required": ["faults"],
        "additionalProperties": False,
        "$defs": {
            "fault": _fault(),
            "given": givens.given(),
            "file": givens.file(),
            "daemon": givens.daemon(),
            "server": givens.server(),
            "gpu": givens.gpu("GPU", "What a faked GPU tells."),
            "injection": _injection(),
            "answer": givens.answer(),
        },
    }


def _manner() -> dict[str, Schema]:
    return {
        "every": shapes.duration("The time between looks; default 500ms.", "500ms"),
        "within": shapes.duration("How long a fault may take to be seen and healed; default 1m."),
        "operations": shapes.choice(
            "When operations run: once before the fault (the default), once after it, in each pass after it, never.",
            ["before", "after", "repeated", "never"],
        ),
        "now": shapes.flag("true as --now: holds (`for`) are not waited for."),
    }


def _fault() -> Schema:
    return {
        "type": "object",
        "title": "fault",
        "properties": {
            "name": shapes.text("What happens, as a person says it."),
            "detector": shapes.text("The detector that must see it."),
            "operation": shapes.text(
                "In its place: the operation of which an attempt must fail, and a later one succeed."
            ),
            "inject": {
                "anyOf": [
                    {"$ref": "#/$defs/injection"},
                    {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/injection"}},
                ],
                "title": "injection",
                "description": "What is done, in this order.",
            },
            "expect": shapes.choice(
                "What must come of it; default: cured where the detector recovers, else open; an operation: succeeded.",
                [*INCIDENT_ENDS, *OPERATION_ENDS],
            ),
            "steps": {
                "type": "array",
                "items": {"type": "string", "minLength": 1},
                "description": "Exactly these steps, by name or module, in this order.",
            },
            "approve": shapes.flag("true as --yes: what waits for an approval gets one."),
            "needs": shapes.texts("What it can't be shown without: `root`, or programs on the PATH."),
            "given": {"$ref": "#/$defs/given", "description": "Over the drill's own, key by key."},
            "vars": shapes.mapping("Over the drill's own."),
            **_manner(),
        },
        "required": ["name", "inject"],
        "additionalProperties": False,
    }


def _injection() -> Schema:
    kinds: dict[str, Schema] = {
        "kill": shapes.or_text(
            "daemon",
            "A daemon's main process gets a signal.",
            {
                "daemon": shapes.text("The daemon or server."),
                "match": shapes.text("In its place: a regular expression of command lines."),
                "signal": shapes.choice("Default KILL.", list(SIGNALS)),
                "tree": shapes.flag("true: its children too; else they become orphans."),
            },
        ),
        "hang": shapes.text("A daemon or server that stops answering: SIGSTOP, with all below it."),
        "remove": shapes.texts("Files or trees that go away."),
        "write": shapes.entry(
            "file", {"path": shapes.text("The file."), **givens.content()}, "A file is written anew.", ["path"]
        ),
        "append": shapes.entry(
            "text",
            {"path": shapes.text("The file."), "content": shapes.text("The text.")},
            "A file grows.",
            ["path", "content"],
        ),
        "corrupt": shapes.or_text(
            "file",
            "A file is damaged.",
            {
                "path": shapes.text("The file."),
                "how": shapes.choice("Default truncate, to its half.", list(WAYS)),
            },
        ),
        "permit": shapes.entry(
            "permission",
            {
                "path": shapes.text("The file."),
                "mode": shapes.text('Its new mode, such as "0666".'),
                "owner": shapes.text("Its new owner."),
                "group": shapes.text("Its new group."),
            },
            "A file gets a wrong mode or owner.",
            ["path"],
        ),
        "age": shapes.entry(
            "age",
            {"path": shapes.text("The file."), "by": shapes.duration("How long ago.")},
            "A file was written long ago.",
            ["path", "by"],
        ),
        "fill": shapes.or_text(
            "disk",
            "A disk of `given` is filled.",
            {
                "path": shapes.text("The disk."),
                "leave": shapes.size("So much is left free; default nothing."),
                "as": shapes.text("The file that takes the room; default filled-by-the-drill on that disk."),
            },
        ),
        "log": shapes.entry(
            "lines",
            {"path": shapes.text("The log."), "lines": shapes.texts("Its new lines.")},
            "A program says something in its log.",
            ["path", "lines"],
        ),
        "kernel": shapes.texts("Lines of the place's own kernel log."),
        "gpu": givens.gpu(
            "GPU",
            "What a faked GPU tells from now on.",
            index={"type": "integer", "minimum": 0, "description": "Which; default all."},
        ),
        "server": {
            "type": "object",
            "title": "mapping of servers",
            "additionalProperties": {"$ref": "#/$defs/answer"},
            "description": "How a server answers from now on.",
        },
        "run": shapes.command("A command that breaks something."),
        "wait": shapes.duration("Let time pass."),
    }
    return {
        "type": "object",
        "title": "injection",
        "properties": kinds,
        "oneOf": [{"required": [name]} for name in kinds],
        "additionalProperties": False,
    }
