"""The structure of a drill (`NAME.drill.yaml`) as JSON Schema; `schemas/drill.schema.json` is for editors."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from runbook.engine.language.structure import Schema

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
INCIDENT_ENDS: Final = ("cured", "open", "observed", "waiting", "suppressed", "unhealed", "unverified")
OPERATION_ENDS: Final = ("succeeded", "failed")
SIGNALS: Final = ("KILL", "TERM", "INT", "HUP", "ABRT", "SEGV", "STOP")
WAYS: Final = ("truncate", "flip", "zero", "garble")
ANSWERS: Final = ("refuse", "hang", "reset", "well")


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
            "runbook": _text("The runbook's file, from here; default: the file of this one's name without `.drill`."),
            "description": _text("What is drilled."),
            "vars": _mapping("Variables, as -e gives them: they lead the runbook into the scratch place."),
            "secrets": _mapping("Made-up secrets; default: each is its own name."),
            "undrilled": {
                "type": "object",
                "title": "mapping of detectors",
                "additionalProperties": _text("Why."),
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
            "given": _given(),
            "file": _file(),
            "daemon": _daemon(),
            "server": _server(),
            "gpu": _gpu("GPU", "What a faked GPU tells."),
            "injection": _injection(),
            "answer": _answer(),
        },
    }


def _manner() -> dict[str, Schema]:
    return {
        "every": _duration("The time between looks; default 500ms.", "500ms"),
        "within": _duration("How long a fault may take to be seen and healed; default 1m."),
        "operations": _choice(
            "When the runbook's operations run: before the fault (default, where it has any), after it, or never.",
            ["before", "after", "never"],
        ),
        "now": _flag("true as --now: holds (`for`) are not waited for."),
    }


def _fault() -> Schema:
    return {
        "type": "object",
        "title": "fault",
        "properties": {
            "name": _text("What happens, as a person says it."),
            "detector": _text("The detector that must see it."),
            "operation": _text("In its place: the operation of which an attempt must fail, and a later one succeed."),
            "inject": {
                "anyOf": [
                    {"$ref": "#/$defs/injection"},
                    {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/injection"}},
                ],
                "title": "injection",
                "description": "What is done, in this order.",
            },
            "expect": _choice(
                "What must come of it; default: cured where the detector recovers, else open; of an operation succeeded.",
                [*INCIDENT_ENDS, *OPERATION_ENDS],
            ),
            "steps": {
                "type": "array",
                "items": {"type": "string", "minLength": 1},
                "description": "Exactly these steps, by name or module, in this order.",
            },
            "approve": _flag("true as --yes: what waits for an approval gets one."),
            "needs": _texts("What it can't be shown without: `root`, or programs on the PATH."),
            "given": {"$ref": "#/$defs/given", "description": "Over the drill's own, key by key."},
            "vars": _mapping("Over the drill's own."),
            **_manner(),
        },
        "required": ["name", "inject"],
        "additionalProperties": False,
    }


def _given() -> Schema:
    return {
        "type": "object",
        "title": "given",
        "properties": {
            "ports": _texts("Names of free ports of the place's own loopback: `{{ ports.NAME }}`."),
            "env": _mapping("The environment of the agent, of daemons and of commands."),
            "files": _by_name("file", "By path in the scratch directory; one that ends with / is a directory."),
            "disks": {
                "type": "object",
                "title": "mapping of disks",
                "additionalProperties": _size("Its size."),
                "description": "By path in the scratch directory: a file system of its own, of that size.",
            },
            "daemons": _by_name("daemon", "Programs that run before the fault."),
            "servers": _by_name("server", "Servers of HTTP on the loopback, whose answers can be broken."),
            "gpus": {
                "anyOf": [
                    {"type": "integer", "minimum": 1},
                    {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/gpu"}},
                ],
                "title": "number or list of GPUs",
                "description": "Faked GPUs; without them the place has none.",
            },
            "programs": {
                "type": "object",
                "title": "mapping of programs",
                "additionalProperties": _text("The script."),
                "description": "Faked programs by name, the first that the PATH finds.",
            },
            "run": {
                "type": "array",
                "items": _command("A command that prepares something."),
                "description": "Commands that are run at last.",
            },
        },
        "additionalProperties": False,
        "description": "What is there before the fault, made anew for each.",
    }


def _file() -> Schema:
    return {
        "anyOf": [
            {"type": "string"},
            {"type": "null"},
            {
                "type": "object",
                "title": "file",
                "properties": {
                    **_content(),
                    "mode": _text('Its mode, such as "0600".', pattern="^0[0-7]{3,4}$"),
                    "owner": _text("Who owns it."),
                    "group": _text("Whose group it is."),
                    "age": _duration("How long ago it was written."),
                },
                "additionalProperties": False,
            },
        ],
        "title": "text or file",
        "description": "Its content, or what more there is to say.",
    }


def _content() -> dict[str, Schema]:
    return {
        "content": {"type": "string", "description": "Its text."},
        "json": {"description": "Its content, as JSON."},
        "size": _size("So many bytes, of which no two files have the same."),
        "copy": _text("A file to copy, from the drill's own directory."),
    }


def _daemon() -> Schema:
    return {
        "type": "object",
        "title": "daemon",
        "properties": {
            "start": _command("How it is started."),
            "pidfile": _text("Where its pid is kept, by the program or else by the drill; default run/NAME.pid."),
            "ready": {
                "type": "object",
                "title": "sign of readiness",
                "properties": {
                    "port": _text("A port (its name) that takes connections."),
                    "file": _text("A file that is there."),
                    "line": _text("A regular expression that is found in what it prints."),
                },
                "oneOf": [{"required": [name]} for name in ("port", "file", "line")],
                "additionalProperties": False,
                "description": "What shows that it is up; default: its pidfile, or that it lives for a moment.",
            },
            "env": _mapping("Its environment, over the place's own."),
        },
        "required": ["start"],
        "additionalProperties": False,
    }


def _server() -> Schema:
    return {"anyOf": [_serving(), {"type": "null"}], "title": "server", "description": "What it serves."}


def _serving() -> Schema:
    return {
        "type": "object",
        "title": "server",
        "properties": {
            "port": _text("The name of its port; default its own."),
            "folder": _text("Where the files are that it serves, in the scratch directory."),
            "answers": {
                "type": "object",
                "title": "mapping of paths",
                "additionalProperties": {"$ref": "#/$defs/answer"},
                "description": "By the beginning of the path; the longest counts.",
            },
        },
        "additionalProperties": False,
    }


def _answer() -> Schema:
    return {
        "anyOf": [
            {"type": "string", "enum": list(ANSWERS)},
            {
                "type": "object",
                "title": "answer",
                "properties": {
                    "status": {"type": "integer", "minimum": 100, "maximum": 599, "description": "Its status."},
                    "body": {"type": "string", "description": "Its text."},
                    "json": {"description": "Its body, as JSON."},
                    "headers": _mapping("More headers."),
                    "retry_after": {"type": "integer", "minimum": 0, "description": "Seconds of Retry-After."},
                    "delay": _duration("What it takes its time for."),
                    "cut": {"type": "integer", "minimum": 0, "description": "The body ends after so many bytes."},
                    "stall": {"type": "integer", "minimum": 0, "description": "The body stops after so many bytes."},
                    "reset": {"type": "integer", "minimum": 0, "description": "A reset after so many bytes."},
                    "corrupt": {"type": "integer", "minimum": 0, "description": "The byte there is another one."},
                    "path": _text("Only requests whose path begins like this."),
                    "times": {"type": "integer", "minimum": 1, "description": "So many requests; then it is well."},
                },
                "additionalProperties": False,
            },
        ],
        "title": "answer",
        "description": "How it answers.",
    }


def _gpu(title: str, description: str, **more: Schema) -> Schema:
    whole: Schema = {"type": "integer", "minimum": 0}
    return {
        "type": "object",
        "title": title,
        "properties": {
            **more,
            "name": _text("Its name."),
            "uuid": _text("Its UUID."),
            "pci": _text("Its PCI address."),
            **{
                name: {**whole, "description": what}
                for name, what in (
                    ("temperature", "°C."),
                    ("utilization", "Percent."),
                    ("power", "Watts."),
                    ("power_limit", "Watts."),
                    ("cools_below", "Watts: it is cool again with a power limit below that."),
                    ("ecc", "Uncorrected errors."),
                    ("throttle", "The bits of NVML's reasons for a slow clock, such as 0x40."),
                    ("recovery", "The driver's verdict: 0 none, 1 reset, 2 reboot, 3 drain, 4 drain and reset."),
                    ("error", "What NVML answers to every question: 15 lost, 16 reset required; 0 none."),
                )
            },
            "margin": {"type": "integer", "description": "Degrees that are left until it slows down."},
            "memory_total": _size("Of its memory."),
            "memory_used": _size("Of its memory."),
            **{
                name: _flag(what)
                for name, what in (
                    ("remap_pending", "Rows wait to be remapped."),
                    ("remap_failed", "A row could not be remapped."),
                    ("mig", "MIG is on."),
                )
            },
            "processes": {
                "type": "array",
                "items": {"type": "object", "title": "process"},
                "description": "`{pid: …, memory: …}` of each that uses it.",
            },
        },
        "additionalProperties": False,
        "description": description,
    }


def _injection() -> Schema:
    kinds: dict[str, Schema] = {
        "kill": _or_text(
            "daemon",
            "A daemon's main process gets a signal.",
            {
                "daemon": _text("The daemon or server."),
                "match": _text("In its place: a regular expression of command lines."),
                "signal": _choice("Default KILL.", list(SIGNALS)),
                "tree": _flag("true: its children too; else they become orphans."),
            },
        ),
        "hang": _text("A daemon or server that stops answering: SIGSTOP, with all below it."),
        "remove": _texts("Files or trees that go away."),
        "write": _object("file", {"path": _text("The file."), **_content()}, "A file is written anew.", ["path"]),
        "append": _object(
            "text", {"path": _text("The file."), "content": _text("The text.")}, "A file grows.", ["path", "content"]
        ),
        "corrupt": _or_text(
            "file",
            "A file is damaged.",
            {
                "path": _text("The file."),
                "how": _choice("Default truncate, to its half.", list(WAYS)),
            },
        ),
        "permit": _object(
            "permission",
            {
                "path": _text("The file."),
                "mode": _text('Its new mode, such as "0666".', pattern="^0[0-7]{3,4}$"),
                "owner": _text("Its new owner."),
                "group": _text("Its new group."),
            },
            "A file gets a wrong mode or owner.",
            ["path"],
        ),
        "age": _object(
            "age",
            {"path": _text("The file."), "by": _duration("How long ago.")},
            "A file was written long ago.",
            ["path", "by"],
        ),
        "fill": _or_text(
            "disk",
            "A disk of `given` is filled.",
            {
                "path": _text("The disk."),
                "leave": _size("So much is left free; default nothing."),
                "as": _text("The file that takes the room; default filled-by-the-drill on that disk."),
            },
        ),
        "log": _object(
            "lines",
            {"path": _text("The log."), "lines": _texts("Its new lines.")},
            "A program says something in its log.",
            ["path", "lines"],
        ),
        "kernel": _texts("Lines of the place's own kernel log."),
        "gpu": _gpu(
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
        "run": _command("A command that breaks something."),
        "wait": _duration("Let time pass."),
    }
    return {
        "type": "object",
        "title": "injection",
        "properties": kinds,
        "oneOf": [{"required": [name]} for name in kinds],
        "additionalProperties": False,
    }


def _object(title: str, properties: dict[str, Schema], description: str, required: list[str] | None = None) -> Schema:
    return {
        "type": "object",
        "title": title,
        "properties": properties,
        **({"required": required} if required else {}),
        "additionalProperties": False,
        "description": description,
    }


def _or_text(title: str, description: str, properties: dict[str, Schema]) -> Schema:
    one = {"type": "string", "minLength": 1}
    return {"anyOf": [one, _object(title, properties, description)], "title": title, "description": description}


def _by_name(item: str, description: str) -> Schema:
    return {
        "type": "object",
        "title": f"mapping of {item}s",
        "additionalProperties": {"$ref": f"#/$defs/{item}"},
        "description": description,
    }


def _text(description: str, **more: Any) -> Schema:
    return {"type": "string", "minLength": 1, "description": description, **more}


def _texts(description: str) -> Schema:
    one = {"type": "string", "minLength": 1}
    return {"anyOf": [one, {"type": "array", "minItems": 1, "items": one}], "title": "text", "description": description}


def _command(description: str) -> Schema:
    one = {"type": "string", "minLength": 1}
    words = {"type": "array", "minItems": 1, "items": {"type": ["string", "number"], "title": "word"}}
    return {"anyOf": [one, words], "title": "command", "description": description}


def _duration(description: str, example: str = "30s") -> Schema:
    return {
        "anyOf": [{"type": "string", "minLength": 1}, {"type": "number", "minimum": 0}],
        "title": "duration",
        "description": description,
        "examples": [example],
    }


def _size(description: str) -> Schema:
    return {
        "anyOf": [{"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}],
        "title": "size",
        "description": description,
        "examples": ["8MB"],
    }


def _choice(description: str, choices: list[str]) -> Schema:
    return {"type": "string", "enum": choices, "description": description}


def _flag(description: str) -> Schema:
    return {"type": "boolean", "description": description}


def _mapping(description: str) -> Schema:
    return {"type": "object", "title": "mapping", "description": description}
