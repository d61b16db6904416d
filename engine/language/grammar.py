"""Text → syntax tree, by Jinja's own lexer and parser, with units joined to their numbers.

A Jinja token knows only its line. Ours carry the character's offset in its place, so that every node of the tree knows
where it stands in the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, StrictUndefined, TemplateSyntaxError, nodes
from jinja2.lexer import Token, TokenStream, operators
from jinja2.parser import Parser

from runbook.engine.language import units

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LONGEST: Final = 10_000  # characters of one expression
NESTING: Final = 30  # of brackets
DEPTH: Final = 100  # of the tree; chains of `and` and `or` are flat
TEMPLATES: Final = 2_000  # {{ }} in one text

_ENVIRONMENT = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701 -- text for hosts, not for a page
_BINARY = frozenset({"and", "or", "not", "in", "is", "if", "else"})
_OPENING = {"(": ")", "[": "]", "{": "}"}
_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\", "'": "'", '"': '"'}
_MARK = re.compile(r"\{\{|\{%|\{#")

Raw = tuple[int, str, str]  # offset, kind, text


class Syntax(ValueError):
    """A text that is no expression or template; the offset says where."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


@dataclass(frozen=True, slots=True)
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
    raw, end = _raw(text, start, closed=closed)
    _bound(raw)
    ends: dict[int, int] = {}
    tokens = list(_tokens(raw, ends))
    if not tokens:
        raise Syntax("there is no expression here" if not closed else "there is no expression in the {{ }}", start)
    parser = Parser(_ENVIRONMENT, "", state="variable")
    parser.stream = TokenStream(iter(tokens), None, None)
    last = ends[tokens[-1].lineno]
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


def _raw(text: str, start: int, *, closed: bool) -> tuple[list[Raw], int]:
    """Return the lexer's pieces, whitespace included, with offsets into the text; and the offset behind them."""
    piece = text[start : start + LONGEST + 2].replace("\r\n", " \n").replace("\r", "\n")
    found: list[Raw] = []
    at = start
    try:
        for _, kind, value in _ENVIRONMENT.lexer.tokeniter(piece, None, state="variable"):
            if kind == "variable_begin":
                continue
            if kind == "variable_end":
                if closed:
                    return found, at + len(value)
                raise Syntax("'}}' closes nothing: it stands behind {{ only", at)
            found.append((at, kind, value))
            at += len(value)
    except TemplateSyntaxError as error:
        raise _unlexed(text, at, str(error.message)) from None
    if closed:
        if len(piece) > LONGEST:
            raise Syntax(f"an expression has at most {LONGEST:,} characters", start)
        raise Syntax("'{{' is not closed: '}}' is missing", max(start - 2, 0))
    return found, at


def _unlexed(text: str, at: int, message: str) -> Syntax:
    character = text[at : at + 1]
    hints = {"&": "write and", "!": "write not, or != between two values", "?": "write a if condition else b"}
    if character in hints:
        return Syntax(f"'{character}' has no meaning here: {hints[character]}", at)
    if character in {"'", '"'}:
        return Syntax(f"the text that begins here is not closed: {character} is missing", at)
    expected = re.search(r", expected '(.)'", message)
    if expected:
        return Syntax(f"'{character}' closes nothing here: '{expected[1]}' comes first", at)
    if character in {")", "]", "}"}:
        return Syntax(f"'{character}' closes nothing", at)
    return Syntax(f"'{character}' has no meaning here", at)


def _bound(raw: list[Raw]) -> None:
    """Refuse what would exhaust the parser's recursion."""
    depth = prefixes = inversions = choices = 0
    for at, kind, value in raw:
        if kind == "operator" and value in _OPENING:
            depth += 1
        elif kind == "operator" and value in {")", "]", "}"}:
            depth -= 1
        prefixes = prefixes + 1 if kind == "operator" and value in {"-", "+"} else prefixes * (kind == "whitespace")
        inversions += kind == "name" and value == "not"
        choices += kind == "name" and value == "if"
        if depth > NESTING or prefixes > NESTING or inversions > DEPTH or choices > NESTING:
            raise Syntax("the expression is nested too deeply: give its parts names in vars", at)


def _tokens(raw: list[Raw], ends: dict[int, int]) -> Iterator[Token]:
    place = 0
    while place < len(raw):
        at, kind, value = raw[place]
        place += 1
        if kind in {"whitespace", "comment"}:
            continue
        ends[at] = at + len(value)
        if kind in {"integer", "float"}:
            amount, place = _amount(raw, place - 1)
            if amount is not None:
                ends[at] = raw[place - 1][0] + len(raw[place - 1][2])
                yield Token(at, "float", amount)  # type: ignore[arg-type] -- Jinja's numbers are no str either
            else:
                yield Token(at, kind, _number(value, kind))  # type: ignore[arg-type]
        elif kind == "string":
            yield Token(at, kind, _unescaped(value[1:-1]))
        elif kind == "operator":
            yield Token(at, operators[value], value)
        elif kind == "name" and not value.isidentifier():
            raise Syntax(f"'{value}' is no name", at)
        else:
            yield Token(at, kind, value)


def _number(text: str, kind: str) -> float:
    digits = text.replace("_", "")
    return int(digits, 0) if kind == "integer" else float(digits)


def _amount(raw: list[Raw], place: int) -> tuple[units.Amount | None, int]:
    """Join a number with the unit behind it; return the quantity, and the place behind what it took."""
    at, _, number = raw[place]
    digits = number.replace("_", "")
    following = place + 1
    spaced = following < len(raw) and raw[following][1] == "whitespace"
    following += spaced
    if following >= len(raw):
        return None, place + 1
    _, kind, value = raw[following]
    if kind == "name" and value not in _BINARY:
        try:
            return units.joined(digits, value), following + 1
        except ValueError as error:
            raise Syntax(str(error), at) from None
    if (kind, value) == ("operator", "%") and not _operand_follows(raw, following, spaced=spaced):
        found = units.amount(f"{digits}%")
        if found is not None:
            return found, following + 1
    return None, place + 1


def _operand_follows(raw: list[Raw], percent: int, *, spaced: bool) -> bool:
    """Tell `85 % 7` (a remainder) from `85%` (a percentage): is there a value behind the sign?"""
    place = percent + 1
    apart = place < len(raw) and raw[place][1] == "whitespace"
    place += apart
    if place >= len(raw):
        return False
    _, kind, value = raw[place]
    if kind == "name":
        return value not in _BINARY
    if kind == "operator":
        return value in _OPENING or (value in {"-", "+"} and (spaced or not apart))
    return True


def _unescaped(text: str) -> str:
    """Resolve the escapes of a text in quotes; others stay, so that a regular expression needs no doubling."""
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), text, flags=re.DOTALL)


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
    return min((found.lineno for found in _below(node) if found.lineno is not None), default=0)


def _below(node: nodes.Node) -> Iterable[nodes.Node]:
    waiting = [node]
    while waiting:
        found = waiting.pop()
        yield found
        waiting.extend(found.iter_child_nodes())


def walk(node: nodes.Node) -> Iterable[nodes.Node]:
    """Yield a node and all that is below it."""
    return _below(node)


def _closing(opening: str) -> str:
    return {"{{": "}}", "{%": "%}", "{#": "#}"}[opening]


def constant(node: nodes.Node) -> Any:
    """Return a constant's value; `None` for what is none."""
    return node.value if isinstance(node, nodes.Const) else None
