"""The class that a module's definition would make: fields with types and defaults, and what it says of itself."""

from __future__ import annotations

import ast
import types
import typing
from collections.abc import Mapping as AbstractMapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from runbook.engine.language.own.values import Unreadable
from runbook.modules.declare import Kind, Probe, Record, Step
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from runbook.engine.language.own.values import Names

_PLAIN: Final = (str, int, float, bool, bytes, Any, object, type(None), dict, list, tuple, AbstractMapping)
_MEND = "parameters are text, numbers, true or false, the kinds of declare.py, lists, mappings, and Literal of these"


class Wrong(Exception):
    """What keeps a class from being one."""

    def __init__(self, problems: list[Unreadable]) -> None:
        super().__init__(problems[0].what)
        self.all = problems


class Shape:
    """A class definition as far as it can be known without running it."""

    def __init__(self, node: ast.ClassDef, names: Names, source: str) -> None:
        self._node = node
        self._names = names
        self._source = source
        self.fields: dict[str, ast.AST] = {}  # by name, where they stand
        self.attributes: dict[str, tuple[Any, ast.AST]] = {}  # what the class says of itself
        self._problems: list[Unreadable] = []

    def make(self, base: type[Step | Probe | Record], module: str) -> Any:
        """Return a class that has the parameters and says the same of itself; it does nothing.

        Raises:
            Wrong: there would be none.
        """
        body: dict[str, Any] = {
            "__annotations__": {},
            "__doc__": ast.get_docstring(self._node, clean=False),
            "__module__": module,
            "__runbook_source__": self._source,
        }
        known = _said_by(base)
        for statement in self._node.body:
            try:
                self._take(statement, body, known)
            except Unreadable as problem:
                self._problems.append(problem)
        if self._problems:
            raise Wrong(self._problems)
        try:
            return frozen(type(self._node.name, (base,), body))
        except TypeError as error:
            raise Wrong([Unreadable(self._node, str(error))]) from error

    def _take(self, statement: ast.stmt, body: dict[str, Any], known: frozenset[str]) -> None:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            if name in known:
                self._say(name, statement.value, body)
            elif not name.startswith("_"):
                self._unknown(statement, name, known)
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            name = statement.target.id
            if _of_the_class(statement.annotation):
                if name in known and statement.value is not None:
                    self._say(name, statement.value, body)
            elif name in known:
                where = f"`{name}: {ast.unparse(statement.annotation)}` would be a parameter"
                raise Unreadable(statement, where, f"write `{name} = …`")
            else:
                self._field(statement, name, body)

    def _say(self, name: str, node: ast.expr, body: dict[str, Any]) -> None:
        value = self._names.value(node)
        self.attributes[name] = value, node
        body[name] = tuple(value) if isinstance(value, list) else value

    def _unknown(self, statement: ast.Assign, name: str, known: frozenset[str]) -> None:
        from runbook.engine.language.nearest import nearest

        near = nearest(name, known)
        if near:
            raise Unreadable(statement, f"`{name}` means nothing here", f"did you mean {near}?")

    def _field(self, statement: ast.AnnAssign, name: str, body: dict[str, Any]) -> None:
        self.fields[name] = statement
        if isinstance(statement.annotation, ast.Constant) and isinstance(statement.annotation.value, str):
            raise Unreadable(statement.annotation, "the type is a text", "write the type itself, without quotes")
        hint = self._names.value(statement.annotation)
        if not _usable(hint):
            said = f"`{name}` can't be of the type `{ast.unparse(statement.annotation)}`"
            raise Unreadable(statement.annotation, said, _MEND)
        body["__annotations__"][name] = hint
        if statement.value is None:
            return
        value = self._names.value(statement.value)
        if isinstance(value, list | dict | set):
            said = f"the default of `{name}` could be changed"
            raise Unreadable(statement.value, said, "write field(default_factory=…)")
        if isinstance(value, type | types.ModuleType):
            raise Unreadable(statement.value, f"the default of `{name}` is no value")
        body[name] = value


def _said_by(base: type[Step | Probe | Record]) -> frozenset[str]:
    hints = vars(base).get("__annotations__", {})
    return frozenset(name for name, hint in hints.items() if typing.get_origin(hint) is ClassVar)


def _of_the_class(annotation: ast.expr) -> bool:
    outer = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return ast.unparse(outer).rpartition(".")[2] == "ClassVar"


def _usable(hint: Any) -> bool:
    """Whether a runbook's value can become one of this type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return any(isinstance(extra, Kind) for extra in hint.__metadata__) or _usable(arguments[0])
    if origin is typing.Literal:
        return all(isinstance(each, str | int | bool) for each in arguments)
    if origin in {typing.Union, types.UnionType, list, tuple, dict} or (
        isinstance(origin, type) and issubclass(origin, AbstractMapping)
    ):
        return all(_usable(each) for each in arguments if each is not Ellipsis)
    return hint is None or any(hint is each for each in _PLAIN)
