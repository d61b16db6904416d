"""Count what a backtracking matcher does, without the danger of running one.

The numbers are those of Python's `re` up to a constant factor. Counting instead of timing makes the verdict about a
pattern the same on every machine and under every load, and the count stops at a budget where `re` would hang.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

sre = importlib.import_module("re._constants")  # the parse tree's opcodes; `re` has no public name for them
LONG = 40  # a repeat of this many or more is as good as unbounded for the texts that are tried
REPEATS = frozenset({sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT})
_TOO_LARGE = 20_000  # instructions; a pattern beyond that is not judged

Instruction = tuple[Any, ...]


class TooLarge(Exception):
    """The pattern's program would not fit: counted repeats within counted repeats."""


class Program:
    """A pattern's parse tree as the instructions of a backtracking machine."""

    def __init__(self, tree: Any, flags: int) -> None:
        self.code: list[Instruction] = []
        self.marks = 0
        self._sequence(tree, flags)
        self.code.append(("end",))

    def steps(self, text: str, budget: int) -> int:
        """Count the instructions of one attempt to match at the start of the text, up to the budget."""
        machine = _Machine(text, budget)
        machine.run(self.code, 0)
        return machine.steps

    def _put(self, *instruction: Any) -> int:
        if len(self.code) > _TOO_LARGE:
            raise TooLarge
        self.code.append(instruction)
        return len(self.code) - 1

    def _sequence(self, tree: Any, flags: int) -> None:
        for op, argument in tree:
            self._item(op, argument, flags)

    def _item(self, op: Any, argument: Any, flags: int) -> None:
        if op in REPEATS:
            self._repeat(op, argument, flags)
        elif op is sre.BRANCH:
            self._branch(argument[1], flags)
        elif op is sre.SUBPATTERN:
            number, added, removed, body = argument
            self._put("open", number)
            self._sequence(body, (flags | added) & ~removed)
            self._put("close", number)
        elif op is sre.ATOMIC_GROUP:
            self._put("atomic", Program(argument, flags).code)
        elif op in {sre.ASSERT, sre.ASSERT_NOT}:
            direction, body = argument
            if direction > 0:  # a look behind is taken as holding: it only shortens the work
                self._put("look", Program(body, flags).code, op is sre.ASSERT)
        elif op is sre.AT:
            self._put("at", argument, bool(flags & re.MULTILINE))
        elif op is sre.GROUPREF:
            self._put("same", argument)
        elif op is sre.GROUPREF_EXISTS:
            _group, yes, no = argument
            self._branch([yes, no or []], flags)
        else:
            self._put("one", op, argument, flags, {})

    def _branch(self, branches: Any, flags: int) -> None:
        ends = []
        for branch in branches[:-1]:
            split = self._put()
            self._sequence(branch, flags)
            ends.append(self._put())
            self.code[split] = ("split", split + 1, len(self.code))
        self._sequence(branches[-1], flags)
        for end in ends:
            self.code[end] = ("jump", len(self.code))

    def _repeat(self, op: Any, argument: Any, flags: int) -> None:
        low, high, body = argument
        if op is sre.POSSESSIVE_REPEAT:
            self._put("atomic", Program([(sre.MAX_REPEAT, argument)], flags).code)
            return
        for _ in range(min(low, LONG)):
            self._sequence(body, flags)
        if high >= LONG:
            self._loop(body, flags, greedy=op is sre.MAX_REPEAT)
            return
        exits = []
        for _ in range(high - low):
            exits.append(self._put())
            self._sequence(body, flags)
        for split in exits:
            self.code[split] = _choice(split + 1, len(self.code), greedy=op is sre.MAX_REPEAT)

    def _loop(self, body: Any, flags: int, *, greedy: bool) -> None:
        mark = self.marks
        self.marks += 1
        split = self._put()
        self._put("mark", mark)
        self._sequence(body, flags)
        self._put("moved", mark)
        self._put("jump", split)
        self.code[split] = _choice(split + 1, len(self.code), greedy=greedy)


def _choice(inside: int, beyond: int, *, greedy: bool) -> Instruction:
    return ("split", inside, beyond) if greedy else ("split", beyond, inside)


class _Machine:
    """One attempt; a sub-attempt (look ahead, atomic group) counts in the same place."""

    def __init__(self, text: str, budget: int) -> None:
        self.text = text
        self.budget = budget
        self.steps = 0

    def run(self, code: list[Instruction], start: int) -> int | None:
        """Return where the match ends, or None; also None when the budget is used up."""
        text, size = self.text, len(self.text)
        pending: list[tuple[int, int, dict[Any, int]]] = [(0, start, {})]
        while pending:
            at, here, kept = pending.pop()
            while True:
                self.steps += 1
                if self.steps > self.budget:
                    return None
                instruction = code[at]
                op = instruction[0]
                at += 1
                if op == "one":
                    if here == size or not _admits(instruction, text[here]):
                        break
                    here += 1
                elif op == "split":
                    pending.append((instruction[2], here, kept))
                    at = instruction[1]
                elif op == "jump":
                    at = instruction[1]
                elif op == "end":
                    return here
                elif op in {"mark", "open", "close"}:
                    kept = {**kept, instruction if op != "mark" else instruction[1]: here}
                elif op == "moved":
                    if kept[instruction[1]] == here:
                        break
                elif op == "at":
                    if not _stands(instruction, text, here):
                        break
                elif op == "same":
                    seen = text[kept.get(("open", instruction[1]), 0) : kept.get(("close", instruction[1]), 0)]
                    if not text.startswith(seen, here):
                        break
                    here += len(seen)
                elif op == "atomic":
                    end = self.run(instruction[1], here)
                    if end is None:
                        break
                    here = end
                elif (self.run(instruction[1], here) is not None) is not instruction[2]:  # look
                    break
        return None


def _admits(instruction: Instruction, letter: str) -> bool:
    _one, op, argument, flags, known = instruction
    if letter not in known:
        known[letter] = admits(op, argument, letter, flags)
    admitted: bool = known[letter]
    return admitted


def _stands(instruction: Instruction, text: str, at: int) -> bool:
    _at, where, lines = instruction
    size = len(text)
    if where in {sre.AT_BOUNDARY, sre.AT_NON_BOUNDARY}:
        before = at > 0 and _word(text[at - 1])
        after = at < size and _word(text[at])
        return (before != after) is (where is sre.AT_BOUNDARY)
    if where is sre.AT_BEGINNING:
        return at == 0 or (lines and text[at - 1] == "\n")
    if where is sre.AT_BEGINNING_STRING:
        return at == 0
    if where is sre.AT_END:
        return at == size or (at == size - 1 and text[at] == "\n") or (lines and text[at] == "\n")
    return at == size


def admits(op: Any, argument: Any, letter: str, flags: int) -> bool:
    """Whether a part of a pattern that stands for one character admits this one."""
    if op is sre.ANY:
        return letter != "\n" or bool(flags & re.DOTALL)
    if op is sre.LITERAL:
        return _same(argument, letter, flags)
    if op is sre.NOT_LITERAL:
        return not _same(argument, letter, flags)
    return op is sre.IN and _within(argument, letter, flags)


def _same(code: int, letter: str, flags: int) -> bool:
    return code == ord(letter) or (bool(flags & re.IGNORECASE) and chr(code).lower() == letter.lower())


def _within(members: Any, letter: str, flags: int) -> bool:
    letters = {letter, letter.lower(), letter.upper()} if flags & re.IGNORECASE else {letter}
    codes = [ord(one) for one in letters if len(one) == 1]
    found = negated = False
    for op, argument in members:
        if op is sre.NEGATE:
            negated = True
        elif op is sre.LITERAL:
            found = found or argument in codes
        elif op is sre.RANGE:
            found = found or any(argument[0] <= code <= argument[1] for code in codes)
        elif op is sre.CATEGORY:
            found = found or _category(str(argument), letter)
    return found is not negated


def _category(name: str, letter: str) -> bool:
    if name.endswith("DIGIT"):
        held = letter.isdecimal()
    elif name.endswith("SPACE"):
        held = letter.isspace()
    else:
        held = _word(letter)
    return held is not ("_NOT_" in name)


def _word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"
