"""The schema of a runbook: the language's own keys, and the modules' parameters made from their classes.

`core()` knows modules by name only and imports none. `document()` is all of it, for editors.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any

from runbook.engine.language import params
from runbook.engine.language.structure import (
    DEFINITIONS,
    DETECTOR_KEYS,
    OPERATION_KEYS,
    RUNBOOK_KEYS,
    STEP_KEYS,
    Schema,
    ref,
)
from runbook.modules import catalogue
from runbook.modules.declare import Kind, Probe, Step

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SUMMARY = re.compile(r"\n\s*\n")
_KINDS: dict[Kind, Schema] = {
    Kind.DURATION: ref("duration"),
    Kind.SIZE: ref("size"),
    Kind.PERCENT: ref("percent"),
    Kind.CELSIUS: {"anyOf": [{"type": "number"}, ref("template")], "title": "temperature in °C"},
    Kind.WATT: {"anyOf": [{"type": "number"}, ref("template")], "title": "power in W"},
    Kind.TIME: {"type": ["string", "number"], "title": "time"},
    Kind.PATH: {"type": "string", "minLength": 1, "title": "path"},
    Kind.REGEX: {"type": "string", "title": "regular expression"},
    Kind.GLOB: {"type": ["string", "integer"], "title": "pattern of file names"},
    Kind.ARGV: {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": ["string", "number"]}}],
        "title": "command line, or a list of its words",
    },
    Kind.SCRIPT: {"type": "string", "title": "shell script"},
    Kind.CONDITION: ref("condition"),
    Kind.PROBE: ref("probe"),
    Kind.SIGNAL: {"type": ["string", "integer"], "title": "signal"},
    Kind.BEGIN: {
        "anyOf": [
            {"type": "string", "pattern": r"^(end|start|last [1-9][0-9]{0,8} lines?|since .+)$"},
            ref("template"),
        ],
        "title": "one of end, start, last 1000 lines, since 1h",
    },
}
_PYTHON: dict[Any, Schema] = {
    bool: {"anyOf": [{"type": "boolean"}, ref("template")], "title": "true or false"},
    int: {"anyOf": [{"type": "integer"}, ref("template")], "title": "whole number"},
    float: {"anyOf": [{"type": "number"}, ref("template")], "title": "number"},
    # A whole number is exact as text (a port, a uid); a fraction is not (1.10), so it must be quoted.
    str: {"type": ["string", "integer"], "title": "text"},
    Any: {},
    object: {},
    type(None): {"type": "null"},
}


def core() -> Schema:
    """Return the schema of a runbook, in which modules are references that `resolve` fills in."""
    return _core(catalogue.generation())


@cache
def _core(_generation: int) -> Schema:
    steps = {name: ref(f"step.{name}") for name in catalogue.step_names()}
    probes = {name: ref(f"probe.{name}") for name in catalogue.probe_names()}
    definitions = {
        **DEFINITIONS,
        "step": _task("step", "One call of a module that changes something.", STEP_KEYS, steps),
        "operation": _task("operation", "A step that the runbook itself runs.", OPERATION_KEYS, steps),
        "detector": {
            **_detector(probes),
            "required": ["name"],
        },
        "probe": _task("probe", "One probe and its parameters.", {}, probes),
    }
    return {
        "$schema": _DIALECT,
        "$id": "urn:runbook:schema:runbook:1",
        "title": "runbook",
        "description": "What can go wrong on hosts, and what to do about it.",
        "type": "object",
        "properties": RUNBOOK_KEYS,
        "required": ["name"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def step(name: str) -> Schema:
    """Return the schema of a step's parameters.

    Raises:
        KeyError: there is no such step.
    """
    return _module(name, catalogue.step(name))


def probe(name: str) -> Schema:
    """Return the schema of a probe's parameters.

    Raises:
        KeyError: there is no such probe.
    """
    return _module(name, catalogue.probe(name))


def resolve(root: Schema, reference: str) -> Schema:
    """Return what a `$ref` refers to, importing a module where it is one that `root` does not hold."""
    name = reference.removeprefix("#/$defs/")
    found: Schema | None = root["$defs"].get(name)
    if found is not None:
        return found
    kind, _, module = name.partition(".")
    return step(module) if kind == "step" else probe(module)


def document() -> Schema:
    """Return the whole schema, with the descriptions of every module; `schemas/runbook.schema.json` holds it."""
    whole = core()
    modules = {
        **{f"step.{name}": _described(name, catalogue.step(name)) for name in catalogue.step_names()},
        **{f"probe.{name}": _described(name, catalogue.probe(name)) for name in catalogue.probe_names()},
    }
    return {**whole, "$defs": {**whole["$defs"], **modules}}


def _task(title: str, description: str, keys: Schema, modules: Schema) -> Schema:
    """One module key beside the common ones."""
    made: Schema = {
        "type": "object",
        "title": title,
        "description": description,
        "properties": {**keys, **modules},
        "additionalProperties": False,
    }
    # A `oneOf` without alternatives is no schema; `not: {}` says the same: nothing fits.
    return {**made, "oneOf": [{"required": [name]} for name in modules]} if modules else {**made, "not": {}}


def _detector(probes: Schema) -> Schema:
    """A task whose module key is a probe; `component` is the probe only where there is no other."""
    made = _task("detector", "A probe, a condition, guards, and the recovery.", DETECTOR_KEYS, probes)
    others = [{"required": [name]} for name in probes if name != "component"]
    choices = [{**choice, "not": {"anyOf": others}} if choice["required"] == ["component"] else choice
               for choice in made["oneOf"]]  # fmt: skip
    return {**made, "oneOf": choices}


_modules: dict[tuple[str, Any], Schema] = {}


def _module(name: str, cls: type[Step | Probe]) -> Schema:
    if (name, cls) not in _modules:
        _modules[name, cls] = _made(name, cls)
    return _modules[name, cls]


def _made(name: str, cls: type[Step | Probe]) -> Schema:
    known = params.fields(cls)
    properties = {key: _with_default(_typed(field.type), field) for key, field in known.items()}
    required = [key for key, field in known.items() if field.required]
    first = params.first(cls)
    parameters: Schema = {
        "type": "object",
        "title": f"parameters of {name}",
        "properties": properties,
        "additionalProperties": False,
    }
    if required:
        parameters["required"] = required
    alternatives = [parameters]
    if first is not None and set(required) <= {first}:
        alternatives.append(_short(_typed(known[first].type)))
    if not required:
        alternatives.append({"type": "null"})
    return {"anyOf": [alternative for alternative in alternatives if alternative]}


def _short(schema: Schema) -> Schema:
    """What may stand for the first parameter: no mapping, which would be all parameters."""
    if schema == ref("probe"):
        return {}
    if "anyOf" in schema:
        kept = [part for part in schema["anyOf"] if part.get("type") != "object"]
        return {**schema, "anyOf": kept} if kept else {}
    return {} if schema.get("type") == "object" else schema


def _with_default(schema: Schema, field: params.Parameter) -> Schema:
    default = field.default
    if isinstance(default, str | bool) or (isinstance(default, int | float) and default == 0):
        return {**schema, "default": default}
    if isinstance(default, int | float) and schema.get("$ref") is None:
        return {**schema, "default": default}
    return schema


def _typed(annotation: Any) -> Schema:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        kind = next((extra for extra in annotation.__metadata__ if isinstance(extra, Kind)), None)
        return _KINDS[kind] if kind is not None else _typed(arguments[0])
    if origin is typing.Literal:
        return _closed(arguments)
    if origin in {typing.Union, types.UnionType}:
        parts = [_typed(argument) for argument in arguments]
        return parts[0] if len(parts) == 1 else {"anyOf": parts}
    if origin in {tuple, list, set, frozenset}:
        item = _typed(arguments[0]) if arguments else {}
        return {"anyOf": [{"type": "array", "items": item}, _short(item) or {"type": "string"}]}
    if origin is not None and issubclass(origin, Mapping):
        if typing.get_origin(arguments[0]) is typing.Literal:
            properties = {name: _typed(arguments[1]) for name in typing.get_args(arguments[0])}
            return {"type": "object", "properties": properties, "additionalProperties": False}
        return {"type": "object", "additionalProperties": _typed(arguments[1])}
    if annotation in {dict, Mapping}:
        return {"type": "object"}
    return _PYTHON.get(annotation, {})


def _closed(choices: tuple[Any, ...]) -> Schema:
    kinds: dict[type, str] = {str: "string", bool: "boolean", int: "integer"}
    types_ = sorted({kinds[type(choice)] for choice in choices})
    return {
        "anyOf": [{"type": types_[0] if len(types_) == 1 else types_, "enum": list(choices)}, ref("template")],
        "title": "one of " + ", ".join(map(str, choices)),
    }


def _described(name: str, cls: type[Step | Probe]) -> Schema:
    made = _module(name, cls)
    known = params.fields(cls)
    described = {
        key: {**value, "description": known[key].description} if key in known and known[key].description else value
        for key, value in made["anyOf"][0]["properties"].items()
    }
    prose = params.description(cls)
    return {
        "title": name,
        "description": _SUMMARY.split(prose)[0].replace("\n", " "),
        "anyOf": [{**made["anyOf"][0], "properties": described}, *made["anyOf"][1:]],
    }
