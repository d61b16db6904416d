"""Host patterns, as Ansible writes them: `gpu:&rack1:!maintenance`, `web*`, `~node[0-9]+`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from runbook.engine.errors import UserError
from runbook.engine.language import host_pattern

if TYPE_CHECKING:
    from collections.abc import Collection

EVERYTHING = frozenset({"all", "*"})


def covers(pattern: str, host: str, groups: Collection[str] = ()) -> bool:
    """Tell whether a pattern names a host.

    What stands alone is added, then what stands behind `&` must hold too, then what stands behind `!` is taken away,
    in whatever order they are written. A pattern of `&` and `!` alone begins with all hosts. A term with a subscript,
    such as `gpu[0]`, names nobody here: it counts an inventory's hosts (`inventory.matching`).

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
    added, wanted, barred = _parted(pattern)
    within = not added or any(_named(term, host, groups) for term in added)
    return (
        within
        and all(_named(term, host, groups) for term in wanted)
        and not any(_named(term, host, groups) for term in barred)
    )


def refuse_unfit(pattern: str) -> None:
    """Refuse a pattern that can't be asked of a host by itself.

    Raises:
        UserError: a term has a subscript, or is no regular expression.
    """
    for term in host_pattern.terms(pattern):
        host_pattern.readable(term)
        if host_pattern.subscript(term):
            raise UserError(f"`{term}` counts the hosts of an inventory, and none is at hand here", where="hosts",
                            mend="name the host, or a group")  # fmt: skip


@lru_cache(maxsize=1024)
def _parted(pattern: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    terms = host_pattern.terms(pattern)
    return (
        tuple(term for term in terms if term[0] not in "&!"),
        tuple(term[1:] for term in terms if term[0] == "&"),
        tuple(term[1:] for term in terms if term[0] == "!"),
    )


def _named(term: str, host: str, groups: Collection[str]) -> bool:
    if term in EVERYTHING:
        return True
    if host_pattern.subscript(term):
        return False
    test = host_pattern.readable(term)
    return any(test(name) for name in (host, *groups))
