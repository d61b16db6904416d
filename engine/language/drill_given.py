"""What a drill gives, as JSON Schema: files, disks, daemons, servers and faked GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runbook.engine.language import drill_shapes as shapes

if TYPE_CHECKING:
    from runbook.engine.language.structure import Schema

ANSWERS: Final = ("refuse", "hang", "reset", "well")


def given() -> Schema:
    """Return what is there before a fault."""
    return {
        "type": "object",
        "title": "given",
        "properties": {
            "ports": shapes.texts("Names of free ports of the place's own loopback: `{{ ports.NAME }}`."),
            "env": shapes.mapping("The environment of the agent, of daemons and of commands."),
            "files": shapes.by_name("file", "By path in the scratch directory; one that ends with / is a directory."),
            "disks": {
                "type": "object",
                "title": "mapping of disks",
                "additionalProperties": shapes.size("Its size."),
                "description": "By path in the scratch directory: a file system of its own, of that size.",
            },
            "daemons": shapes.by_name("daemon", "Programs that run before the fault."),
            "servers": shapes.by_name("server", "Servers of HTTP on the loopback, whose answers can be broken."),
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
                "additionalProperties": shapes.text("The script."),
                "description": "Faked programs by name, the first that the PATH finds.",
            },
            "run": {
                "type": "array",
                "items": shapes.command("A command that prepares something."),
                "description": "Commands that are run at last.",
            },
        },
        "additionalProperties": False,
        "description": "What is there before the fault, made anew for each.",
    }


def file() -> Schema:
    """Return a file, a directory or a text."""
    return {
        "anyOf": [
            {"type": "string"},
            {"type": "null"},
            {
                "type": "object",
                "title": "file",
                "properties": {
                    **content(),
                    "mode": shapes.text('Its mode, such as "0600".'),
                    "owner": shapes.text("Who owns it."),
                    "group": shapes.text("Whose group it is."),
                    "age": shapes.duration("How long ago it was written."),
                },
                "additionalProperties": False,
            },
        ],
        "title": "text or file",
        "description": "Its content, or what more there is to say.",
    }


def content() -> dict[str, Schema]:
    """Return what a file may hold."""
    return {
        "content": {"type": "string", "description": "Its text."},
        "json": {"description": "Its content, as JSON."},
        "size": shapes.size("So many bytes, of which no two files have the same."),
        "safetensors": shapes.size("A sound file of weights, of about so many bytes."),
        "copy": shapes.text("A file to copy, from the drill's own directory."),
    }


def daemon() -> Schema:
    """Return a program that runs."""
    return {
        "type": "object",
        "title": "daemon",
        "properties": {
            "start": shapes.command("How it is started."),
            "pidfile": shapes.text("Where its pid is kept, by the program or else by the drill; default run/NAME.pid."),
            "ready": {
                "type": "object",
                "title": "sign of readiness",
                "properties": {
                    "port": shapes.text("A port (its name) that takes connections."),
                    "file": shapes.text("A file that is there."),
                    "line": shapes.text("A regular expression that is found in what it prints."),
                },
                "oneOf": [{"required": [name]} for name in ("port", "file", "line")],
                "additionalProperties": False,
                "description": "What shows that it is up; default: its pidfile, or that it lives for a moment.",
            },
            "env": shapes.mapping("Its environment, over the place's own."),
        },
        "required": ["start"],
        "additionalProperties": False,
    }


def server() -> Schema:
    """Return a server of HTTP."""
    return {"anyOf": [_serving(), {"type": "null"}], "title": "server", "description": "What it serves."}


def _serving() -> Schema:
    return {
        "type": "object",
        "title": "server",
        "properties": {
            "port": shapes.text("The name of its port; default its own."),
            "folder": shapes.text("Where the files are that it serves, in the scratch directory."),
            "hub": shapes.flag("true: a Hugging Face hub, whose repositories are directories ORG/NAME of `folder`."),
            "answers": {
                "type": "object",
                "title": "mapping of paths",
                "additionalProperties": {"$ref": "#/$defs/answer"},
                "description": "By the beginning of the path; the longest counts.",
            },
        },
        "additionalProperties": False,
    }


def answer() -> Schema:
    """Return how a server answers."""
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
                    "headers": shapes.mapping("More headers."),
                    "retry_after": {"type": "integer", "minimum": 0, "description": "Seconds of Retry-After."},
                    "delay": shapes.duration("What it takes its time for."),
                    "cut": {"type": "integer", "minimum": 0, "description": "The body ends after so many bytes."},
                    "stall": {"type": "integer", "minimum": 0, "description": "The body stops after so many bytes."},
                    "reset": {"type": "integer", "minimum": 0, "description": "A reset after so many bytes."},
                    "corrupt": {"type": "integer", "minimum": 0, "description": "The byte there is another one."},
                    "path": shapes.text("Only requests whose path begins like this."),
                    "times": {"type": "integer", "minimum": 1, "description": "So many requests; then it is well."},
                },
                "additionalProperties": False,
            },
        ],
        "title": "answer",
        "description": "How it answers.",
    }


def gpu(title: str, description: str, **more: Schema) -> Schema:
    """Return what a faked GPU tells; `more` are further keys."""
    whole: Schema = {"type": "integer", "minimum": 0}
    return {
        "type": "object",
        "title": title,
        "properties": {
            **more,
            "name": shapes.text("Its name."),
            "uuid": shapes.text("Its UUID."),
            "pci": shapes.text("Its PCI address."),
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
            "memory_total": shapes.size("Of its memory."),
            "memory_used": shapes.size("Of its memory."),
            **{
                name: shapes.flag(what)
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
