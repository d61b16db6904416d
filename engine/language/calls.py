"""Closures of filters, tests and the few methods of texts that an expression may call."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from jinja2 import nodes

from runbook.engine.language import filters, grammar
from runbook.engine.language.closures import MAKERS, Closure, Scope, Undefined, always, closure, shown
from runbook.engine.language.nearest import nearest
from runbook.engine.language.patterns import compiled
from runbook.engine.language.tokens import Syntax
from runbook.engine.language.truth import compare, truth
from runbook.engine.model import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable


def _filter(node: nodes.Filter) -> Closure:
    if node.node is None:
        raise Syntax("a filter stands behind a value: value | filter", node.lineno)
    inner = closure(node.node)
    if node.name in {filters.DEFAULT, "d"}:
        return _default(node, inner)
    function = filters.FILTERS.get(node.name)
    if function is None:
        raise _no("filter", node.name, [*filters.FILTERS, filters.DEFAULT], node.lineno)
    return _applied(function, inner, node, f"the filter {node.name}")


def _default(node: nodes.Filter, inner: Closure) -> Closure:
    given = [closure(arg) for arg in node.args] + [closure(pair.value) for pair in node.kwargs]
    if len(given) > 2 or any(pair.key != "boolean" for pair in node.kwargs) or node.dyn_args or node.dyn_kwargs:
        raise Syntax("the filter default takes the value, and true to replace what is empty too", node.lineno)
    fallback = given[0] if given and node.args else always("")
    boolean = given[-1] if len(given) > 1 or node.kwargs else None

    def replace(scope: Scope) -> Any:
        try:
            value = inner(scope)
        except Undefined:
            return fallback(scope)
        if value is not UNKNOWN and not value and boolean is not None and truth(boolean(scope)) is True:
            return fallback(scope)
        return value

    return replace


def _applied(function: Callable[..., Any], inner: Closure, node: Any, what: str) -> Closure:
    """Return the closure that calls an allowed function with a value and what stands in the parentheses."""
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        raise Syntax(f"{what} takes no * or **", node.lineno)
    args = [closure(arg) for arg in node.args]
    named = {pair.key: closure(pair.value) for pair in node.kwargs}
    try:
        inspect.signature(function).bind(None, *args, **named)
    except TypeError as error:
        raise Syntax(f"{what} is not used like this: {error}", node.lineno) from None

    def apply(scope: Scope) -> Any:
        value = inner(scope)
        given = [arg(scope) for arg in args]
        by_name = {key: arg(scope) for key, arg in named.items()}
        if value is UNKNOWN or UNKNOWN in map(_identity, given) or UNKNOWN in map(_identity, by_name.values()):
            return UNKNOWN
        try:
            return function(value, *given, **by_name)
        except (TypeError, ValueError, LookupError, ArithmeticError):
            return UNKNOWN  # it can't be done with this value

    return apply


def _identity(value: Any) -> Any:
    return value if value is UNKNOWN else None


def _test(node: nodes.Test) -> Closure:
    inner = closure(node.node)
    if node.name in filters.DEFINED:
        return _defined(inner, node.name == "defined")
    if node.name in filters.PATTERNS:
        return _pattern(node, inner)
    if node.name in filters.COMPARING and len(node.args) == 1:
        name, other = filters.COMPARING[node.name], closure(node.args[0])
        return lambda scope: compare(name, inner(scope), other(scope))
    function = filters.TESTS.get(node.name)
    if function is None:
        known = [*filters.TESTS, *filters.COMPARING, *filters.DEFINED, *filters.PATTERNS]
        raise _no("test", node.name, known, node.lineno)
    return _applied(function, inner, node, f"the test {node.name}")


def _defined(inner: Closure, wanted: bool) -> Closure:
    def ask(scope: Scope) -> bool:
        try:
            inner(scope)
        except Undefined:
            return not wanted
        return wanted

    return ask


def _pattern(node: nodes.Test, inner: Closure) -> Closure:
    pattern = grammar.constant(node.args[0]) if len(node.args) == 1 and not node.kwargs else None
    if pattern is None or type(pattern) is not str:
        raise Syntax(f"'is {node.name}' takes one regular expression, written out: is {node.name}('…')", node.lineno)
    try:
        find = compiled(pattern, anchored=node.name == "match")
    except ValueError as error:
        raise Syntax(str(error), node.args[0].lineno) from None

    def ask(scope: Scope) -> Any:
        value = inner(scope)
        return find(value) if isinstance(value, str) else UNKNOWN

    return ask


def _call(node: nodes.Call) -> Closure:
    if not isinstance(node.node, nodes.Getattr):
        name = shown(node.node)
        near = nearest(name, filters.FILTERS)
        hint = f": write value | {near}" if near else ""
        message = f"'{name}' can't be called: an expression has filters and no functions{hint}"
        raise Syntax(message, grammar.offset(node))
    function = filters.METHODS.get(node.node.attr)
    if function is None:
        raise _no("method", node.node.attr, filters.METHODS, node.node.lineno)
    return _applied(function, closure(node.node.node), node, f"{node.node.attr}()")


def _no(what: str, name: str, known: Any, at: int) -> Syntax:
    near = nearest(name, known)
    return Syntax(f"there is no {what} '{name}'{f'; did you mean {near}?' if near else f': {_listed(known)}'}", at)


def _listed(known: Any) -> str:
    return ", ".join(sorted(known))


MAKERS.update({nodes.Filter: _filter, nodes.Test: _test, nodes.Call: _call})
