"""Regular expressions in conditions (`is search('…')`), bounded so that none can hang the engine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.model import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST: Final = 4_096  # characters of a text that is searched


def compiled(pattern: str, *, anchored: bool) -> Callable[[str], Any]:
    """Return the function that tells whether a text holds (or begins with) the pattern.

    Raises:
        ValueError: it is no regular expression.
    """
    try:
        made = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"'{pattern}' is no regular expression: {error}") from error
    find = made.match if anchored else made.search

    def ask(value: str) -> Any:
        return UNKNOWN if len(value) > LONGEST else find(value) is not None

    return ask
