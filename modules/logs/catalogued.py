"""The entries of the catalogue that a detector names, as they travel to a host."""

from typing import Any, List, Mapping, Tuple

from runbook.modules.logs.patterns import Pattern

PARAMETER = "_catalogue"  # the parameter of a module that the engine fills in; nobody writes it


def patterns(travelled: Mapping[str, Any]) -> List[Pattern]:
    """Return the patterns, in order of precedence."""
    return [Pattern(*given) for given in travelled.get("patterns", ())]


def groups(travelled: Mapping[str, Any]) -> Tuple[str, ...]:
    """Return the named groups of all of them."""
    import re

    return tuple(sorted({group for each in patterns(travelled) for group in re.compile(each.regex).groupindex}))
