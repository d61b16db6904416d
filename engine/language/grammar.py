"""Text → syntax tree, by Jinja's own parser.

A Jinja token knows only its line. Ours carry the character's offset in its place, so that every node of the tree knows
where it stands in the text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from jinja2 import TemplateSyntaxError, nodes
from jinja2.lexer import Token, TokenStream
from jinja2.parser import Parser

from runbook.engine.language.tokens import ENVIRONMENT, LONGEST, Syntax, bound, pieces, tokens
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

DEPTH: Final = 100  # of the tree; chains of `and` and `or` are flat
TEMPLATES: Final = 2_000  # {{ }} in one text

_MARK = re.compile(r"\{\{|\{%|\{#")


@frozen
class Parsed:
    """One expression's tree, and where each of its tokens ends (by where it begins)."""

    node: nodes.Expr
    ends: dict[int, int]
    end: int  # the offset behind it


def expression(text: str) -> Parsed:
    """Parse a text that is one expression, as in `when`.

    Raises:
        Syntax: it is none.
    """
    if len(text) > LONGEST:
        raise Syntax(f"an expression has at most {LONGEST:,} characters, this one {len(text):,}", LONGEST)
    begun = _MARK.search(text)
    if begun and (begun[0] == "{%" or not text[: begun.start()].strip()):
        raise Syntax(f"this is an expression already: leave out the {begun[0]} … {_closing(begun[0])}", begun.start())
    return _parse(text, 0, closed=False)


def template(text: str) -> list[str | Parsed]:
    """Parse a text with `{{ }}` in it into its literal parts and its expressions.

    Raises:
        Syntax: an expression in it is none, or it holds a statement.
    """
    parts: list[str | Parsed] = []
    literal, at, count = "", 0, 0
    while (mark := _mark(text, at)) is not None:
        count += 1
        if count > TEMPLATES:
            raise Syntax(f"a text has at most {TEMPLATES:,} templates", mark)
        literal += text[at:mark]
        start = mark + 2
        if text[start : start + 1] == "-":
            literal, start = literal.rstrip(), start + 1
        parsed = _parse(text, start, closed=True)
        if literal:
            parts.append(literal)
        parts.append(parsed)
        literal, at = "", parsed.end
    literal += text[at:]
    if literal:
        parts.append(literal)
    return parts


def _mark(text: str, at: int) -> int | None:
    """Return where the next `{{` stands; refuse statements and comments."""
    while (found := _MARK.search(text, at)) is not None:
        start = found.start()
        if found[0] == "{{":
            return start
        if found[0] == "{%":
            raise Syntax("a runbook has expressions in {{ }} and no statements: {% %} can't be used", start)
        if text[start - 1 : start] != "$" and "#}" in text[start:]:  # ${#list[@]} is a shell's own
            raise Syntax("a runbook has no {# #} comments: write # behind the value", start)
        at = start + 2
    return None


def _parse(text: str, start: int, *, closed: bool) -> Parsed:
    raw, end = pieces(text, start, closed=closed)
    bound(raw)
    ends: dict[int, int] = {}
    found = list(tokens(raw, ends))
    if not found:
        raise Syntax("there is no expression here" if not closed else "there is no expression in the {{ }}", start)
    parser = Parser(ENVIRONMENT, "", state="variable")
    parser.stream = TokenStream(iter(found), None, None)
    last = ends[found[-1].lineno]
    try:
        node = parser.parse_expression()
    except TemplateSyntaxError as error:
        raise _unexpected(parser.stream.current, text, ends, last, str(error.message)) from None
    except RecursionError:
        raise Syntax("the expression is nested too deeply", start) from None
    if not parser.stream.eos:
        raise _unexpected(parser.stream.current, text, ends, last, "")
    _measure(node, start)
    return Parsed(node, ends, end)


def _unexpected(token: Token, text: str, ends: dict[int, int], last: int, message: str) -> Syntax:
    if token.type == "eof":
        return Syntax("the expression ends too early", last)
    at = token.lineno
    shown = text[at : ends.get(at, at + 1)]
    if token.type == "assign":
        return Syntax("'=' gives nothing a value here: write == to compare", at)
    if shown in {"|", "&"}:
        return Syntax(f"'{shown}' is not followed by a filter: write or, or the name of a filter", at)
    if "chain multiple tests" in message:
        return Syntax("one test follows another: join them with and", at)
    if token.type == "name" and shown in {"AND", "OR", "NOT", "IN", "IS"}:
        return Syntax(f"'{shown}' is written {shown.lower()}", at)
    return Syntax(f"did not expect '{shown}' here", at)


def _measure(root: nodes.Expr, start: int) -> None:
    """Refuse a tree so deep that evaluating it could exhaust the stack."""
    waiting: list[tuple[nodes.Node, int]] = [(root, 1)]
    while waiting:
        node, depth = waiting.pop()
        if depth > DEPTH:
            raise Syntax("the expression is nested too deeply: give its parts names in vars", start)
        for child in node.iter_child_nodes():
            flat = isinstance(node, (nodes.And, nodes.Or)) and type(child) is type(node)
            waiting.append((child, depth + (not flat)))


def flat(node: nodes.Expr) -> list[nodes.Expr]:
    """Return the parts of a chain of `and`s, or of `or`s, in order."""
    kind, found, waiting = type(node), [], [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, nodes.BinExpr) and type(part) is kind:
            waiting += [part.right, part.left]
        else:
            found.append(part)
    return found


def offset(node: nodes.Node) -> int:
    """Return where a node's text begins."""
    return min((found.lineno for found in walk(node) if found.lineno is not None), default=0)


def walk(node: nodes.Node) -> Iterable[nodes.Node]:
    """Yield a node and all that is below it."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        yield found
        waiting.extend(found.iter_child_nodes())


def _closing(opening: str) -> str:
    return {"{{": "}}", "{%": "%}", "{#": "#}"}[opening]


def constant(node: nodes.Node) -> Any:
    """Return a constant's value; `None` for what is none."""
    return node.value if isinstance(node, nodes.Const) else None
