"""Host patterns, as Ansible writes them: `gpu:&rack1:!maintenance`, `web*`, `~node[0-9]+`."""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING

from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Collection

EVERYTHING = frozenset({"all", "*"})


def covers(pattern: str, host: str, groups: Collection[str] = ()) -> bool:
    """Tell whether a pattern names a host.

    What stands alone is added, then what stands behind `&` must hold too, then what stands behind `!` is taken away,
    in whatever order they are written. A pattern of `&` and `!` alone begins with all hosts.

    Args:
        pattern: terms with `:` or `,` between them: a host, a group, `all`, a glob, or `~` and a regular expression.
        host: the host's name.
        groups: the names of the groups that it is in.

    Raises:
        UserError: a regular expression in it is none.

    Example:
        >>> covers("gpu:!node7", "node7", {"gpu"}), covers("!login*", "node7")
        (False, True)
    """
    terms = [term.strip() for term in _terms(pattern) if term.strip()]
    added = [term for term in terms if term[0] not in "&!"]
    wanted = [term[1:] for term in terms if term[0] == "&"]
    barred = [term[1:] for term in terms if term[0] == "!"]
    within = not added or any(_named(term, host, groups) for term in added)
    return (
        within
        and all(_named(term, host, groups) for term in wanted)
        and not any(_named(term, host, groups) for term in barred)
    )


def _terms(pattern: str) -> list[str]:
    """Part a pattern; a comma always parts, a colon not within a regular expression or a range."""
    found: list[str] = []
    for part in pattern.split(","):
        found += [part] if "~" in part else re.split(r":(?![^\[]*\])", part)
    return found


def _named(term: str, host: str, groups: Collection[str]) -> bool:
    if term in EVERYTHING:
        return True
    names = (host, *groups)
    if term.startswith("~"):
        try:
            return any(re.match(term[1:], name) for name in names)
        except re.error as error:
            raise UserError(f"`{term}` is no regular expression: {error}", where="hosts") from error
    return any(fnmatch.fnmatchcase(name, term) for name in names)
