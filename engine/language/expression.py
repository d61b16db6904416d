"""Conditions (`when`) and templates (`{{ … }}`): parsed once, evaluated with the values of the moment."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from jinja2 import nodes

from runbook.engine.errors import RenderError
from runbook.engine.language import arithmetic, calls, grammar
from runbook.engine.language.closures import Closure, Undefined, closure
from runbook.engine.language.grammar import Parsed
from runbook.engine.language.text import bound, text
from runbook.engine.language.tokens import Syntax

if TYPE_CHECKING:
    from collections.abc import Mapping

_VOCABULARY = (arithmetic, calls)  # imported for what they add to the evaluator

__all__ = ["Expression", "Syntax", "Undefined", "parse"]


class Expression:
    """A parsed condition or template; equal to another of the same text.

    Attributes:
        text: as it stands in the file.
        template: it is a text with `{{ }}` in it, and no condition.
        ast: Jinja's tree; of a template, an `Output` of its parts. A node's `lineno` is its offset in the text.
        ends: where a token ends, by where it begins.
    """

    def __init__(self, written: str, parts: list[str | Parsed], *, template: bool) -> None:
        self.text = written
        self.template = template
        self.parts = tuple(part if isinstance(part, str) else part.node for part in parts)
        self.ends = {start: end for part in parts if isinstance(part, Parsed) for start, end in part.ends.items()}
        self.ast: nodes.Node
        if template:
            shown = [nodes.TemplateData(part) if isinstance(part, str) else part for part in self.parts]
            self.ast = nodes.Output(shown)
            self._value = _template(written, self.parts)
        else:
            self.ast = self.expressions[0]
            self._value = closure(self.ast)

    @property
    def expressions(self) -> tuple[nodes.Expr, ...]:
        """The trees of a template's expressions, or the one of a condition."""
        return tuple(part for part in self.parts if not isinstance(part, str))

    @cached_property
    def names(self) -> frozenset[str]:
        """The variables it mentions at its top: `incident` of `incident.path`."""
        return frozenset().union(*map(names_of, self.expressions))

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """Return its value, or UNKNOWN.

        Raises:
            RenderError: a name is undefined, or a part of a text has no text.
        """
        return self._value(scope)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and (self.text, self.template) == (other.text, other.template)

    def __hash__(self) -> int:
        return hash((self.text, self.template))

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"


def parse(written: str, *, template: bool) -> Expression:
    """Parse a condition, or a text with `{{ … }}` in it.

    Raises:
        Syntax: it is none; `offset` says where in the text.
    """
    parts: list[str | Parsed] = grammar.template(written) if template else [grammar.expression(written)]
    return Expression(written, parts, template=template)


def _template(written: str, parts: tuple[str | nodes.Expr, ...]) -> Closure:
    """Return the closure of a template: exactly one expression keeps its type, other parts are joined as text."""
    if len(parts) == 1 and not isinstance(parts[0], str):
        return closure(parts[0])
    pieces = [part if isinstance(part, str) else (closure(part), grammar.offset(part)) for part in parts]

    def join(scope: Mapping[str, Any]) -> str:
        made = []
        for piece in pieces:
            if isinstance(piece, str):
                made.append(piece)
                continue
            value = piece[0](scope)
            try:
                made.append(text(value))
            except RenderError as error:
                raise RenderError(f"{_quoted(written, piece[1])} {error.what}", mend=error.mend) from None
        return bound("".join(made))

    return join


def _quoted(written: str, at: int) -> str:
    start = written.rfind("{{", 0, at + 1)
    end = written.find("}}", at)
    return written[start : end + 2] if start >= 0 and end - start < 200 else "an expression"


def names_of(tree: nodes.Node) -> frozenset[str]:
    """Return the variables that a tree mentions at its top."""
    return frozenset(node.name for node in grammar.walk(tree) if isinstance(node, nodes.Name))
