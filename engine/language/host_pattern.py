"""How patterns of hosts are written, as Ansible has it: `gpu:&rack1:!maintenance`, `web*`, `~node[0-9]+`, `gpu[0]`."""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

SUBSCRIPT: Final = re.compile(r"(.+)\[(?:(-?[0-9]+)|([0-9]+)[:-]([0-9]*))\]\Z")


def terms(pattern: str) -> list[str]:
    """Part a pattern; a comma always parts, a colon not within a regular expression or a range.

    Example:
        >>> terms("gpu:&rack1:!down"), terms("a, b[1:2]"), terms("~(?:a|b):c")
        (['gpu', '&rack1', '!down'], ['a', 'b[1:2]'], ['~(?:a|b):c'])
    """
    found: list[str] = []
    for part in pattern.split(","):
        found += [part] if "~" in part else re.split(r":(?![^\[]*\])", part)
    return [term.strip() for term in found if term.strip()]


def subscript(term: str) -> re.Match[str] | None:
    """Return the parts of a term such as `gpu[0]` or `gpu[1:3]`: its hosts are counted, so all must be at hand."""
    bare = term.lstrip("&!")
    return None if bare.startswith("~") else SUBSCRIPT.match(bare)


@lru_cache(maxsize=1024)
def readable(term: str) -> Callable[[str], object]:
    """Return the test for a name that a term is, without its `&` or `!`.

    Raises:
        UserError: it is no regular expression; says where it breaks.
    """
    bare = term.lstrip("&!")
    try:
        return re.compile(bare[1:] if bare.startswith("~") else fnmatch.translate(bare)).match
    except re.error as error:
        raise UserError(
            f"`{term}` is no regular expression: {error}", where="hosts", mend="mend it, or quote it"
        ) from None
