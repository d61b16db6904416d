"""Regular expressions in conditions (`is search('…')`), bounded so that none can hang the engine.

Python's matcher tries every way in which a pattern's repeats and alternatives can divide a text. Their number is
estimated from the pattern, and the length of the text that is searched is bounded by it.
"""

from __future__ import annotations

import importlib
import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.model import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONGEST: Final = 65_536  # characters that are searched at most: all that a step's output holds
_SHORTEST: Final = 200  # a pattern that can't search so many is refused
_WORK: Final = 1e8  # steps of the matcher: about a second
_OFTEN: Final = 64  # a repeat that may go round more often can divide the text anywhere
_REPEATS: Final = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})


@lru_cache(maxsize=512)
def compiled(pattern: str, *, anchored: bool) -> Callable[[str], Any]:
    """Return the function that tells whether a text holds (or begins with) the pattern; unknown for too long a text.

    Raises:
        ValueError: it is no regular expression, or one whose work could explode.
    """
    try:
        made = re.compile(pattern)
        tree = importlib.import_module("re._parser").parse(pattern)  # `re` has no public name for it
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"'{pattern}' is no regular expression: {error}") from error
    choices = list(_choices(tree, pattern, repeated=False))
    begins = anchored or (str(list(tree)[:1]).startswith("[(AT, AT_BEGINNING") and not made.flags & re.MULTILINE)
    longest = _longest(choices.count(0), math.prod(filter(None, choices)), begins=begins)
    if longest < _SHORTEST:
        raise ValueError(f"'{pattern}' could take very long: write fewer of * + ? and |")
    find = made.match if anchored else made.search

    def ask(value: str) -> Any:
        return UNKNOWN if len(value) > longest else find(value) is not None

    return ask


def _longest(loops: int, ways: int, *, begins: bool) -> int:
    """Return how long a text may be: the work grows with its length to the power of the loops, from each start."""
    power = max(loops + (not begins), 1)
    return int(min((_WORK * math.factorial(power) / ways) ** (1 / power), LONGEST))


def _choices(tree: Any, pattern: str, *, repeated: bool) -> Iterator[int]:
    """Yield in how many ways each repeat or alternative can go; 0 for any number. In a repeat there may be none."""
    for operation, argument in tree:
        name, ways = str(operation), 1
        bodies = list(_bodies(argument))
        if name in _REPEATS:
            least, most, body = argument
            ways = int(most) - int(least) + 1 if int(most) <= _OFTEN else 0
            repeated_here = int(most) > 1
            bodies = [body]
        else:
            repeated_here = False
            ways = len(argument[1]) if name == "BRANCH" else ways
        if name.startswith("GROUPREF") or (repeated and ways != 1):
            raise ValueError(
                f"'{pattern}' could take for ever: a repeat or alternative stands in a repeat, or a group is repeated"
            )
        if ways != 1:
            yield ways
        for body in bodies:
            yield from _choices(body, pattern, repeated=repeated or repeated_here)


def _bodies(argument: Any) -> Iterator[Any]:
    """Yield the trees below a part: of a group, an alternative, a look around."""
    if hasattr(argument, "data"):
        yield argument
    elif isinstance(argument, (tuple, list)):
        for part in argument:
            yield from _bodies(part)
