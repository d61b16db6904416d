"""The name that somebody who misspelt one probably meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, choices: Iterable[object]) -> str | None:
    """Return the choice that is likest to a word, or None where none is like it."""
    from difflib import get_close_matches

    folded = {str(choice).lower().replace("-", "_"): str(choice) for choice in choices}
    wanted = word[:100].lower().replace("-", "_")
    found = get_close_matches(wanted, folded, n=1, cutoff=0.6)
    if found:
        return folded[found[0]]
    inside = [key for key in folded if min(len(wanted), len(key)) > 2 and (wanted in key or key in wanted)]
    return folded[inside[0]] if len(inside) == 1 else None
