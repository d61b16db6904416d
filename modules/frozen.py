"""Frozen dataclasses that are made in a fifteenth of the time: `@frozen` is `@dataclass(frozen=True)` without its code.

The standard library writes and compiles six methods for each class, half a millisecond a class; a hundred of them were
a quarter of what `runbook lint` took. Here the methods are shared functions that ask the class for its fields. What
they make is a dataclass to everybody: `dataclasses.fields`, `replace`, `asdict` and `is_dataclass` work. A class whose
instances are made by the hundred thousand is better off with the original.
"""

import dataclasses
import typing
from typing import TYPE_CHECKING, Any, Callable, Dict, Tuple, Type, TypeVar

Class = TypeVar("Class")

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: object) -> Callable[[Class], Class]:
        """Tell type checkers, and nobody else."""
        return lambda decorator: decorator


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def frozen(cls: Type[Class]) -> Type[Class]:
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
    known: Dict[str, Any] = {}
    for base in reversed(cls.__mro__[1:]):
        known.update(getattr(base, "__dataclass_fields__", {}))
    for name, annotation in vars(cls).get("__annotations__", {}).items():
        if _of_the_class(annotation):
            continue
        given = cls.__dict__.get(name, dataclasses.MISSING)
        field: Any = given if isinstance(given, dataclasses.Field) else dataclasses.field(default=given)
        if isinstance(given, dataclasses.Field):
            _default(cls, name, field)
        if isinstance(field.default, (list, dict, set)):
            raise TypeError(f"{cls.__name__}.{name}: a mutable default; use field(default_factory=…)")
        field.name, field.type = name, annotation
        field._field_type = dataclasses._FIELD  # type: ignore[attr-defined]  # noqa: SLF001 -- what `fields` asks for
        known[name] = field
    _ordered(cls, known)
    made: Any = cls
    made.__dataclass_fields__ = known
    made.__dataclass_params__ = _PARAMS
    setattr(made, "__match_args__", tuple(known))  # noqa: B010 -- mypy knows better
    for name, method in _METHODS.items():
        if name not in cls.__dict__ or name == "__hash__":
            setattr(made, name, method)
    return cls


def _of_the_class(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return annotation.startswith(("ClassVar", "typing.ClassVar"))
    return annotation is typing.ClassVar or typing.get_origin(annotation) is typing.ClassVar


def _default(cls: Any, name: str, field: Any) -> None:
    """Leave on the class what the standard library leaves there: the default, or nothing."""
    if field.default is dataclasses.MISSING:
        delattr(cls, name)
    else:
        setattr(cls, name, field.default)


def _ordered(cls: Type[Any], known: Dict[str, Any]) -> None:
    optional = ""
    for field in known.values():
        if field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING:
            optional = field.name
        elif optional:
            raise TypeError(f"{cls.__name__}: {field.name} has no default and follows {optional}, which has one")


def _values(self: Any) -> Tuple[Any, ...]:
    return tuple(getattr(self, name) for name in type(self).__dataclass_fields__)


def _init(self: Any, *args: Any, **given: Any) -> None:
    fields = type(self).__dataclass_fields__
    values = self.__dict__
    if len(args) > len(fields):
        raise TypeError(f"{type(self).__name__}() takes {len(fields)} arguments, {len(args)} were given")
    values.update(zip(fields, args))
    for name in given:
        if name not in fields or name in values:
            problem = "twice the argument" if name in values else "an unexpected argument"
            raise TypeError(f"{type(self).__name__}() got {problem} {name!r}")
    values.update(given)
    for name, field in fields.items():
        if name not in values:
            if field.default is not dataclasses.MISSING:
                values[name] = field.default
            elif field.default_factory is not dataclasses.MISSING:
                values[name] = field.default_factory()
            else:
                raise TypeError(f"{type(self).__name__}() misses the argument {name!r}")
    finish = getattr(self, "__post_init__", None)
    if finish is not None:
        finish()


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in type(self).__dataclass_fields__)
    return f"{type(self).__qualname__}({shown})"


def _eq(self: Any, other: object) -> Any:
    return _values(self) == _values(other) if type(self) is type(other) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _setattr(self: Any, name: str, value: object) -> None:
    del self, value
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: Any, name: str) -> None:
    del self
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


@dataclasses.dataclass(frozen=True)
class _Example:
    """Lends its parameters: `replace` and others look at them."""


_PARAMS = _Example.__dataclass_params__  # type: ignore[attr-defined]
_METHODS = {
    "__init__": _init,
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
}
