"""A module's parameters and a record's fields, from its class; and the values that YAML gives them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from runbook.engine.language import meanings  # noqa: F401 -- it fills in KINDS
from runbook.engine.language.describe import Class, comments, description, example, once
from runbook.engine.language.kinds import KINDS, Coercer, coercer, is_template
from runbook.engine.language.nearest import nearest
from runbook.modules.declare import Invalid, Kind, Probe, Record, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Class",
    "Parameter",
    "Wrong",
    "build",
    "coerce",
    "description",
    "example",
    "fields",
    "first",
    "one",
    "problems",
    "record_fields",
    "spread",
]

_NONE = type(None)


class Wrong(ValueError):
    """A parameter's value that a module can't take; the message says what it can."""

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(f"{parameter}: {message}" if parameter else message)
        self.parameter = parameter
        self.message = message


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter of a module, or one field of a probe's records."""

    name: str
    kind: Kind | None  # of the value, or of the items of a list
    type: Any  # its annotation, resolved
    default: Any
    required: bool
    choices: tuple[Any, ...]  # of a closed set, in order; empty = open
    owner: Class
    attribute: str  # the class's own name for it: `from_` for `from`, which Python keeps for itself

    @property
    def description(self) -> str:
        """The comment that stands behind the field."""
        return comments(self.owner).get(self.attribute, "")

    @property
    def optional(self) -> bool:
        """It may be null."""
        return _NONE in get_args(self.type)

    @property
    def many(self) -> bool:
        """It is a list."""
        return any(get_origin(part) in {list, tuple} or _kind(part) is Kind.ARGV for part in _parts(self.type))


@once
def fields(cls: Class) -> Mapping[str, Parameter]:
    """Return a class's parameters (or a record class's fields) by name, in the order of the file."""
    hints = get_type_hints(cls, include_extras=True)
    found = {}
    for item in dataclasses.fields(cls):
        hint = hints[item.name]
        if get_origin(hint) is ClassVar or not item.init or item.name.startswith("_"):  # what the engine fills in
            continue
        default = item.default
        if item.default_factory is not dataclasses.MISSING:
            default = item.default_factory()
        required = default is dataclasses.MISSING
        name = item.name if issubclass(cls, Record) else item.name.rstrip("_")
        shown = None if required else default
        found[name] = Parameter(name, _kind(hint), hint, shown, required, _choices(hint), cls, item.name)
    return found


def record_fields(cls: type[Probe]) -> Mapping[str, Parameter]:
    """Return the fields of a probe's records by name; none where it declares no record."""
    record = getattr(cls, "record", None)
    return fields(record) if record is not None else {}


def first(cls: Class) -> str | None:
    """Return the parameter that a scalar stands for."""
    return getattr(cls, "first", None) or next(iter(fields(cls)), None)


def spread(cls: Class, given: Any) -> Mapping[str, Any]:
    """Return what was written behind a module's name as a mapping of parameters: `wait: 30s` is `{duration: 30s}`.

    Raises:
        Wrong: it is a scalar or a list, and the module's first parameter takes none.
    """
    if isinstance(given, Mapping):
        return given
    if given is None:
        return {}
    name = first(cls)
    if name is None:
        raise Wrong("", f"takes no parameters, but {_shown(given)} is given")
    if isinstance(given, list) and not fields(cls)[name].many:
        raise Wrong(name, "is one value, not a list")
    return {name: given}


def problems(
    cls: Class, given: Mapping[str, Any], *, rendered: bool = False, literal_only: bool = False
) -> Iterator[Wrong]:
    """Yield everything that is wrong with parameters: unknown and missing names, and each value that does not fit."""
    known = fields(cls)
    for name, value in given.items():
        parameter = known.get(name)
        if parameter is None:
            yield _unknown(name, known)
            continue
        try:
            _coerced(parameter, value, rendered=rendered, literal_only=literal_only)
        except Wrong as wrong:
            yield wrong
    for name in known:
        if known[name].required and name not in given:
            yield Wrong(name, f"is required{_because(known[name])}")


def coerce(
    cls: Class, given: Mapping[str, Any], *, rendered: bool = False, literal_only: bool = False
) -> dict[str, Any]:
    """Turn YAML's values into those that a module's class takes; what is not given stays out.

    Args:
        cls: the module's class.
        given: its parameters; a value that is an Expression passes through untouched.
        rendered: the values come from templates: a number is seconds or bytes, and text may hold a number.
        literal_only: an Expression is wrong here.

    Raises:
        Wrong: a name or value does not fit; `problems` yields all of them.
    """
    for wrong in problems(cls, given, rendered=rendered, literal_only=literal_only):
        raise wrong
    known = fields(cls)
    return {
        name: _coerced(known[name], value, rendered=rendered, literal_only=literal_only)
        for name, value in given.items()
    }


def one(parameter: Parameter, given: Any) -> Any:
    """Turn one literal value into what its parameter, or its record's field, takes.

    Raises:
        Wrong: it does not fit.
    """
    return _coerced(parameter, given, rendered=False, literal_only=True)


def build(cls: type[Step | Probe], given: Mapping[str, Any], *, rendered: bool = True) -> Any:
    """Return an instance of a module's class from values that hold no templates.

    Raises:
        Wrong: a value does not fit, or parameters contradict each other.
    """
    values = coerce(cls, given, rendered=rendered, literal_only=True)
    made = cls(**{fields(cls)[name].attribute: value for name, value in values.items()})
    try:
        made.check()
    except Invalid as invalid:
        raise Wrong("", str(invalid)) from invalid
    return made


def _coerced(parameter: Parameter, value: Any, *, rendered: bool, literal_only: bool) -> Any:
    if is_template(value) and parameter.kind is not Kind.CONDITION:
        if literal_only:
            raise Wrong(parameter.name, "can't hold a template here: write the value itself")
        return value
    if value == [] and parameter.default == ():
        return ()  # as if it were not given: templates can't leave a parameter out
    try:
        return _coercers(parameter.owner)[parameter.name](value, rendered)
    except Wrong as wrong:
        inner = f"{wrong.parameter}: {wrong.message}" if wrong.parameter else wrong.message
        raise Wrong(parameter.name, inner) from wrong
    except ValueError as error:
        raise Wrong(parameter.name, str(error)) from error


@once
def _coercers(owner: Class) -> Mapping[str, Coercer]:
    return {name: coercer(parameter.type) for name, parameter in fields(owner).items()}


def _probe_call(value: Any, rendered: bool) -> Mapping[str, Any]:
    """Type a parameter that holds a probe: `{http: http://localhost/}` or `{http: {url: …}}`."""
    from runbook.modules import catalogue

    if isinstance(value, str):
        value = {value: None}
    if not isinstance(value, Mapping) or len(value) != 1:
        raise ValueError("expected one probe, such as {port: 8000}")
    [(name, given)] = value.items()
    if name not in catalogue.probe_names():
        near = nearest(str(name), catalogue.probe_names())
        raise ValueError(f"there is no probe '{name}'{f'; did you mean {near}?' if near else ''}")
    if is_template(given):
        return {name: given}
    cls = catalogue.probe(name)
    return {name: coerce(cls, spread(cls, given), rendered=rendered)}


KINDS[Kind.PROBE] = _probe_call


def _unknown(name: str, known: Mapping[str, Parameter]) -> Wrong:
    near = nearest(str(name), known)
    if near:
        return Wrong(str(name), f"is no parameter here; did you mean {near}?")
    return Wrong(str(name), f"is no parameter here; there {'are' if known else 'are none'}{_listed(known)}")


def _listed(known: Mapping[str, Parameter]) -> str:
    return f" {', '.join(known)}" if known else ""


def _because(parameter: Parameter) -> str:
    return f" ({parameter.description})" if parameter.description else ""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"


def _parts(hint: Any) -> Iterator[Any]:
    if get_origin(hint) is Union or type(hint).__name__ == "UnionType":
        for part in get_args(hint):
            yield from _parts(part)
    else:
        yield hint


def _kind(hint: Any) -> Kind | None:
    if get_origin(hint) is Annotated:
        return next((extra for extra in hint.__metadata__ if isinstance(extra, Kind)), None) or _kind(hint.__origin__)
    for part in get_args(hint) if get_origin(hint) not in {None, Literal} else ():
        found = _kind(part)
        if found is not None:
            return found
    return None


def _choices(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) is Annotated:
        return _choices(hint.__origin__)
    if get_origin(hint) is Literal:
        return get_args(hint)
    for part in get_args(hint):
        found = _choices(part) if get_origin(part) is not None else ()
        if found:
            return found
    return ()
