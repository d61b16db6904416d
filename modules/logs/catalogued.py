"""The entries of the catalogue that a detector names, as they travel to a host."""

import re
from typing import Any, Iterable, List, Mapping, Tuple

from runbook.modules.logs.patterns import Pattern

_GROUP = re.compile(r"\(\?P<([A-Za-z_]\w*)>")
PARAMETER = "_catalogue"  # the parameter of a module that the engine fills in; nobody writes it


def patterns(travelled: Mapping[str, Any]) -> List[Pattern]:
    """Return the patterns, in order of precedence."""
    return [Pattern(*given) for given in travelled.get("patterns", ())]


def groups(regexes: Iterable[str]) -> Tuple[str, ...]:
    """Return the fields that named groups are, without compiling; an NVLink5 error has its sub-code beside them."""
    found = {group for regex in regexes for group in _GROUP.findall(regex)}
    return tuple(sorted(found | ({"subcode"} if "intr" in found else set())))
