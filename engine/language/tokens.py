"""Text → tokens, by Jinja's lexer; with offsets for lines, and units joined to their numbers."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final, cast

from jinja2 import Environment, StrictUndefined, TemplateSyntaxError
from jinja2.lexer import Token, operators

from runbook.engine.language import units

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST: Final = 10_000  # characters of one expression
NESTING: Final = 30  # of brackets
INVERSIONS: Final = 100  # of `not` in one expression
DIGITS: Final = 300  # of one number
ENVIRONMENT: Final = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701 -- no page is made of it

_BINARY = frozenset({"and", "or", "not", "in", "is", "if", "else"})
_OPENING = {"(": ")", "[": "]", "{": "}"}
_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\", "'": "'", '"': '"'}

Raw = tuple[int, str, str]  # offset, kind, text


class Syntax(ValueError):
    """A text that is no expression or template; the offset says where."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


def pieces(text: str, start: int, *, closed: bool) -> tuple[list[Raw], int]:
    """Return the lexer's pieces, whitespace included, with offsets into the text; and the offset behind them."""
    piece = text[start : start + LONGEST + 2].replace("\r\n", " \n").replace("\r", "\n")
    found: list[Raw] = []
    at = start
    try:
        for _, kind, value in ENVIRONMENT.lexer.tokeniter(piece, None, state="variable"):
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
    if not character.isascii() and unicodedata.category(character) in {"Pi", "Pf", "Ps"}:  # quotes of a word processor
        return Syntax(f"'{character}' is no quote of an expression: write '", at)
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


def bound(raw: list[Raw]) -> None:
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
        if depth > NESTING or prefixes > NESTING or inversions > INVERSIONS or choices > NESTING:
            raise Syntax("the expression is nested too deeply: give its parts names in vars", at)


def tokens(raw: list[Raw], ends: dict[int, int]) -> Iterator[Token]:
    """Yield Jinja's tokens, and note in `ends` where each one ends."""
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
                yield Token(at, "float", cast("str", amount))  # Jinja's own numbers are no str either
            else:
                yield Token(at, kind, cast("str", _number(value, kind, at)))
        elif kind == "string":
            yield Token(at, kind, _unescaped(value[1:-1]))
        elif kind == "operator":
            yield Token(at, operators[value], value)
        elif kind == "name" and not value.isidentifier():
            raise Syntax(f"'{value}' is no name", at)
        else:
            yield Token(at, kind, value)


def _number(text: str, kind: str, at: int) -> float:
    digits = text.replace("_", "")
    if len(digits) > DIGITS:
        raise Syntax(f"a number has at most {DIGITS} digits", at)
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
