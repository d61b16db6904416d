"""A module's instance from the parameters that travelled as JSON, and a record as what travels back."""

import enum
import typing
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple, Type, TypeVar, Union

from runbook.modules.declare import UNSEEN, Invalid, Kind, Probe, Record, Step, Unclear
from runbook.modules.formats.structure import DEEPEST, shallow
from runbook.modules.frozen import fields

Module = TypeVar("Module", Step, Probe)
_SCALARS = {str, int, float, bool, type(None)}
_SHOWN = 60  # characters of a value in a message
_KINDS: Mapping[type, str] = {str: "text", list: "list", tuple: "tuple", dict: "mapping"}


def build(cls: Type[Module], params: Mapping[str, Any]) -> Module:
    """Return the step or probe of a class with these parameters.

    Raises:
        Invalid: a parameter is unknown or missing, or they contradict each other.
    """
    known = {field.name.rstrip("_"): field for field in fields(cls)}  # `from` is the field `from_`
    for name in params:
        if name not in known:
            raise Invalid(f"no parameter {name!r}; there are {', '.join(known)}")
    missing = [name for name, field in known.items() if field.required and name not in params]
    if missing:
        raise Invalid(f"{', '.join(missing)} must be given")
    made = cls(**{known[name].name: _fit(known[name].type, value) for name, value in params.items()})
    made.check()
    return made


def paths(module: Union[Step, Probe], names: "typing.Container[str]") -> Iterator[str]:
    """Yield the values of the named parameters that are paths, by their kind or because they begin with a slash."""
    pathlike = getattr(module, "pathlike", ())
    for field in fields(module):
        always = _kind(field.type) is Kind.PATH
        if field.name not in names or not (always or field.name in pathlike):
            continue
        value = getattr(module, field.name)
        given = (value,) if isinstance(value, str) else value if isinstance(value, (tuple, list)) else ()
        yield from (item for item in given if isinstance(item, str) and (always or item.startswith("/")))


def shown(value: object) -> str:
    """Return a value that is out of place as the reader of a message knows it.

    Example:
        >>> shown("abc"), shown(5), shown(None)
        ("the text 'abc'", '5', 'None')
    """
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    kind = _KINDS.get(type(value))
    if kind is None:
        return f"something of the type {type(value).__name__}"
    said = repr(value)
    return f"the {kind} {said if len(said) <= _SHOWN else said[:_SHOWN] + '…'}"


def misfit(record: Record) -> str:
    """Say which field of a record holds a text where a number belongs, or the like; empty when none does."""
    for field in fields(record):
        value, wanted = getattr(record, field.name), _plain(field.type)
        if wanted and value is not UNSEEN and not isinstance(value, wanted):
            names = " or ".join(sorted("None" if each is type(None) else each.__name__ for each in wanted))
            return f"field `{field.name}` is {shown(value)}, not {names}"
    return ""


def travelling(record: Record, subject: Optional[str]) -> Dict[str, Any]:
    """Return a record as `{"subject": …, "fields": {…}, "unseen": […]}`.

    What could not be seen is named beside the fields: a mark in a value could come from the host.

    Raises:
        Unclear: its subject could not be seen, or a field is a structure that is too deep.
    """
    seen = {field.name: getattr(record, field.name) for field in fields(record)}
    unseen: List[str] = []
    if not _SCALARS.issuperset(map(type, seen.values())):
        unseen = [name for name, value in seen.items() if value is UNSEEN]
        for name, value in seen.items():
            if isinstance(value, (dict, list, tuple)) and not shallow(value):
                raise Unclear(f"its `{name}` is nested more than {DEEPEST} levels deep")
        if subject in unseen:
            raise Unclear(f"its subject ({subject}) could not be seen")
    named = seen.get(subject or "")
    known: Dict[str, Any] = {"subject": "" if named is None else str(named), "fields": seen}
    return {**known, "fields": {**seen, **dict.fromkeys(unseen)}, "unseen": unseen} if unseen else known


def _fit(hint: Any, value: Any) -> Any:
    """Give back what JSON took away: tuples and enums."""
    if isinstance(value, list):
        inner = _tuple(hint)
        return tuple(_fit(inner, item) for item in value) if inner is not None else value
    bare = _bare(hint)
    if isinstance(bare, type) and issubclass(bare, enum.Enum) and not isinstance(value, bare):
        return bare(value)
    return value


def _tuple(hint: Any) -> Any:
    """Return the type of a tuple's items when the hint allows a tuple, else None."""
    bare = _bare(hint)
    if typing.get_origin(bare) is tuple:
        return (typing.get_args(bare) or (Any,))[0]
    if typing.get_origin(bare) is Union:
        return next((inner for part in typing.get_args(bare) if (inner := _tuple(part)) is not None), None)
    return None


def _plain(hint: Any) -> Tuple[type, ...]:
    """Return the types that a field's value may have, where they are scalars; nothing when it can be anything."""
    bare = _bare(hint)
    if typing.get_origin(bare) is Union:
        parts = [_plain(part) for part in typing.get_args(bare)]
        return tuple(kind for part in parts for kind in part) if all(parts) else ()
    if bare is float:
        return (float, int)
    return (bare,) if bare in {int, bool, str, type(None)} else ()


def _bare(hint: Any) -> Any:
    return hint.__origin__ if hasattr(hint, "__metadata__") else hint


def _kind(hint: Any) -> Optional[Kind]:
    for mark in getattr(hint, "__metadata__", ()):
        if isinstance(mark, Kind):
            return mark
    return next((kind for part in typing.get_args(hint) if (kind := _kind(part)) is not None), None)
