"""What is known of lines that differ in digits alone: most lines of a log are of few kinds.

Of a kind is known which patterns match its lines, as far as all digits are alike to them; and of a kind in whose lines
the same was found, which pattern names them.
"""

from typing import AbstractSet, Dict, Mapping, Optional, Sequence, Tuple

from runbook.modules.logs.digits import LONGEST, masked

KINDS = 4096  # of lines, that are remembered
NONE = -1  # in the place of a pattern: nothing matches

Key = Tuple[bytes, Tuple[int, ...]]
"""A kind, and the expressions that were found in a line of it."""


class Verdicts:
    """Remembers kinds of lines.

    Args:
        owners: the pattern of each expression.
    """

    def __init__(self, owners: Sequence[int]) -> None:
        self._owners = owners
        self._kinds: Dict[bytes, Dict[int, bool]] = {}
        self._patterns: Dict[Key, int] = {}

    @staticmethod
    def key(data: bytes, start: int, end: int, places: Mapping[int, int]) -> Optional[Key]:
        """Return what a line with some expressions is remembered by; None where it is too long."""
        return (masked(data[start:end]), (*places,)) if end - start <= LONGEST else None

    def of(self, key: Key, counted: AbstractSet[int]) -> Optional[int]:
        """Return the pattern that names such a line, or `NONE`; None where it is to be looked for, or to be told."""
        number = self._patterns.get(key)
        return number if number == NONE or number in counted else None

    def known(self, key: Key) -> Dict[int, bool]:
        """Return what is known of a kind: by pattern, and by ~expression."""
        kind = key[0]
        known = self._kinds.get(kind)
        if known is None:
            if len(self._kinds) >= KINDS:
                self._kinds.clear()
            known = self._kinds[kind] = {}
        return known

    def keep(self, key: Key, known: Mapping[int, bool], number: int) -> None:
        """Remember which pattern names a line, if what is known of its kind says the same of every such line."""
        for expression in sorted(key[1]):
            owner = self._owners[expression]
            said = known.get(owner), known.get(~expression)
            if owner == number and True in said:
                break
            if owner == number or False not in said:
                return
        if len(self._patterns) >= KINDS:
            self._patterns.clear()
        self._patterns[key] = number
