"""A walker of the schema over plain data, whose problems are in our words.

It knows the keywords that `schema.py` writes, imports a module's class only where the data uses it, and is held to the
verdicts of jsonschema by the tests.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runbook.engine.language import later
from runbook.engine.language import schema as schemas
from runbook.engine.language.nearest import nearest
from runbook.engine.language.wording import Leaf, Problem, article, expected, refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runbook.engine.model import Path

__all__ = ["Problem", "validate"]

Schema = dict[str, Any]

_TYPES: dict[str, Any] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: (
        not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
}
_PATIENCE = 200  # names that are compared with all others
_TASKS = {"step": "module", "operation": "module", "detector": "probe", "probe": "probe"}


def validate(data: Any, schema_root: Schema) -> list[Problem]:
    """Return every place where data does not fit a runbook's schema (`schema.core()` or `schema.document()`)."""
    return _Walker(schema_root).walk(data, schema_root, ())


class _Walker:
    def __init__(self, root: Schema) -> None:
        self.root = root
        self.resolved: dict[str, Schema] = {}
        self.leaves: dict[int, list[Leaf]] = {}
        self.places: dict[str, list[str]] | None = None
        self.patience = _PATIENCE

    def walk(self, value: Any, schema: Schema, path: Path) -> list[Problem]:
        schema = self.follow(schema)
        if "anyOf" in schema:
            return self.choose(value, schema, path)
        if not _fits(value, schema.get("type")):
            return [expected([Leaf(schema, schema.get("title", ""), ())], value, path)]
        if isinstance(value, dict):
            return self.mapping(value, schema, path)
        if isinstance(value, list):
            return self.items(value, schema, path)
        return _scalar(value, schema, path)

    def follow(self, schema: Schema) -> Schema:
        while (reference := schema.get("$ref")) is not None:
            found = self.resolved.get(reference)
            if found is None:
                found = self.resolved[reference] = schemas.resolve(self.root, reference)
            schema = found
        return schema

    def flat(self, schema: Schema) -> list[Leaf]:
        """Return the alternatives of a union, those of unions in it included."""
        known = self.leaves.get(id(schema))
        if known is None:
            known = []
            title, examples = schema.get("title", ""), tuple(schema.get("examples", ()))
            for part in schema["anyOf"]:
                resolved = self.follow(part)
                if "anyOf" in resolved:
                    known += self.flat(resolved)
                else:
                    known.append(Leaf(resolved, title, examples))
            self.leaves[id(schema)] = known
        return known

    def choose(self, value: Any, schema: Schema, path: Path) -> list[Problem]:
        leaves = self.flat(schema)
        fitting = [leaf for leaf in leaves if _fits(value, leaf.schema.get("type"))]
        if not fitting:
            return [expected(leaves, value, path)]
        best: tuple[Any, list[Problem]] | None = None
        for leaf in fitting:
            problems = self.walk(value, leaf.schema, path)
            if not problems:
                return []
            # What the data names is what was meant; among the rest, the alternative it comes nearest to.
            named = isinstance(value, dict) and any(key in value for key in leaf.schema.get("required", ()))
            rank = (not named, len(problems))
            if best is None or rank < best[0]:
                best = (rank, problems)
        if isinstance(value, dict | list):
            return best[1] if best else []
        return [refused(fitting, value, path)]

    def items(self, value: list[Any], schema: Schema, path: Path) -> list[Problem]:
        problems: list[Problem] = []
        if len(value) < schema.get("minItems", 0):
            problems.append(Problem(path, "the list is empty", "write an item, or delete the key"))
        item = schema.get("items")
        if item is not None:
            for number, each in enumerate(value):
                problems += self.walk(each, item, (*path, number))
        return problems

    def mapping(self, value: dict[str, Any], schema: Schema, path: Path) -> list[Problem]:
        properties = schema.get("properties", {})
        additional = schema.get("additionalProperties", True)
        problems: list[Problem] = []
        unknown: list[str] = []
        for key, each in value.items():
            found = properties.get(key)
            if found is not None:
                problems += self.walk(each, found, (*path, key))
            elif additional is False:
                unknown.append(key)
            elif additional is not True:
                problems += self.walk(each, additional, (*path, key))
        if "propertyNames" in schema:
            problems += _names(value, schema["propertyNames"]["pattern"], path)
        if schema.get("title") in _TASKS:
            strange = self.task(value, schema, unknown, path)
        else:
            strange = [self.unknown(key, schema, path) for key in unknown]
            if "oneOf" in schema:
                strange += _one_of(value, schema, path)
        meant = {problem.hint for problem in strange}  # a slip of the pen is told once, not as a missing key as well
        coming = any(problem.code == later.CODE and len(problem.path) == len(path) + 1 for problem in strange)
        problems += [
            Problem(path, f"`{key}` is missing", f"write `{key}:` here", key=True)
            for key in schema.get("required", ())
            if key not in value and _meant(key) not in meant and not coming
        ]
        return problems + strange

    def task(self, value: dict[str, Any], schema: Schema, unknown: list[str], path: Path) -> list[Problem]:
        """Judge that there is exactly one module among the keys."""
        title, noun = schema["title"], _TASKS[schema["title"]]
        modules = [part["required"][0] for part in schema.get("oneOf", ())]
        keys = {part["required"][0] for part in schema.get("oneOf", ()) if "not" in part}  # beside another module
        present = [key for key in value if key in modules]
        present = [key for key in present if key not in keys] or present
        if len(present) > 1:
            names = " and ".join((", ".join(present[:-1]), present[-1]))
            problem = Problem(
                (*path, present[1]),
                f"{article(title)} has one {noun}, and here are {len(present)}: {names}",
                f"write each as {article(title)} of its own",
                key=True,
                code="RB009",
            )
            return [problem, *(self.unknown(key, schema, path, present[0]) for key in unknown)]
        if present:
            return [self.unknown(key, schema, path, present[0]) for key in unknown]
        common = [key for key in schema["properties"] if key not in modules]
        coming = later.MODULES[noun]
        meant = [
            key
            for key in unknown
            if key in coming or (key not in self.homes() and not self.slipped(key, common, modules))
        ]
        problems = [self.unknown(key, schema, path) for key in unknown if key not in meant]
        for key in meant:
            if key in coming:
                problems.append(Problem((*path, key), later.said(f"`{key}`"), later.MEND, key=True, code=later.CODE))
                continue
            near = self.near(key, modules)
            hint = _meant(near) if near else f"`runbook doc` lists the {noun}s"
            problems.append(Problem((*path, key), f"there is no {noun} `{key}`", hint, key=True, code="RB008"))
        if not meant:
            hint = "a step is a module's name and its parameters, such as `wait: 10s`"
            if noun == "probe":
                hint = "name what looks at the host, such as `http: http://127.0.0.1:8000/health`"
            problems.append(Problem(path, f"this {title} names no {noun}", hint, code="RB009"))
        return problems

    def slipped(self, key: str, common: list[str], modules: list[str]) -> bool:
        """Tell whether a key is a common one with a slip of the pen; `gpu_power_limit` is a module, and no `limit`."""
        from difflib import SequenceMatcher, get_close_matches

        self.patience -= 1
        near = get_close_matches(key, common, 1, 0.75) if self.patience >= 0 else []
        other = get_close_matches(key, modules, 1, 0.75) if near else []
        if not other:
            return bool(near)
        return SequenceMatcher(None, near[0], key).ratio() > SequenceMatcher(None, other[0], key).ratio()

    def unknown(self, key: str, schema: Schema, path: Path, module: str | None = None) -> Problem:
        title = schema.get("title", "")
        owner = f"no key of {article(title)}" if title else "no key here"
        if title.startswith("parameters of "):
            owner = f"no parameter of {title.removeprefix('parameters of ')}"
        message = f"`{key}` is {owner}"
        return Problem((*path, key), message, self.remedy(key, schema, module), key=True, code="RB007")

    def remedy(self, key: str, schema: Schema, module: str | None) -> str:
        properties = schema.get("properties", {})
        if module is not None:
            for leaf in self.flat(self.follow(properties[module])):
                if key in leaf.schema.get("properties", ()):
                    return f"it is a parameter of {module}: write it below `{module}:`"
        homes = self.homes().get(key, [])
        if homes:
            return f"it belongs to {' or '.join(article(home) for home in homes[:3])}"
        near = self.near(key, properties)
        if near:
            return _meant(near)
        if properties and len(properties) <= 12:
            return f"there {'is' if len(properties) == 1 else 'are'} {', '.join(properties)}"
        return ""

    def homes(self) -> dict[str, list[str]]:
        """Return where each key of the language belongs."""
        if self.places is not None:
            return self.places
        found: dict[str, list[str]] = {}
        places = ["step", "operation", "detector", "block", "verify", "retry", "pool", "component", "secret"]
        there = [self.root["$defs"][place] for place in places if place in self.root["$defs"]]
        for schema in (self.root, *there):
            for key, value in schema["properties"].items():
                if not str(value.get("$ref", "")).startswith(("#/$defs/step.", "#/$defs/probe.")):
                    found.setdefault(key, []).append(schema["title"])
        self.places = found
        return found

    def near(self, key: str, choices: Iterable[str]) -> str | None:
        """Return the name that was meant, for as many as anybody reads."""
        self.patience -= 1
        return nearest(key, choices) if self.patience >= 0 else None


def _meant(name: str) -> str:
    return f"did you mean {name}?"


def _fits(value: Any, kinds: str | list[str] | None) -> bool:
    if kinds is None:
        return True
    if isinstance(kinds, str):
        return bool(_TYPES[kinds](value))
    return any(_TYPES[each](value) for each in kinds)


def _scalar(value: Any, schema: Schema, path: Path) -> list[Problem]:
    leaf = [Leaf(schema, schema.get("title", ""), tuple(schema.get("examples", ())))]
    if "const" in schema and value != schema["const"]:
        return [refused(leaf, value, path)]
    if "enum" in schema and value not in schema["enum"]:
        return [refused(leaf, value, path)]
    if isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            return [Problem(path, "the text is empty", "write it, or delete the key")]
        if "pattern" in schema and re.search(schema["pattern"], value) is None:
            return [refused(leaf, value, path)]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if value < schema.get("minimum", value):
            return [Problem(path, f"{value} is too small", f"write {schema['minimum']} or more", code="RB011")]
        if value > schema.get("maximum", value):
            return [Problem(path, f"{value} is too large", f"write {schema['maximum']} or less", code="RB011")]
    return []


def _names(value: dict[str, Any], pattern: str, path: Path) -> list[Problem]:
    return [
        Problem(
            (*path, key),
            f"`{key}` can't be read in an expression",
            "write a name of letters, digits and _",
            key=True,
        )
        for key in value
        if re.search(pattern, key) is None
    ]


def _one_of(value: dict[str, Any], schema: Schema, path: Path) -> list[Problem]:
    choices = [part["required"][0] for part in schema["oneOf"]]
    present = [key for key in value if key in choices]
    if len(present) == 1:
        return []
    listed = ", ".join(choices[:-1]) + f" and {choices[-1]}"
    if present:
        at, message = (*path, present[1]), f"{article(schema['title'])} takes one of {listed}"
        return [Problem(at, message, f"keep `{present[0]}` or `{present[1]}`", key=True)]
    return [Problem(path, f"{article(schema['title'])} needs one of {listed}", f"write {{{choices[0]}: …}}")]
