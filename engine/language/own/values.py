"""What an expression in a module's file stands for, found without running the file: types, constants, defaults."""

from __future__ import annotations

import ast
import builtins
import dataclasses
import importlib
import operator
import types
import typing
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.language.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_READABLE: Final = frozenset({"typing", "typing_extensions", "dataclasses", "enum", "collections.abc"})
_BUILTIN: Final = frozenset({
    *("str", "int", "float", "bool", "bytes", "list", "dict", "tuple", "set", "frozenset", "object"),
})  # fmt: skip
_NUMBERS: Final[Mapping[type, Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.LShift: operator.lshift,
}  # fmt: skip
_LARGEST = 1 << 62
_UNRUN = "the file is read without running it: write the value"
_FACTORIES: Final = (dict, list, tuple, set, frozenset)


class Unreadable(Exception):
    """An expression whose value only running the file would tell; `node` is the part that is why."""

    def __init__(self, node: ast.AST, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.node = node
        self.what = what
        self.hint = hint


class Names:
    """The names of a file: what it imports and what it defines at its top."""

    def __init__(self, tree: ast.Module, classes: Callable[[ast.ClassDef], Any]) -> None:
        self._classes = classes
        self._defined: dict[str, ast.stmt] = {}
        self._imported: dict[str, tuple[ast.stmt, str, str | None]] = {}
        self._known: dict[str, Any] = {}
        self._open: set[str] = set()
        self.newer: list[ast.AST] = []  # `X | Y` as a type, which Python 3.9 can't evaluate
        for statement in tree.body:
            self._take(statement)

    def classes(self) -> list[ast.ClassDef]:
        """Return the classes that the file defines at its top."""
        return [node for node in self._defined.values() if isinstance(node, ast.ClassDef)]

    def value(self, node: ast.expr) -> Any:
        """Return what an expression stands for.

        Raises:
            Unreadable: only running the file would tell.
        """
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return self._named(node, node.id)
        if isinstance(node, ast.Attribute):
            return self._attribute(node)
        if isinstance(node, ast.Subscript):
            return self._subscript(node)
        if isinstance(node, ast.Tuple):
            return tuple(map(self.value, node.elts))
        if isinstance(node, ast.List):
            return list(map(self.value, node.elts))
        if isinstance(node, ast.Set):
            return set(map(self.value, node.elts))
        if isinstance(node, ast.Dict) and None not in node.keys:
            return {self.value(key): self.value(item) for key, item in zip(node.keys, node.values, strict=True) if key}
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd | ast.Not):
            return self._unary(node)
        if isinstance(node, ast.BinOp):
            return self._binary(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        raise Unreadable(node, f"`{_short(node)}` is no plain value", _UNRUN)

    def _take(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Import):
            for each in statement.names:
                name = each.asname or each.name.partition(".")[0]
                self._imported[name] = (statement, each.name if each.asname else name, None)
        elif isinstance(statement, ast.ImportFrom):
            for each in statement.names:
                self._imported[each.asname or each.name] = (statement, statement.module or "", each.name)
        elif isinstance(statement, ast.ClassDef | ast.FunctionDef):
            self._defined[statement.name] = statement
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            self._defined[statement.targets[0].id] = statement
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            self._defined[statement.target.id] = statement

    def _named(self, node: ast.AST, name: str) -> Any:
        if name in self._known:
            return self._known[name]
        if name in self._open:
            raise Unreadable(node, f"`{name}` needs itself")
        self._open.add(name)
        try:
            self._known[name] = self._found(node, name)
        finally:
            self._open.discard(name)
        return self._known[name]

    def _found(self, node: ast.AST, name: str) -> Any:
        defined = self._defined.get(name)
        if isinstance(defined, ast.ClassDef):
            return self._classes(defined)
        if isinstance(defined, ast.Assign | ast.AnnAssign) and defined.value is not None:
            return self.value(defined.value)
        if isinstance(defined, ast.FunctionDef):
            raise Unreadable(node, f"`{name}` would have to be run", _UNRUN)
        if name in self._imported:
            statement, module, member = self._imported[name]
            return self._import(statement, node, module, member)
        if name in _BUILTIN:
            return getattr(builtins, name)
        near = nearest(name, {*self._defined, *self._imported, *_BUILTIN})
        hint = f"did you mean {near}?" if near else "import it"
        raise Unreadable(node, f"`{name}` is not defined in this file", hint)

    def _import(self, statement: ast.stmt, node: ast.AST, module: str, member: str | None) -> Any:
        if not (module in _READABLE or module == "runbook.modules" or module.startswith("runbook.modules.")):
            what = f"`{_short(node)}` comes from {module or 'another file'}, which is not read"
            raise Unreadable(node, what, "write what it stands for in this file")
        try:
            loaded: Any = importlib.import_module(module)
        except ImportError:
            raise Unreadable(statement, f"there is no `{module}`") from None
        if member is None:
            return loaded
        try:
            return getattr(loaded, member)
        except AttributeError:
            near = nearest(member, [name for name in vars(loaded) if not name.startswith("_")])
            hint = f"did you mean {near}?" if near else ""
            raise Unreadable(statement, f"there is no `{member}` in {module}", hint) from None

    def _attribute(self, node: ast.Attribute) -> Any:
        owner = self.value(node.value)
        if isinstance(owner, types.ModuleType | type) and not node.attr.startswith("_") and hasattr(owner, node.attr):
            return getattr(owner, node.attr)
        members = [name for name in dir(owner) if not name.startswith("_")] if isinstance(owner, type) else []
        near = nearest(node.attr, members)
        hint = f"did you mean {near}?" if near else ""
        raise Unreadable(node, f"`{_short(node)}` is nothing that is known", hint)

    def _subscript(self, node: ast.Subscript) -> Any:
        owner = self.value(node.value)
        try:
            return owner[self.value(node.slice)]
        except Unreadable:
            raise
        except Exception:  # noqa: BLE001 -- typing refuses in many ways
            raise Unreadable(node, f"`{_short(node)}` is no type") from None

    def _unary(self, node: ast.UnaryOp) -> Any:
        inner = self.value(node.operand)
        if isinstance(node.op, ast.Not):
            return not inner
        if not isinstance(inner, int | float):
            raise Unreadable(node, f"`{_short(node)}` is no number")
        return -inner if isinstance(node.op, ast.USub) else inner

    def _binary(self, node: ast.BinOp) -> Any:
        left, right = self.value(node.left), self.value(node.right)
        if isinstance(node.op, ast.BitOr):
            self.newer.append(node)
            return typing.Union[left, right]  # noqa: UP007 -- made, not written
        work = _NUMBERS.get(type(node.op))
        numbers = all(isinstance(each, int | float) and abs(each) <= _LARGEST for each in (left, right))
        joined = isinstance(node.op, ast.Add) and isinstance(left, str | tuple) and type(left) is type(right)
        if work is None or not (numbers or joined) or (isinstance(node.op, ast.LShift) and not 0 <= right <= 64):
            raise Unreadable(node, f"`{_short(node)}` is not worked out without running the file", "write its value")
        try:
            return work(left, right)
        except (ArithmeticError, TypeError) as error:
            raise Unreadable(node, f"`{_short(node)}`: {error}") from None

    def _call(self, node: ast.Call) -> Any:
        called = node.func.id if isinstance(node.func, ast.Name) else ""
        unknown = called not in self._defined and called not in self._imported and called not in _BUILTIN
        if isinstance(self._defined.get(called), ast.FunctionDef) or (unknown and hasattr(builtins, called)):
            raise Unreadable(node, f"`{_short(node)}` would have to be run", _UNRUN)
        function = self.value(node.func)
        given = {each.arg: each.value for each in node.keywords}
        if function is dataclasses.field and not node.args:
            if "default" in given:
                return self.value(given["default"])
            factory = given.get("default_factory")
            made = self.value(factory) if isinstance(factory, ast.Name) else None
            if made in _FACTORIES:
                return dataclasses.field(default_factory=made)
        if function in _FACTORIES and not given and len(node.args) <= 1:
            return function(*map(self.value, node.args))
        raise Unreadable(node, f"`{_short(node)}` would have to be run", _UNRUN)


def _short(node: ast.AST) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 50 else text[:49] + "…"
