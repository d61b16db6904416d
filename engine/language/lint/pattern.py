"""What can be said of a regular expression without running it: does it parse, is it bounded, can it explode."""

from __future__ import annotations

import functools
import importlib
import re
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from runbook.engine.language.lint.automaton import OFTEN, Automaton, bodies
from runbook.engine.language.lint.backtrack import REPEATS, Program, TooLarge, sre

if TYPE_CHECKING:
    from collections.abc import Iterator

parser = importlib.import_module("re._parser")  # `re` has no public name for it
_ENDINGS = ("\x00", "!", "\n\n", "a", "0", "")
_EXPONENTIAL = ((12, 9), (18, 30))  # texts twice and thrice as long: cubic work stays below 8 and 27 times as much
_FAILING = ((12, 3.5), (24, 14))  # and four loops in a row that do fail go beyond these
_FIRST_BUDGET = 20_000
Growth = tuple[tuple[int, float], ...]  # so many repetitions, so many times the steps
_MANY_LOOPS = 4  # in a row: a line of 1 kB takes minutes
_MOST_OFTEN = 1000  # what RE2 repeats at most
_NONLINEAR = {
    sre.ASSERT: "a look ahead or behind",
    sre.ASSERT_NOT: "a look ahead or behind",
    sre.GROUPREF: "a reference to a group",
    sre.GROUPREF_EXISTS: "a condition on a group",
    sre.ATOMIC_GROUP: "an atomic group",
    sre.POSSESSIVE_REPEAT: "a possessive repeat",
}
_SOME_LOOPS = 3  # in a row: a line of 8 kB takes minutes


def problem(text: str) -> str | None:
    """Return why a pattern is no valid regular expression, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(text)
    except re.error as error:
        at = f" (character {error.pos + 1})" if error.pos is not None else ""
        return f"{error.msg}{at}"
    except (FutureWarning, DeprecationWarning) as warning:
        return str(warning)
    except (OverflowError, RecursionError) as error:
        return f"it is too large ({error})"
    return None


def matches_everything(text: str) -> bool:
    """Whether the pattern is found in every line there is, since it fits no text at all."""
    compiled = re.compile(text)
    return compiled.search("") is not None and compiled.search("x") is not None


class Hostile(NamedTuple):
    """A text on which a pattern's work explodes: what leads to the loop, what it repeats, and what makes it fail."""

    before: str
    pump: str
    ending: str

    def text(self, times: int = 30) -> str:
        """Return it with so many repetitions."""
        return f"{self.before}{self.pump * times}{self.ending}"


@functools.cache
def explosion(text: str) -> Hostile | None:
    """Return a text on which the pattern's work explodes, or None if there seems to be none."""
    tree = parser.parse(text)
    if not _suspicious(list(tree)):
        return None
    flags = tree.state.flags
    try:
        automaton = Automaton(tree, flags)
        program = Program(tree, flags)
    except (TooLarge, RecursionError):
        return None
    suspects: list[tuple[str, str, Growth]] = [(before, pump, _EXPONENTIAL) for before, pump in automaton.ambiguities()]
    count, letter = automaton.chain()
    if count >= _MANY_LOOPS:
        suspects.append((automaton.lead(letter), letter, _FAILING))
    for before, pump, growth in suspects:
        for ending in _ENDINGS:
            hostile = Hostile(before, pump, ending)
            if _explodes(program, hostile, growth):
                return hostile
    return None


@functools.cache
def unbounded(text: str) -> str | None:
    """Return why the pattern is slow on a long hostile line, or None."""
    tree = parser.parse(text)
    for items in _starts(list(tree)):
        if _begins_unbounded(items):
            return "it begins with an unbounded repeat, so that each character of a long line starts the search anew"
    if not _suspicious(list(tree), loops=_SOME_LOOPS):
        return None
    try:
        count, _letter = Automaton(tree, tree.state.flags).chain()
    except (TooLarge, RecursionError):
        return None
    return f"{count} unbounded repeats in a row fit the same characters" if count >= _SOME_LOOPS else None


def nonlinear(text: str) -> str | None:
    """Return what in a pattern the engines that read a log in one go can't take, or None."""
    tree = parser.parse(text)
    if tree.state.flags & re.VERBOSE:
        return "white space that is left out (x)"
    return _nonlinear(tree)


def _nonlinear(tree: Any) -> str | None:
    for op, argument in tree:
        if op in _NONLINEAR:
            return _NONLINEAR[op]
        if op is sre.AT and argument is sre.AT_END_STRING:
            return "\\Z"
        if op in REPEATS and argument[1] is not sre.MAXREPEAT and argument[1] > _MOST_OFTEN:
            return f"a repeat of more than {_MOST_OFTEN}"
        for body in bodies(op, argument):
            found = _nonlinear(body)
            if found:
                return found
    return None


def _explodes(program: Program, hostile: Hostile, growth: Growth) -> bool:
    first = program.steps(hostile.text(6), _FIRST_BUDGET)
    if first > _FIRST_BUDGET:
        return True
    for times, factor in growth:
        most = int(first * factor)
        if program.steps(hostile.text(times), most) <= most:
            return False
    return True


def _suspicious(tree: list[Any], loops: int = _MANY_LOOPS) -> bool:
    """Whether it has loops within loops, or several loops, at all; most patterns end here."""
    return any(_has_choice(body) for body in _loops(tree)) or len(list(_loops(tree))) >= loops


def _loops(tree: Any) -> Iterator[Any]:
    """The body of every repeat that may go round often."""
    for op, argument in tree:
        if op in REPEATS and argument[1] >= OFTEN:
            yield argument[2]
        for body in bodies(op, argument):
            yield from _loops(body)


def _has_choice(body: Any) -> bool:
    for op, argument in body:
        if op is sre.BRANCH or (op in REPEATS and argument[0] != argument[1]):
            return True
        if any(_has_choice(inner) for inner in bodies(op, argument)):
            return True
    return False


def _begins_unbounded(items: list[Any]) -> bool:
    for index, (op, argument) in enumerate(items):
        if op is sre.AT:
            return False
        if op in REPEATS and argument[1] is sre.MAXREPEAT and not all(_nullable(*one) for one in items[index + 1 :]):
            return True
        if not _nullable(op, argument):
            return False
    return False


def _starts(items: list[Any]) -> Iterator[list[Any]]:
    """The sequences with which a pattern can begin, groups and alternatives opened."""
    if not items:
        return
    (op, argument), rest = items[0], items[1:]
    if op is sre.SUBPATTERN:
        yield from _starts([*argument[3], *rest])
    elif op is sre.BRANCH:
        for branch in argument[1]:
            yield from _starts([*branch, *rest])
    else:
        yield items


def _nullable(op: Any, argument: Any) -> bool:
    """Whether the part can be passed without a character, and cannot fail."""
    if op in REPEATS:
        return argument[0] == 0 or all(_nullable(*item) for item in argument[2])
    if op is sre.BRANCH:
        return any(all(_nullable(*item) for item in branch) for branch in argument[1])
    return op is sre.SUBPATTERN and all(_nullable(*item) for item in argument[3])
