"""Dataclasses that are made in a fifteenth of the time: `@frozen` is `@dataclass(frozen=True)` without its code.

The standard library writes and compiles six methods for each class, half a millisecond a class; a hundred of them were
a quarter of what `runbook lint` took. Here the methods are shared functions that ask the class for its fields. What
they make is a dataclass to everybody: `dataclasses.fields`, `replace`, `asdict` and `is_dataclass` work. The library
itself is not imported before somebody asks it (it brings `inspect` along, a third of what an agent's start took). A
class whose instances are made by the hundred thousand is better off with the original.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import field as standard
    from typing import Any, TypeVar

    from typing_extensions import dataclass_transform

    Class = TypeVar("Class")
else:
    standard = None

    def dataclass_transform(**_: object) -> Callable[[Class], Class]:
        """Tell type checkers, and nobody else."""
        return lambda decorator: decorator


class Field:
    """A field of a class.

    Args:
        name: its name.
        type_: its annotation.
        default: its default; `MISSING` where there is none.
        default_factory: makes its default; `MISSING` where there is none.
    """

    def __init__(self, name: str, type_: Any, default: Any, default_factory: Any) -> None:
        self.name, self.type = name, type_
        self.default, self.default_factory = default, default_factory

    @property
    def required(self) -> bool:
        """It has no default."""
        return self.default is MISSING and self.default_factory is MISSING

    def standard(self) -> Any:
        """Return it as the standard library has it."""
        import dataclasses

        given: dict[str, Any] = {"default": self.default, "default_factory": self.default_factory}
        made: Any = dataclasses.field(**{name: value for name, value in given.items() if value is not MISSING})
        made.name, made.type = self.name, self.type
        made._field_type = dataclasses._FIELD  # type: ignore[attr-defined]  # noqa: SLF001 -- what `fields` asks for
        return made


class _Missing:
    """Stands where there is no default."""


MISSING = _Missing()


def field(*, default_factory: Callable[[], Any]) -> Any:
    """Return what stands for a default that is made anew for each instance."""
    return Field("", None, MISSING, default_factory)


@dataclass_transform(frozen_default=True, field_specifiers=(standard, field))
def frozen(cls: type[Class]) -> type[Class]:
    """Make a class of annotated fields a frozen dataclass.

    Raises:
        TypeError: a field without a default follows one with a default.

    Example:
        >>> @frozen
        ... class Point:
        ...     x: int
        ...     y: int = 0
        >>> Point(1)
        Point(x=1, y=0)
    """
    return _made(cls, _FROZEN)


@dataclass_transform(field_specifiers=(standard, field))
def thawed(cls: type[Class]) -> type[Class]:
    """Make a class of annotated fields a dataclass whose instances can be changed.

    Raises:
        TypeError: a field without a default follows one with a default.
    """
    return _made(cls, _THAWED)


def fields(cls: Any) -> tuple[Field, ...]:
    """Return the fields of a dataclass or of an instance, whoever made it one, in order."""
    cls = cls if isinstance(cls, type) else type(cls)
    return tuple(_known(cls).values())


def replace(made: Class, **changes: Any) -> Class:
    """Return an instance with other values in some fields."""
    given: Any = {name: getattr(made, name) for name in _known(type(made))}
    given.update(changes)
    return type(made)(**given)


def _made(cls: type[Class], methods: dict[str, Any]) -> type[Class]:
    known: dict[str, Field] = {}
    for base in reversed(cls.__mro__[1:]):
        known.update(_own(base))
    for name, annotation in vars(cls).get("__annotations__", {}).items():
        if not _of_the_class(annotation):
            known[name] = _field(cls, name, annotation)
    _ordered(cls, known)
    made: Any = cls
    made.__frozen_fields__ = known
    made.__dataclass_fields__ = _FIELDS
    made.__dataclass_params__ = _PARAMS
    setattr(made, "__match_args__", tuple(known))  # noqa: B010 -- mypy knows better
    for name, method in methods.items():
        if name not in cls.__dict__ or name == "__hash__":
            setattr(made, name, method)
    return cls


def _known(cls: type) -> dict[str, Field]:
    for base in cls.__mro__:
        found = _own(base)
        if found:
            return found
    return {}


def _own(cls: type) -> dict[str, Field]:
    """Return the fields of a class that was made a dataclass itself, by us or by the standard library."""
    ours: dict[str, Field] | None = cls.__dict__.get("__frozen_fields__")
    if ours is not None:
        return ours
    theirs = cls.__dict__.get("__dataclass_fields__")
    return {} if theirs is None or theirs is _FIELDS else {each.name: _light(each) for each in _proper(theirs)}


def _proper(theirs: dict[str, Any]) -> list[Any]:
    import dataclasses

    return [each for each in theirs.values() if each._field_type is dataclasses._FIELD]  # type: ignore[attr-defined]  # noqa: SLF001


def _light(given: Any) -> Field:
    """Return a field of the standard library as one of ours."""
    import dataclasses

    default, factory = given.default, given.default_factory
    missing = dataclasses.MISSING
    return Field(
        given.name,
        given.type,
        MISSING if default is missing else default,
        MISSING if factory is missing else factory,
    )


def _field(cls: Any, name: str, annotation: Any) -> Field:
    """Return a field, and leave on the class what the standard library leaves there: the default, or nothing."""
    given = cls.__dict__.get(name, MISSING)
    library = sys.modules.get("dataclasses")
    if library is not None and isinstance(given, library.Field):
        made = _light(given)
    elif isinstance(given, Field):
        made = given
    else:
        made = Field(name, annotation, given, MISSING)
    if made.default is given:
        pass
    elif made.default is MISSING:
        delattr(cls, name)
    else:
        setattr(cls, name, made.default)
    if isinstance(made.default, (list, dict, set)):
        raise TypeError(f"{cls.__name__}.{name}: a mutable default; use field(default_factory=…)")
    made.name, made.type = name, annotation
    return made


def _of_the_class(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return annotation.startswith(("ClassVar", "typing.ClassVar"))
    typing = sys.modules.get("typing")
    if typing is None:
        return False
    return annotation is typing.ClassVar or getattr(annotation, "__origin__", None) is typing.ClassVar


def _ordered(cls: type[Any], known: dict[str, Field]) -> None:
    optional = ""
    for each in known.values():
        if not each.required:
            optional = each.name
        elif optional:
            raise TypeError(f"{cls.__name__}: {each.name} has no default and follows {optional}, which has one")


def _values(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, name) for name in type(self).__frozen_fields__)


def _init(self: Any, *args: Any, **given: Any) -> None:
    known = type(self).__frozen_fields__
    values = self.__dict__
    if len(args) > len(known):
        raise TypeError(f"{type(self).__name__}() takes {len(known)} arguments, {len(args)} were given")
    values.update(zip(known, args))
    if given:
        for name in given if values or not given.keys() <= known.keys() else ():
            if name not in known or name in values:
                problem = "twice the argument" if name in values else "an unexpected argument"
                raise TypeError(f"{type(self).__name__}() got {problem} {name!r}")
        values.update(given)
    for name, each in known.items() if len(values) < len(known) else ():
        if name not in values:
            if each.default is not MISSING:
                values[name] = each.default
            elif each.default_factory is not MISSING:
                values[name] = each.default_factory()
            else:
                raise TypeError(f"{type(self).__name__}() misses the argument {name!r}")
    finish = getattr(self, "__post_init__", None)
    if finish is not None:
        finish()


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in type(self).__frozen_fields__)
    return f"{type(self).__qualname__}({shown})"


def _eq(self: Any, other: object) -> Any:
    return _values(self) == _values(other) if type(self) is type(other) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _setattr(self: Any, name: str, value: object) -> None:
    del self, value
    import dataclasses

    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: Any, name: str) -> None:
    del self
    import dataclasses

    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


class _Fields:
    """What the standard library looks for on a class; made when it does."""

    def __get__(self, _instance: object, owner: Any) -> Any:
        made = {name: each.standard() for name, each in owner.__frozen_fields__.items()}
        owner.__dataclass_fields__ = made
        return made


class _Params:
    """The same, of what the decorator was given."""

    def __get__(self, _instance: object, owner: Any) -> Any:
        import dataclasses

        lends: Any = dataclasses.dataclass(frozen=owner.__setattr__ is _setattr)(type("Lends", (), {}))
        owner.__dataclass_params__ = lends.__dataclass_params__
        return owner.__dataclass_params__


_FIELDS, _PARAMS = _Fields(), _Params()
_THAWED = {"__init__": _init, "__repr__": _repr, "__eq__": _eq, "__hash__": None}
_FROZEN = {**_THAWED, "__hash__": _hash, "__setattr__": _setattr, "__delattr__": _delattr}
